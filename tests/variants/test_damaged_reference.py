"""Whatever happens to a FASTA and what lies beside it: a run gives the numbers of the undamaged one, or stops with a sentence."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

import pyarrow as pa
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raygen
from raygen.errors import RaygenError
from tests.builders import bigram_model, fasta, random_bases

CONTIGS = {name: random_bases(400, seed) for seed, name in enumerate(["1", "2", "X"])}
OTHER = {name: random_bases(400, seed) for seed, name in enumerate(["1", "2", "X"], 10)}
WIDTH = 60
NEXT_BASE = dict(zip("ACGT", "CGTA", strict=True))
VARIANTS = pa.Table.from_pylist(
    [
        {"chrom": name, "pos": pos, "ref": bases[pos - 1], "alt": NEXT_BASE[bases[pos - 1]]}
        for name, bases in CONTIGS.items()
        for pos in range(5, 400, 10)
    ]
)


@cache
def model():
    return bigram_model()


def deltas(path: Path) -> dict[str, float]:
    scored = raygen.score_variants(model(), VARIANTS, path, window=raygen.Window(20, 20))
    ids = (name.removeprefix("chr") for name in scored["variant_id"].to_pylist())
    return dict(zip(ids, scored["delta_llr"].to_pylist(), strict=True))


@cache
def undamaged() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return deltas(fasta(Path(folder), CONTIGS))


def index_of(contigs: dict[str, str], width: int = WIDTH) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = fasta(Path(folder), contigs, width=width)
        pysam.faidx(str(path))
        return Path(f"{path}.fai").read_text()


@st.composite
def damaged_indexes(draw) -> str | None:
    """Of another FASTA or wrapping, with wrong numbers, rows that are lost or in another order, no index at all."""
    choice = draw(st.sampled_from(["none", "empty", "junk", "other", "wrapping", "numbers", "rows"]))
    rows = [line.split("\t") for line in index_of(CONTIGS).splitlines()]
    if choice == "numbers":
        for _ in range(draw(st.integers(1, 4))):
            row, column = draw(st.integers(0, 2)), draw(st.integers(1, 4))
            rows[row][column] = str(max(int(rows[row][column]) + draw(st.integers(-70, 70)), 0))
    if choice == "rows":
        rows = draw(st.permutations(rows))[draw(st.integers(0, 2)) :]
    return {
        "none": lambda: None,
        "empty": lambda: "",
        "junk": lambda: draw(st.text(max_size=40)),
        "other": lambda: index_of({"chr1": random_bases(900, 3), **OTHER}),
        "wrapping": lambda: index_of(CONTIGS, draw(st.integers(1, 100))),
    }.get(choice, lambda: "".join("\t".join(row) + "\n" for row in rows))()


@st.composite
def damaged_texts(draw) -> bytes:
    """Cut short, with a contig that is lost, of another assembly, twice there, under another name or in another place, with lines
    of another length, or with a byte that is lost, too many or no base.
    """
    choice = draw(
        st.sampled_from(["cut", "lost", "other", "twice", "renamed", "moved", "width", "byte", "added", "dropped"])
    )
    contigs, width = dict(CONTIGS), WIDTH
    name = draw(st.sampled_from(list(CONTIGS)))
    if choice == "lost":
        del contigs[name]
    if choice == "other":
        contigs[name] = OTHER[name]
    if choice == "renamed":
        contigs = {"chr" + old if old == name else old: bases for old, bases in contigs.items()}
    if choice == "moved":
        contigs = {moved: CONTIGS[moved] for moved in draw(st.permutations(list(CONTIGS)))}
    if choice == "width":
        width = draw(st.integers(1, 500))
    with tempfile.TemporaryDirectory() as folder:
        text = fasta(Path(folder), contigs, width=width).read_bytes()
    if choice == "twice":
        text += f">{name}\n{OTHER[name]}\n".encode()
    # within the first line of bases of the first contig, so that no line of another length is the last of its contig
    offset = draw(st.integers(text.index(b"\n") + 1, text.index(b"\n") + WIDTH))
    if choice == "byte":
        text = text[:offset] + bytes([draw(st.sampled_from(b":*-.0>@\x01\x7f\xe9"))]) + text[offset + 1 :]
    if choice == "added":
        text = text[:offset] + b"A" + text[offset:]
    if choice == "dropped":
        text = text[:offset] + text[offset + 1 :]
    return text[: draw(st.integers(0, len(text)))] if choice == "cut" else text


def put_index(path: Path, text: str | None, is_newer: bool) -> None:
    if text is None:
        return
    index = Path(f"{path}.fai")
    index.write_text(text, encoding="utf-8", errors="surrogatepass")
    changed = path.stat().st_mtime + (60 if is_newer else -60)
    os.utime(index, (changed, changed))


@given(damaged_indexes(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_damaged_index_of_a_whole_fasta_changes_no_number(index, is_newer):
    with tempfile.TemporaryDirectory() as folder:
        path = fasta(Path(folder), CONTIGS)
        put_index(path, index, is_newer)
        try:
            numbers = deltas(path)
        except RaygenError as error:  # the FASTA may be the beginning of what the index describes
            assert "is shorter than its index" in str(error)
        else:
            assert numbers == pytest.approx(undamaged())


@given(damaged_texts(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_damaged_fasta_beside_its_right_index_gives_the_same_numbers_or_stops(text, is_newer):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.fa"
        path.write_bytes(text)
        put_index(path, index_of(CONTIGS), is_newer)
        try:
            numbers = deltas(path)
        except RaygenError as error:
            assert str(error)
        else:
            assert numbers == pytest.approx(undamaged())


@given(damaged_indexes(), st.booleans(), st.integers(0, 100), st.integers(0, 300))
@settings(max_examples=20, deadline=None)
def test_a_compressed_fasta_gives_the_same_numbers_whatever_index_lies_beside_it_or_stops(index, is_newer, lost, width):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.fa.gz"
        pysam.tabix_compress(str(fasta(Path(folder), CONTIGS, "plain.fa", width + 1)), str(path))
        path.write_bytes(path.read_bytes()[: -lost or None])
        put_index(path, index, is_newer)
        try:
            numbers = deltas(path)
        except RaygenError as error:
            assert "is shorter than its index" in str(error) or "truncated or corrupt" in str(error)
        else:
            assert not lost
            assert numbers == pytest.approx(undamaged())
