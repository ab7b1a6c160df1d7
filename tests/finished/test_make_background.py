import shutil

import numpy as np
import pytest

from raygen.classes.background import Background
from raygen.classes.background_file import read_background, write_background
from raygen.classes.contexts import context_codes
from raygen.errors import InputError, SettingsError
from raygen.finished.make_background import BackgroundRequest, make_background
from raygen.finished.reclassify import reclassify
from raygen.sequence.reference import open_reference, staged_reference
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.schemas import SCORES
from raygen.tables.verify import verify
from tests.builders import fasta, random_bases
from tests.finished_runs import finished_run
from tests.position_tables import write_positions

BASES = random_bases(600, 5)


@pytest.fixture
def reference(tmp_path):
    return fasta(tmp_path, {"chr1": BASES})


def made(*sources, **request) -> Background:
    return make_background(BackgroundRequest([str(source) for source in sources], **request)).background


def snv(pos, number=0):
    base = BASES[pos - 1]
    return f"chr1-{pos}-{base}-{[alt for alt in 'ACGT' if alt != base][number]}"


def test_a_position_table_and_its_scores_give_the_same_background(tmp_path, reference):
    digest = open_reference(str(reference)).digest
    table = write_positions(
        tmp_path / "table", {"chr1": BASES}, identity=Identity("f" * 16, digest), reference=reference
    )
    from raygen.finished.position_scores import PositionScores
    from raygen.tables.position_rows import PositionRows

    changes = PositionScores(PositionRows(table)).rows_between("chr1", 1, 600, ["variant_id", "delta_llr"])
    deltas = dict(zip(changes["variant_id"].to_pylist(), changes["delta_llr"].to_pylist(), strict=True))
    scores = finished_run(tmp_path / "scores", deltas, reference=reference, shard_rows=700)
    regions = tmp_path / "regions.bed"
    regions.write_text("chr1\t99\t400\texon\nchr1\t350\t500\trepeat\n")
    request = {"regions": str(regions), "kinds": str(regions), "neutral": "all"}
    one, other = made(table, **request), made(scores, **request)
    assert one.every.num_scores == 3 * 401
    assert {name: counts.num_scores for name, counts in one.groups.items()} == {
        "SNV, exon": 3 * 301,
        "SNV, repeat": 300,
    }
    for name in one.groups:
        np.testing.assert_array_equal(one.groups[name].steps, other.groups[name].steps)
        np.testing.assert_array_equal(one.groups[name].counts, other.groups[name].counts)
    for left, right in zip(one.contexts.arrays, other.contexts.arrays, strict=True):
        np.testing.assert_array_equal(left, right)
    assert one.facts.contig_lengths == {"chr1": 600}
    assert (one.facts.neutral, one.contexts.num_changes) == ("all changes of the background", 1203)


def test_neutral_sites_are_those_of_a_bed_or_of_the_rows_with_a_value(tmp_path, reference):
    deltas = {snv(pos): float(-pos) for pos in range(10, 30)}
    effects = {name: "synonymous" if -delta < 20 else "missense" for name, delta in deltas.items()}
    run = finished_run(tmp_path / "run", deltas, reference=reference, columns={"effect": effects})
    (tmp_path / "neutral.bed").write_text("chr1\t9\t19\n")
    of_bed, of_rows = made(run, neutral=str(tmp_path / "neutral.bed")), made(run, neutral="effect=synonymous,other")
    for left, right in zip(of_bed.contexts.arrays, of_rows.contexts.arrays, strict=True):
        np.testing.assert_array_equal(left, right)
    assert of_rows.contexts.num_changes == 10
    assert of_rows.every.num_scores == 20
    bases = np.frombuffer(BASES.encode(), np.uint8)
    code = context_codes(bases, np.array([12]), np.array([ord(snv(12)[-1])], np.uint8))
    assert of_rows.contexts.total[code[0]] <= -12 * 2**16


def test_rows_in_which_nothing_changes_are_left_out_and_counted(tmp_path):
    deltas = {snv(5): -1.0, snv(6): -2.0, snv(7): 0.0}
    run = finished_run(tmp_path / "run", deltas, flags={snv(7): ["same_sequence"]})
    result = make_background(BackgroundRequest([run]))
    assert result.background.every.num_scores == 2
    assert result.remarks == ["1 row with the same WT and MUT left out."]


def test_a_file_and_a_run_of_one_fingerprint_are_added(tmp_path):
    one = finished_run(tmp_path / "one", {snv(5): -1.0, snv(6): -2.0})
    other = finished_run(tmp_path / "other", {snv(7): -3.0})
    shutil.rmtree(tmp_path / "other/runs")  # both have the id of one run
    write_background(made(one), tmp_path / "one.zip")
    assert made(tmp_path / "one.zip", other).digest == made(one, other).digest
    strange = finished_run(tmp_path / "strange", {snv(7): -3.0}, fingerprint="0" * 16)
    with pytest.raises(SettingsError, match="fingerprint"):
        made(one, strange)
    with pytest.raises(SettingsError, match="given twice: its scores would count twice"):
        made(one, f"{one}/")
    shutil.copytree(one, tmp_path / "copy")
    with pytest.raises(SettingsError, match="hold scores of the same run"):
        made(one, tmp_path / "copy")
    with pytest.raises(SettingsError, match="a background that is made already: --neutral is for tables"):
        made(tmp_path / "one.zip", other, neutral="all")


@pytest.mark.parametrize(
    ("request_", "error", "said"),
    [
        ({"by": "gene"}, SettingsError, "--by gene: .* has no such column of its variants; it has effect"),
        ({"by": "chrom"}, SettingsError, "--by chrom: .* has no such column of its variants"),
        ({"neutral": f"effect={'x' * 300}"}, InputError, "No single-base change is among the neutral ones"),
        ({"neutral": "gene=x"}, SettingsError, "--neutral gene: .* has no such column"),
        ({"neutral": "effect=nothing"}, InputError, "No single-base change is among the neutral ones"),
        ({"regions": "far.bed"}, InputError, "run has no scores in .*far.bed"),
        ({"neutral": "past.bed"}, InputError, "it ends at 700, but chr1 has 600 bases"),
        ({"kinds": "far.bed"}, InputError, "no fourth column"),
        ({"neutral": "all", "reference": "other.fa"}, InputError, "is not the reference that .* was scored on"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_is_said(tmp_path, reference, monkeypatch, request_, error, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far.bed").write_text("chr1\t500\t520\n")
    (tmp_path / "past.bed").write_text("chr1\t500\t700\n")
    fasta(tmp_path, {"chr1": random_bases(600, 9)}, "other.fa")
    effects = {snv(5): "missense", snv(6): "missense"}
    run = finished_run(tmp_path / "run", {snv(5): -1.0, snv(6): -2.0}, reference=reference, columns={"effect": effects})
    with pytest.raises(error, match=said):
        made(run, **request_)


def test_many_small_regions_take_no_more_memory_than_few(tmp_path, reference):
    deltas = {snv(pos, number): -pos / 7 - number for pos in range(1, 601) for number in range(3)}
    run = finished_run(tmp_path / "run", deltas, reference=reference, shard_rows=90)
    (tmp_path / "many.bed").write_text("".join(f"chr1\t{start}\t{start + 1}\n" for start in range(0, 600, 2)))
    background = made(run, regions=str(tmp_path / "many.bed"), neutral="all")
    assert background.every.num_scores == 900
    (tmp_path / "one.bed").write_text("chr1\t401\t420\n")
    assert made(run, regions=str(tmp_path / "one.bed")).every.num_scores == 57


def test_pairs_lie_in_no_region(tmp_path):
    run = finished_run(tmp_path / "run", {"one": -1.0, "other": -2.0})
    assert made(run).groups.keys() == {"pair"}
    with pytest.raises(SettingsError, match="scores of pairs, which lie on no contig: leave out --neutral"):
        made(run, neutral="all")


def test_lists_say_what_is_neutral_as_they_are_grouped(tmp_path, reference):
    effects = {snv(5): ["synonymous"], snv(6): ["missense", "stop"]}
    run = finished_run(tmp_path / "run", {snv(5): -1.0, snv(6): -2.0}, reference=reference, columns={"effect": effects})
    background = made(run, by="effect", neutral="effect=missense&stop")
    assert set(background.groups) == {"SNV, synonymous", "SNV, missense&stop"}
    assert background.contexts.num_changes == 1


def test_cut_points_need_no_reference(tmp_path, reference):
    run = finished_run(tmp_path / "run", {snv(5): -1.0, snv(6): -2.0}, reference=reference)
    reference.write_text("##fileformat=VCFv4.2\n")
    for remembered in (staged_reference, open_reference):
        remembered.cache_clear()
    reclassify(run, str(tmp_path / "new"), (-7.0, -3.0, -1.5, 1.0))
    assert made(run).facts.contig_lengths == {}


def test_what_cut_points_came_from_stays_with_them(tmp_path, reference):
    deltas = {snv(pos): -float(pos) for pos in range(10, 30)}
    run = finished_run(tmp_path / "run", deltas, reference=reference)
    first, other = made(run), made(finished_run(tmp_path / "other", {snv(3): -1.0, snv(4): -2.0}, reference=reference))
    reclassify(run, str(tmp_path / "cut"), (0, 5, 10, 13), background=first, on="phred")
    reclassify(str(tmp_path / "cut"), str(tmp_path / "again"), background=other)
    identity = RunFolder(str(tmp_path / "again")).identity()
    assert identity.cuts == RunFolder(str(tmp_path / "cut")).identity().cuts
    assert identity.background == other.digest
    assert RunFolder(str(tmp_path / "again")).read_manifest()["resolved"]["background"] == other.digest


def test_one_value_ranks_nothing(tmp_path):
    run = finished_run(tmp_path / "run", {snv(5): -1.0, snv(6): -1.0})
    with pytest.raises(InputError, match="All 2 scores are about -1: nothing can be ranked against one value"):
        made(run)


def test_a_column_of_variants_is_not_asked_of_a_position_table(tmp_path):
    table = write_positions(tmp_path / "table", {"chr1": BASES})
    with pytest.raises(SettingsError, match="is a position table, which has no columns of variants"):
        made(table, by="gene")


def test_a_column_with_a_value_for_each_variant_is_no_group(tmp_path):
    deltas = {snv(pos, number): -pos / 7 for pos in range(1, 501) for number in range(3)}
    run = finished_run(tmp_path / "run", deltas, columns={"id": {name: name for name in deltas}}, shard_rows=2000)
    with pytest.raises(SettingsError, match="more than 1,000 groups"):
        made(run, by="id")


def test_reclassify_ranks_a_finished_run_and_verify_knows_it(tmp_path, reference):
    deltas = {snv(pos): -float(pos) for pos in range(10, 30)}
    effects = {name: "synonymous" if -delta < 20 else "missense" for name, delta in deltas.items()}
    run = finished_run(tmp_path / "run", deltas, reference=reference, columns={"effect": effects})
    background = made(run, by="effect", neutral="effect=synonymous")
    reclassify(run, str(tmp_path / "ranked"), background=background)
    before, after = read_scores(run), read_scores(str(tmp_path / "ranked"))
    assert after.column_names == [*SCORES.names, "effect", *background.columns]
    assert after.select(before.column_names).equals(before), "without cut points the classes stay"
    rank = dict(zip(after["variant_id"].to_pylist(), after["percentile"].to_pylist(), strict=True))
    assert [rank[snv(pos)] for pos in (29, 28, 10)] == [1 / 20, 2 / 20, 1]
    assert set(after["background_group"].to_pylist()) == {"SNV, synonymous", "SNV, missense"}
    assert RunFolder(str(tmp_path / "ranked")).identity().background == background.digest
    assert not verify(str(tmp_path / "ranked")).faults
    reclassify(str(tmp_path / "ranked"), str(tmp_path / "cut"), (0, 5, 10, 13), background=background, on="phred")
    cut = read_scores(str(tmp_path / "cut"))
    classes = dict(zip(cut["variant_id"].to_pylist(), cut["classification"].to_pylist(), strict=True))
    assert (classes[snv(29)], classes[snv(28)], classes[snv(10)]) == ("pathogenic", "likely_pathogenic", "benign")
    assert "; PHRED 0, 5, 10, 13 of background" in RunFolder(str(tmp_path / "cut")).identity().cuts
    reclassify(str(tmp_path / "cut"), str(tmp_path / "back"), (-7.0, -3.0, -1.0, 1.0))
    back = read_scores(str(tmp_path / "back"))
    assert back.equals(after), "ranks stay where only classes change"


def test_contexts_take_part_in_classes_and_go_back(tmp_path, reference):
    deltas = {snv(pos): -4.0 - pos / 100 for pos in range(10, 200)}
    strands = {
        "delta_fwd": {name: delta - 1 for name, delta in deltas.items()},
        "delta_rev": {name: delta + 1 for name, delta in deltas.items()},
    }
    run = finished_run(tmp_path / "run", deltas, reference=reference, shard_rows=100, **strands)
    background = made(run, neutral="all")
    reclassify(run, str(tmp_path / "new"), (-7, -3, -1, 1), background=background, on="delta_context")
    new = read_scores(str(tmp_path / "new"))
    assert set(new["classification"].to_pylist()) == {"benign"}
    reclassify(str(tmp_path / "new"), str(tmp_path / "back"), (-7, -3, -1, 1))
    back = read_scores(str(tmp_path / "back"))
    assert back.select(SCORES.names).equals(read_scores(run))
    with pytest.raises(SettingsError, match=r"are cut on .*delta_context of background"):
        reclassify(str(tmp_path / "new"), str(tmp_path / "more"), background=background)


def test_a_background_that_needs_a_column_or_clashes_with_one_is_refused(tmp_path, reference):
    deltas = {snv(5): -1.0, snv(6): -2.0}
    run = finished_run(tmp_path / "run", deltas, reference=reference, columns={"effect": dict.fromkeys(deltas, "x")})
    background = made(run, by="effect")
    bare = finished_run(tmp_path / "bare", deltas, reference=reference)
    with pytest.raises(SettingsError, match="ranks variants by their effect, a column that"):
        reclassify(bare, str(tmp_path / "new"), background=background)
    clashing = finished_run(
        tmp_path / "clashing", deltas, reference=reference, columns={"phred": dict.fromkeys(deltas, 3.0)}
    )
    with pytest.raises(SettingsError, match="columns of its input called phred"):
        reclassify(clashing, str(tmp_path / "new"), background=made(bare))


def test_a_written_background_is_small_and_readable_by_others(tmp_path):
    table = write_positions(tmp_path / "table", {"chr1": random_bases(200_000, 1)})
    write_background(made(table), tmp_path / "b.zip")
    assert (tmp_path / "b.zip").stat().st_size < 2e6
    import zipfile

    import polars as pl

    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        counts = pl.read_parquet(archive.read("counts.parquet"))
    assert counts["count"].sum() == 600_000 == read_background(tmp_path / "b.zip").every.num_scores
