"""The page about a position table, and what it counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from raygen.classes.words import MINUS
from raygen.errors import InputError
from raygen.pages import position_tally
from raygen.pages.position_tally import PositionTally, quantile, round_width, tally_positions
from raygen.pages.report import write_report
from raygen.sequence.reference import open_reference
from raygen.tables.identity import Identity
from raygen.tables.position_rows import PositionRows
from raygen.tables.position_table import BASES, KIND, PositionFolder
from tests.builders import fasta, random_bases
from tests.pages.page_reader import read_page
from tests.position_tables import IDENTITY, RUN, write_positions
from tests.run_folders import made_manifest

# Of 1:ACG the means of the three changes are -2, -6 and 1.
BY_HAND = {
    "1-1-A-C": -1.0,
    "1-1-A-G": -2.0,
    "1-1-A-T": -3.0,
    "1-2-C-A": -4.0,
    "1-2-C-G": -5.0,
    "1-2-C-T": -9.0,
    "1-3-G-A": 0.5,
    "1-3-G-C": 1.0,
    "1-3-G-T": 1.5,
}


def manifest_of(num_bases: int, **changes: Any) -> dict[str, Any]:
    """The manifest of a run over so many bases, beside two N and an R; 30 bases and 200 tokens a second."""
    manifest = made_manifest(3 * num_bases, (), {"run_id": RUN, "kind": KIND, "fingerprint": IDENTITY.fingerprint})
    manifest["settings"]["input"]["variants"] = None
    manifest["input"] = {"bases": num_bases, "other_letters": {"R": 1, "N": 2}, "contigs": [], "regions": None}
    manifest["seconds"] = {"plan": 0.1, "score": num_bases / 30, "total": 7200.0}
    manifest["tokens"] = {"computed": 200, "by_two_passes": 0, "saved": 0}
    return {**manifest, **changes}


def page_of(out: str, manifest: Mapping[str, Any], price: float | None = None) -> str:
    """The text of the page about a table whose run wrote this manifest: a space in the place of tags, ``-`` in that of minus signs."""
    PositionFolder(out).write_manifest(RUN, manifest)
    path = write_report(out, None, price)
    assert path == f"{out}/runs/{RUN}/report.html"
    read = read_page(Path(path).read_text(encoding="utf-8"))
    assert read.holds_all_it_shows() and not read.scripts
    return " ".join(read.lines).replace(MINUS, "-")


def html_of(out: str) -> str:
    """The page that was written."""
    return Path(f"{out}/runs/{RUN}/report.html").read_text(encoding="utf-8")


def contigs_drawn(out: str) -> list[str]:
    """The titles of the charts along contigs, in the order of the page."""
    section = html_of(out).split('id="along"')[1].split("</section>")[0]
    return re.findall("<h3>(.*?)</h3>", section)


def tally_of(out: str) -> PositionTally:
    table = PositionRows(out)
    return tally_positions(table, table.contigs)


def test_numbers_worked_out_by_hand_are_on_the_page(tmp_path) -> None:
    out = write_positions(tmp_path / "out", {"1": "ACG"}, deltas=BY_HAND)
    page = page_of(out, manifest_of(3), price=2.0)
    assert "9 single-base changes scored by bigram" in page
    assert "bases in the table 3 on 1 contig" in page
    assert "bases a second 30 over 0.1 s" in page
    assert (
        "This run: 6 bases = 3 A, C, G or T + 2 N + 1 R; 9 single-base changes in = 9 scored + 0 rejected + 0 already scored."
        in page
    )
    assert "The median is -2.00 nats; 99.6% lie between -9.00 and 1.50." in page
    assert "from \\ to A C G T A -1.00 -1.0 to -1.0 -2.00 -2.0 to -2.0 -3.00 -3.0 to -3.0" in page
    assert " C -4.00 -4.0 to -4.0 -5.00 -5.0 to -5.0 -9.00 -9.0 to -9.0 G 0.50 0.5 to 0.5" in page
    assert "tokens a base 66.7" in page and "money a million bases 1,333,333.33" in page
    assert "of all 3 bases of the table" not in page
    assert "classes" not in page and "cut points" not in page and "reading the input" not in page


def test_a_median_has_the_middle_90_per_cent_beside_it(tmp_path) -> None:
    deltas = {f"1-{pos}-A-T": -pos / 10 for pos in range(1, 101)}
    page = page_of(write_positions(tmp_path / "out", {"1": "A" * 100}, deltas=deltas), manifest_of(100))
    assert " -5.10 -9.6 to -0.6 " in page, "of 100 in steps of 0.1 up to -0.1 the 50th, the 5th and the 95th"


def test_stretches_are_ranked_by_the_mean_over_their_bases(tmp_path) -> None:
    deltas = {f"1-{pos}-A-{base}": mean for pos, mean in _means().items() for base in "CGT"}
    page = page_of(write_positions(tmp_path / "out", {"1": "A" * 349}, deltas=deltas), manifest_of(349))
    assert "The table in stretches of 100 bases" in page
    assert "To look into one: raygen query TABLE --region 1:101-200" in page
    constrained, least = page.split("Most constrained place bases mean entropy ")[1].split(
        "Least constrained place bases mean entropy "
    )
    assert constrained.startswith("1:101-200 100 -4.00 ") and " 1:1-100 100 -1.50 " in constrained
    assert least.startswith("1:201-300 100 2.00 "), "the middle one of three is in one of the lists alone"
    assert "1:301" not in page, "49 bases are less than half of a stretch"


def _means() -> dict[int, float]:
    """-1 and -2 in turn on the first hundred bases, -4 on the second, 2 on the third, then -50."""
    first = {pos: -1.0 - pos % 2 for pos in range(1, 101)}
    return (
        first
        | dict.fromkeys(range(101, 201), -4.0)
        | dict.fromkeys(range(201, 301), 2.0)
        | dict.fromkeys(range(301, 350), -50.0)
    )


def test_one_base_has_a_page(tmp_path) -> None:
    page = page_of(write_positions(tmp_path / "out", {"1": "NNC"}, deltas={"1-3-C-A": -2.25}), manifest_of(1))
    assert "bases in the table 1 on 1 contig" in page
    assert "C -2.25 -2.2 to -2.2" in page
    assert "Most constrained" not in page, "a base is no half of a stretch"


def test_an_empty_table_has_a_page(tmp_path) -> None:
    PositionFolder(str(tmp_path / "out")).prepare()
    page = page_of(str(tmp_path / "out"), manifest_of(0))
    assert "0 single-base changes scored by bigram" in page
    assert "This run: 3 bases = 0 A, C, G or T + 2 N + 1 R; 0 single-base changes in" in page
    assert "Distribution" not in page and "Along the contigs" not in page and "Most constrained" not in page


def test_what_to_know_first_and_what_was_rejected_are_there(tmp_path) -> None:
    out = write_positions(
        tmp_path / "out", {"1": "ACGT"}, flags={"1-2": ["n_in_window"], "1-3": ["n_in_window", "too_many_n"]}
    )
    manifest = manifest_of(6, status="running", warnings=["Everything has the flag off_label_domain."])
    manifest["resolved"]["off_label"] = True
    manifest["counts"] |= {"scored": 6, "already_scored": 6, "num_rejected": 6, "rejected": {"scoring_failed": 6}}
    manifest["input"] |= {"contigs": ["1"], "regions": "/somebodys/home/panel.bed"}
    page = page_of(out, manifest)
    assert (
        page.index("flag off_label_domain")
        < page.index("still at work, or it was killed")
        < page.index("Summary bases")
    )
    assert "= 6 scored + 6 rejected + 6 already scored." in page
    assert "single-base changes 12 6 by this run" in page and "are of all 4 bases of the table" in page
    assert "scoring_failed The model gave no finite value. 6" in page
    flags = page.split("flag meaning bases ")[1]
    assert flags.startswith("n_in_window The window holds at least one base that is not A, C, G or T. 2 too_many_n ")
    assert "panel.bed" in page and "somebodys" not in page


def test_contigs_names_are_text(tmp_path) -> None:
    hostile = "<img src=x onerror='a()'>"
    out = write_positions(tmp_path / "out", {hostile: "A" * 60, "HLA-A*01:01": "C" * 70})
    page = page_of(out, manifest_of(130))
    html = html_of(out)
    assert "<img" not in html and "&lt;img src=x onerror=&#39;a()&#39;&gt;:1-60" in html
    assert f"{hostile}:1-60 60 " in page and "HLA-A*01:01:1-70 70 " in page
    assert "--region 'HLA-A*01:01:1-70'" in page or "--region '<img" in page, "for a shell, too"


@pytest.mark.parametrize("both", [False, True], ids=["one strand", "both strands"])
def test_counts_are_those_of_all_rows_read_at_once(tmp_path, monkeypatch, both) -> None:
    monkeypatch.setattr(position_tally, "_ROWS_AT_ONCE", 700)
    monkeypatch.setattr(position_tally, "_PIECE", 300)
    contigs = {"1": random_bases(2000, 1) + "N" * 1500 + random_bases(900, 2), "2": random_bases(333, 3)}
    out = write_positions(tmp_path / "out", contigs, both, shard_bases=500)
    write_positions(tmp_path / "out", {"1": random_bases(700, 4)}, both, 5, start=2301, shard_bases=400)
    tally, table = tally_of(out), PositionRows(out)
    rows = {chrom: table.rows_between(chrom, 1, 10_000, table.schema.names) for chrom in contigs}
    assert tally.num_bases == sum(map(len, rows.values())) == 2900 + 700 + 333
    for row, ref in enumerate(BASES):
        for column, alt in enumerate(BASES):
            deltas = np.concatenate(
                [
                    part.filter(pc.equal(part["ref"], ref))[f"delta_{alt}"].drop_null().to_numpy()
                    for part in rows.values()
                ]
            )
            assert tally.changes[row, column].sum() == len(deltas)
            for share in (0.05, 0.5, 0.95) if len(deltas) else ():
                exact = np.sort(deltas)[int(np.ceil(share * len(deltas))) - 1]
                assert quantile(tally.changes[row, column], share) == pytest.approx(exact, abs=0.00501)
    for along in tally.along:
        pos, mean = rows[along.chrom]["pos"].to_numpy(), mean_of(rows[along.chrom])
        assert along.start == 1 and along.width == {"1": 10, "2": 1}[along.chrom] and along.num_bases.sum() == len(pos)
        for values, bases in ((along.mean, mean), (along.entropy, rows[along.chrom]["entropy"].to_numpy())):
            for column in range(len(values)):
                inside = bases[(pos - 1) // along.width == column]
                assert values[column] == pytest.approx(inside.mean() if len(inside) else np.nan, abs=1e-6, nan_ok=True)
    assert [stretch.mean for stretch in tally.lowest] == sorted(stretch.mean for stretch in tally.lowest)
    for stretch in [*tally.lowest, *tally.highest]:
        pos = rows[stretch.chrom]["pos"].to_numpy()
        inside = (pos >= stretch.start) & (pos <= stretch.end)
        assert (stretch.num_bases, stretch.mean) == (
            inside.sum(),
            pytest.approx(mean_of(rows[stretch.chrom])[inside].mean(), abs=1e-6),
        )
    assert tally.strands.rows == (3 * tally.num_bases if both else 0)
    assert (tally.strands.correlation is None) == (not both)
    if both:
        forward, reverse = (
            np.concatenate(
                [part[f"delta_{base}_{name}"].drop_null().to_numpy() for part in rows.values() for base in BASES]
            )
            for name in ("fwd", "rev")
        )
        assert tally.strands.correlation == pytest.approx(np.corrcoef(forward, reverse)[0, 1], abs=1e-5)


def mean_of(rows: Any) -> np.ndarray:
    """The mean of each base's three changes."""
    return np.nanmean([rows[f"delta_{base}"].to_numpy() for base in BASES], axis=0, dtype=np.float64)


def test_both_strands_are_compared_on_the_page(tmp_path) -> None:
    page = page_of(write_positions(tmp_path / "out", {"1": "ACG"}, both=True, deltas=BY_HAND), manifest_of(3))
    assert "correlation of the strands 1.00 of delta_llr, forward and reverse" in page, "reverse is 2 less throughout"
    page = page_of(write_positions(tmp_path / "one", {"1": "ACG"}, deltas=BY_HAND), manifest_of(3))
    assert "correlation of the strands" not in page


def test_bins_are_as_few_where_a_contig_is_thousands_of_millions_of_bases_long(tmp_path) -> None:
    out = write_positions(tmp_path / "out", {"1": random_bases(150)})
    write_positions(tmp_path / "out", {"1": random_bases(2500)}, start=1_900_000_001)
    tally = tally_of(out)
    assert len(tally.along[0].mean) <= position_tally.MAX_COLUMNS + 1
    assert tally.stretch == 2000
    assert [(stretch.start, stretch.end, stretch.num_bases) for stretch in tally.lowest] == [
        (1_900_000_001, 1_900_002_000, 2000)
    ], "and of the last 2,000 bases there are 500, of the first 150"


def test_no_stretch_is_in_both_lists_and_neither_is_longer_than_twenty(tmp_path) -> None:
    for num_stretches, lengths in ((1, (1, 0)), (5, (3, 2)), (39, (20, 19)), (60, (20, 20))):
        tally = tally_of(write_positions(tmp_path / f"{num_stretches}", {"1": random_bases(100 * num_stretches)}))
        assert (len(tally.lowest), len(tally.highest)) == lengths
        places = {stretch.start for stretch in [*tally.lowest, *tally.highest]}
        assert len(places) == sum(lengths)
        assert max(stretch.mean for stretch in tally.lowest) <= min(
            (stretch.mean for stretch in tally.highest), default=9
        )


def test_the_thirty_longest_contigs_are_drawn_in_order_and_the_others_counted(tmp_path) -> None:
    contigs = {f"chr{number}": random_bases(20 + 7 * number % 40) for number in range(1, 34)}
    out = write_positions(tmp_path / "out", contigs)
    page = page_of(out, manifest_of(1))
    longest = sorted(contigs, key=lambda chrom: -len(contigs[chrom]))[:30]
    drawn = contigs_drawn(out)
    assert len(drawn) == 30
    assert sorted(len(contigs[chrom]) for chrom in drawn) == sorted(len(contigs[chrom]) for chrom in longest)
    assert drawn == sorted(drawn, key=lambda chrom: int(chrom[3:])), "chr2 before chr10"
    assert "3 contigs with fewer bases are not drawn" in page


def test_contigs_come_in_the_order_of_the_reference(tmp_path) -> None:
    contigs = {"b": random_bases(80), "c": random_bases(90), "a": random_bases(70)}
    path = fasta(tmp_path, contigs)
    identity = Identity(IDENTITY.fingerprint, open_reference(str(path)).digest)
    out = write_positions(tmp_path / "out", dict(sorted(contigs.items())), identity=identity)
    manifest = manifest_of(240)
    manifest["resolved"]["reference"] = str(path)
    page_of(out, manifest)
    assert contigs_drawn(out) == ["b", "c", "a"]
    path.unlink()
    page_of(out, manifest)
    assert contigs_drawn(out) == ["a", "b", "c"], "where it is not at hand"


def test_a_gap_breaks_the_line_and_a_stretch_alone_is_drawn(tmp_path) -> None:
    out = write_positions(tmp_path / "out", {"1": random_bases(30) + "N" * 40 + "C" + "N" * 29})
    page_of(out, manifest_of(31))
    html = html_of(out)
    lines = [
        part.split('"')[0]
        for part in html.split('id="along"')[1].split(' d="')[1:]
        if 'stroke="var(--series-' in part[:9000]
    ]
    assert lines and all(line.count("M") == 2 for line in lines if line.count("L") > 5)


def test_a_delta_beyond_all_bins_is_in_the_outermost(tmp_path) -> None:
    tally = tally_of(write_positions(tmp_path / "out", {"1": "A"}, deltas={"1-1-A-C": -4321.0, "1-1-A-G": 4321.0}))
    assert quantile(tally.changes[0, 1], 0.5) == -100 and quantile(tally.changes[0, 2], 0.5) == 100


@pytest.mark.parametrize(
    ("least", "width"), [(0, 1), (1, 1), (1.1, 2), (2.5, 5), (33.1, 50), (50, 50), (620_000, 1_000_000)]
)
def test_widths_are_round(least, width) -> None:
    assert round_width(least) == width


def test_a_damaged_table_says_which_file(tmp_path) -> None:
    out = write_positions(tmp_path / "out", {"1": random_bases(5000)})
    (file,) = Path(out).rglob("part-*.parquet")
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    PositionFolder(out).write_manifest(RUN, manifest_of(5000))
    with pytest.raises(InputError, match="part-"):
        write_report(out)
