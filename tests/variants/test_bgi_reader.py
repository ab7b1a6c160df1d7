"""Indexes of BGEN files, built with the tables of bgenix and with blocks as the BGEN specification has them."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from raygen.errors import InputError
from raygen.variants.bgi import BgiReader
from raygen.variants.file_kinds import kind_of
from raygen.variants.inputs import open_readers

BASES = "ACGTACGTAC" * 10
Site = tuple[str, Any, str, list[str]]
SITES: list[Site] = [
    ("01", 1, "as_it_is", ["A", "G"]),
    ("01", 2, "swapped", ["T", "C"]),
    ("01", 3, "neither", ["A", "C"]),
    ("01", 6, "longer", ["CG", "C"]),
]
THREE: Site = ("01", 9, "three", ["A", "C", "ATT"])


def bgen(path: Path, sites: Sequence[Site]) -> list[int]:
    """A BGEN of layout 2 without samples, whose blocks hold no genotypes; where each block starts."""
    content = struct.pack("<IIII4sI", 20, 20, len(sites), 0, b"bgen", 2 << 2)
    starts = []
    for chrom, pos, name, alleles in sites:
        starts.append(len(content))
        for text in (name, name, chrom):
            content += struct.pack("<H", len(text)) + text.encode()
        content += struct.pack("<IH", max(pos, 0) if isinstance(pos, int) else 0, len(alleles))
        for allele in alleles:
            content += struct.pack("<I", len(allele)) + allele.encode()
        content += struct.pack("<I", 0)
    path.write_bytes(content)
    return starts


def bgi(folder: Path, sites: Sequence[Site], *, with_bgen: bool = True, name: str = "a.bgen.bgi") -> Path:
    """The index that bgenix makes, with or without the BGEN beside it."""
    path = folder / name
    starts = bgen(path.with_suffix(""), sites)
    if not with_bgen:
        path.with_suffix("").unlink()
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE Variant (chromosome TEXT NOT NULL, position INT NOT NULL, rsid TEXT NOT NULL, number_of_alleles INT NOT NULL, "
        "allele1 TEXT NOT NULL, allele2 TEXT NULL, file_start_position INT NOT NULL, size_in_bytes INT NOT NULL, "
        "PRIMARY KEY (chromosome, position, rsid, allele1, allele2, file_start_position)) WITHOUT ROWID"
    )
    rows = [
        (chrom, pos, rsid, len(alleles), *[*alleles, ""][:2], start, 10)
        for (chrom, pos, rsid, alleles), start in zip(sites, starts, strict=True)
    ]
    connection.executemany("INSERT INTO Variant VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


def test_ref_is_decided_by_the_reference_and_zero_padded_contigs_are_known(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    path = bgi(tmp_path, SITES)
    assert (kind_of(path), isinstance(open_readers([path])[0], BgiReader)) == ("bgi", True)
    done = run_ingest([path], reference_of({"chr1": BASES}))
    assert done.ids == ["chr1-1-A-G", "chr1-2-C-T", "chr1-6-CG-C"]
    assert [(row["id"], row["ref_swapped"]) for row in done.variants] == [
        ("as_it_is", False),
        ("swapped", True),
        ("longer", False),
    ]
    [reject] = done.rejects
    assert (reject["id"], reject["reason"], reject["source"]) == ("neither", "ref_mismatch", "a.bgen.bgi:3")
    assert any("of 1 variant the reference has the other allele" in text for text in done.result.warnings)


def test_further_alleles_are_read_from_the_bgen_beside_it(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    done = run_ingest([bgi(tmp_path, [*SITES[:1], THREE])], reference_of({"1": BASES}))
    assert done.ids == ["1-1-A-G", "1-9-A-ATT", "1-9-A-C"]
    assert (done.result.num_records, done.result.num_alleles) == (2, 3)


def test_without_the_bgen_sites_of_more_alleles_are_refused_and_counted(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    done = run_ingest([bgi(tmp_path, [*SITES[:1], THREE], with_bgen=False)], reference_of({"1": BASES}))
    assert (done.ids, done.result.num_alleles, done.reasons) == (["1-1-A-G"], 3, ["malformed_record"] * 2)
    assert [(row["alt"], row["source"]) for row in done.rejects] == [("C", "a.bgen.bgi:2"), (None, "a.bgen.bgi:2")]
    assert (
        "a site of 3 alleles, of which the index holds two: they are in a.bgen, which is not beside it"
        in done.rejects[0]["detail"]
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda path: bgen(path, [SITES[0], ("01", 10, "three", ["A", "C", "ATT"])]), "has another site at byte"),
        (lambda path: path.write_bytes(path.read_bytes()[:-8]), "breaks off or is no BGEN at byte"),
        (lambda path: path.write_bytes(b"text"), "cannot be read as BGEN"),
    ],
)
def test_a_bgen_that_is_not_the_indexs_is_not_believed(
    tmp_path: Path,
    run_ingest: Callable[..., Any],
    reference_of: Callable[..., Any],
    change: Callable[[Path], Any],
    why: str,
) -> None:
    path = bgi(tmp_path, [SITES[0], THREE])
    change(path.with_suffix(""))
    done = run_ingest([path], reference_of({"1": BASES}))
    assert done.ids == ["1-1-A-G"]
    assert all(why in row["detail"] for row in done.rejects)


def test_values_that_are_no_positions_or_alleles_are_rejects(
    tmp_path: Path, run_ingest: Callable[..., Any], reference_of: Callable[..., Any]
) -> None:
    sites: list[Site] = [
        ("01", -3, "below", ["A", "C"]),
        ("01", 1, "one", ["A"]),
        ("01", "1e6 bases", "text", ["A", "C"]),
        ("01", 9, "good", ["A", "C"]),
    ]
    done = run_ingest([bgi(tmp_path, sites)], reference_of({"1": BASES}))
    assert done.ids == ["1-9-A-C"]
    assert {row["id"]: row["detail"] for row in done.rejects} == {
        "below": "position is '-3', not a whole number",
        "one": "the record has no ALT allele",
        "text": "position is '1e6 bases', not a whole number",
    }


def test_a_foreign_cut_or_unfinished_index_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.bgi"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE Sample (name TEXT)")
    connection.close()
    with pytest.raises(InputError, match="it has no table Variant"):
        open_readers([foreign])
    noise = tmp_path / "noise.bgi"
    noise.write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match="SQLite says 'file is not a database'"):
        open_readers([noise])
    whole = bgi(tmp_path, [("01", number + 1, f"rs{number}", ["A", "C"]) for number in range(5000)])
    cut = tmp_path / "cut.bgen.bgi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match="It may be cut"):
        list(open_readers([cut])[0].batches([]))
    (tmp_path / "a.bgen.bgi-journal").write_bytes(b"x")
    with pytest.raises(InputError, match="is being written"):
        open_readers([whole])
    with pytest.raises(InputError, match=r"holds genotypes. Give the file of its sites, a\.bgen\.bgi"):
        open_readers([whole.with_suffix("")])


def test_an_index_that_another_process_holds_is_read(tmp_path: Path) -> None:
    path = bgi(tmp_path, SITES)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    assert sum(batch.num_records for batch in open_readers([path])[0].batches([])) == len(SITES)
    other.close()
