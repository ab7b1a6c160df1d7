"""Every base of a reference, scored once, on a local Ray."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import ray

from raygen.errors import InputError, SettingsError, StoppedError
from raygen.finished.position_lookup import open_table
from raygen.pipeline.actor_scorer import ResidentPositionScorer
from raygen.pipeline.dry_scorer import DryPositionScorer
from raygen.pipeline.pieces import Kept, kept_in_pieces
from raygen.pipeline.tabulate import Parts, TabulateResult, in_words, run_tabulate, with_positions_window
from raygen.scoring.likelihood import load_model
from raygen.scoring.positions import IS_BASE, PositionScorer, plan_bases
from raygen.sequence.reference import open_reference, staged_reference
from raygen.sequence.windows import Window
from raygen.settings import load_settings
from raygen.tables.folder_kinds import holds_positions
from raygen.tables.layout import RunFolder
from raygen.tables.position_table import BASES, PositionFolder, positions_schema
from raygen.tables.verify import verify
from tests.builders import fasta, random_bases
from tests.pipeline.faults import faulty_position_scorer
from tests.pipeline.position_driver import in_pieces

pytestmark = pytest.mark.ray

CONTIGS = {"1": random_bases(700, 1), "HLA-A*01:01": "NN" + random_bases(200, 2).lower() + "NNR", "none": "N" * 60}
NUM_BASES = 900
WHOLE = Parts()
WINDOW = {"window.left": 40, "window.stride": 32, "window.strand": "both", "model.device": "cpu", "cluster.actors": 1}


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return fasta(tmp_path, CONTIGS)


def tabulate(
    out: Path, reference: Path, parts: Parts = WHOLE, make_scorer=ResidentPositionScorer, **more
) -> TabulateResult:
    given = {"input.reference": str(reference), "output.path": str(out), "model.name": "demo", **WINDOW, **more}
    settings = with_positions_window(load_settings(None, given=given, complete=False))
    return run_tabulate(settings, parts, say=lambda line: None, make_scorer=make_scorer)


@pytest.fixture(scope="module")
def tabulated_once(tmp_path_factory) -> tuple[Path, Path, TabulateResult]:
    folder = tmp_path_factory.mktemp("tabulated")
    path = fasta(folder, CONTIGS)
    return folder / "out", path, tabulate(folder / "out", path)


def positions(out: Path) -> pa.Table:
    rows = ds.dataset(
        out / "positions", partitioning=ds.partitioning(pa.schema([("chrom", pa.string())]), flavor="hive")
    )
    return rows.to_table().sort_by([("chrom", "ascending"), ("pos", "ascending")])


def manifest_of(result: TabulateResult) -> dict:
    return json.loads(Path(result.run.manifest).read_text())


def test_every_base_has_the_row_that_the_scorer_gives_it(tabulated_once) -> None:
    out, path, result = tabulated_once
    reference, window = open_reference(str(path)), Window(40, 1, "grid", 32)
    scorer = PositionScorer(load_model("demo", device="cpu"), reference, window, "both")
    table = positions(out)
    assert len(table) == NUM_BASES
    for chrom, letters in list(CONTIGS.items())[:2]:
        first = np.flatnonzero(IS_BASE[reference.bases(chrom)])
        wanted = scorer.score(plan_bases(chrom, first, reference, window, "both", False))
        rows = table.filter(pa.compute.equal(table["chrom"], chrom))
        assert rows["pos"].to_pylist() == (first + 1).tolist()
        assert rows["ref"].to_pylist() == [letters.upper()[place] for place in first]
        for name in (*(f"delta_{base}{suffix}" for base in BASES for suffix in ("", "_fwd", "_rev")), "entropy"):
            np.testing.assert_allclose(rows[name].to_numpy(), wanted[name].to_numpy(), atol=1e-5, err_msg=name)
            assert rows[name].null_count == wanted[name].null_count
        assert rows["flags"].equals(wanted["flags"])
    stored = PositionFolder(str(out)).scores_dataset().schema
    assert {field.name: field.type for field in stored} == {field.name: field.type for field in positions_schema(True)}
    assert result.letters == {"N": 64, "R": 1}


def test_what_came_of_it_is_accounted_for_and_said(tabulated_once) -> None:
    _, _, result = tabulated_once
    counts = result.run.counts
    assert (counts.alleles_in, counts.scored, counts.num_rejected, counts.already_scored) == (
        3 * NUM_BASES,
        3 * NUM_BASES,
        0,
        0,
    )
    manifest = manifest_of(result)
    assert manifest["kind"] == "positions" and manifest["status"] == "done"
    assert manifest["input"]["bases"] == NUM_BASES and manifest["input"]["other_letters"] == {"N": 64, "R": 1}
    assert manifest["tokens"]["computed"] == result.run.tokens > 0
    lines = in_words(result)
    assert lines[0] == "965 bases = 900 A, C, G or T + 64 N + 1 R"
    assert "2,700 single-base changes in = 2,700 scored + 0 rejected + 0 already scored" in lines


def test_a_contig_of_n_alone_makes_a_table_without_rows(reference, tmp_path) -> None:
    out = tmp_path / "out"
    result = tabulate(out, reference, Parts(contigs=["none"]))
    assert (result.num_bases, result.letters) == (0, {"N": 60})
    assert holds_positions(str(out)) and verify(str(out)).faults == []
    with pytest.raises(InputError, match="holds no positions yet"):
        open_table(str(out))


def test_a_second_run_scores_nothing(tabulated_once, tmp_path) -> None:
    out, path, _ = tabulated_once
    shutil.copytree(out, tmp_path / "out")
    again = tabulate(tmp_path / "out", path)
    assert (again.run.counts.scored, again.run.counts.already_scored) == (0, 3 * NUM_BASES)
    assert len(positions(tmp_path / "out")) == NUM_BASES


def test_parts_come_one_after_the_other_and_no_base_twice(tabulated_once, tmp_path) -> None:
    whole_out, path, _ = tabulated_once
    out = tmp_path / "out"
    (tmp_path / "regions.bed").write_text("1\t100\t150\nchr1\t140\t333\nHLA-A*01:01\t0\t30\n")
    first = tabulate(out, path, Parts(bed=str(tmp_path / "regions.bed")))
    assert first.num_bases == 233 + 28 and first.letters == {"N": 2}
    assert any("overlap" in warning for warning in first.run.warnings)
    second = tabulate(out, path, Parts(contigs=["1", "chr1"]))
    assert (second.run.counts.scored, second.run.counts.already_scored) == (3 * (700 - 233), 3 * 233)
    third = tabulate(out, path)
    assert (third.run.counts.scored, third.run.counts.already_scored) == (3 * (200 - 28), 3 * (700 + 28))
    table, whole = positions(out), positions(whole_out)
    assert table["pos"].equals(whole["pos"]) and table["chrom"].equals(whole["chrom"])
    for name in whole.column_names:
        if pa.types.is_floating(whole[name].type):
            np.testing.assert_allclose(table[name].to_numpy(), whole[name].to_numpy(), atol=1e-5)


class StopsInTheMiddle(ResidentPositionScorer):
    """Stops the run once it has scored the first piece of a later shard."""

    def score(self, planned: pa.Table) -> pa.Table:
        if planned["pos"][0].as_py() > 300:
            raise StoppedError("stopped on purpose")
        return super().score(planned)


def test_a_run_that_stops_goes_on_where_it_was(reference, tabulated_once, tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(StoppedError, match=r"on purpose.* of 2,700 single-base changes are scored and kept"):
        tabulate(out, reference, make_scorer=StopsInTheMiddle)
    committed = PositionFolder(str(out)).scores_dataset().count_rows()
    assert committed < NUM_BASES
    result = tabulate(out, reference)
    counts = result.run.counts
    assert counts.already_scored == 3 * committed and counts.scored == 3 * (NUM_BASES - committed)
    assert positions(out)["pos"].equals(positions(tabulated_once[0])["pos"])


def test_a_process_that_is_killed_loses_nothing(reference, tabulated_once, tmp_path) -> None:
    (tmp_path / "once").mkdir()
    result = tabulate(tmp_path / "out", reference, make_scorer=partial(faulty_position_scorer, once=tmp_path / "once"))
    assert (result.run.counts.scored, result.run.counts.num_rejected) == (3 * NUM_BASES, 0)
    table, whole = positions(tmp_path / "out"), positions(tabulated_once[0])
    assert table["pos"].equals(whole["pos"])
    np.testing.assert_allclose(table["delta_A"].to_numpy(), whole["delta_A"].to_numpy(), atol=1e-5)


def test_what_a_killed_driver_had_kept_is_not_computed_again(tmp_path) -> None:
    num_bases, out, seen = 400, tmp_path / "out", tmp_path / "seen"
    reference = fasta(tmp_path, {"1": random_bases(num_bases, 1)})
    command = [
        sys.executable,
        "-m",
        "tests.pipeline.position_driver",
        reference,
        out,
        ray.get_runtime_context().gcs_address,
    ]
    with subprocess.Popen(list(map(str, command)), cwd=Path(__file__).parents[2]) as driver:
        while len(list(out.glob(".work/*/rows.*"))) < 2:
            assert driver.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
        driver.kill()
    assert (verify(str(out)).num_rows, verify(str(out)).faults) == (0, [])
    kept = sum(kept_in_pieces(PositionFolder(str(out))).values(), Kept())
    result = run_tabulate(
        in_pieces(str(reference), str(out)),
        say=lambda line: None,
        make_scorer=partial(faulty_position_scorer, seen=seen),
    )
    assert sum(map(int, seen.read_text().split())) <= num_bases - kept.rows < num_bases
    assert (result.run.counts.scored, result.run.counts.num_rejected) == (3 * num_bases, 0)
    assert positions(out)["pos"].to_pylist() == list(range(1, num_bases + 1))
    assert not list(out.rglob(".work/*"))


class FailsOnOneBase(DryPositionScorer):
    """Raises wherever the base at position 77 is among those to score."""

    def score(self, planned: pa.Table) -> pa.Table:
        if 77 in planned["pos"].to_pylist():
            raise ValueError("no 77")
        return super().score(planned)


def test_a_base_that_cannot_be_scored_is_three_rejects(reference, tmp_path) -> None:
    result = tabulate(tmp_path / "out", reference, Parts(contigs=["1"]), make_scorer=FailsOnOneBase)
    counts = result.run.counts
    assert (counts.scored, counts.rejected) == (3 * 699, {"scoring_failed": 3})
    rejects = RunFolder(str(tmp_path / "out")).rejects_dataset().to_table().to_pylist()
    ref = CONTIGS["1"][76]
    assert {(row["chrom"], row["pos"], row["ref"], row["alt"]) for row in rejects} == {
        ("1", 77, ref, alt) for alt in set("ACGT") - {ref}
    }
    assert all(row["detail"] == "ValueError: no 77" for row in rejects)
    again = tabulate(tmp_path / "out", reference, Parts(contigs=["1"]), make_scorer=FailsOnOneBase)
    assert (again.run.counts.already_scored, again.run.counts.rejected) == (3 * 699, {"scoring_failed": 3})


def test_longer_windows_go_through_the_branches(reference, tmp_path) -> None:
    result = tabulate(
        tmp_path / "out", reference, Parts(contigs=["HLA-A*01:01"]), **{"window.right": 5, "window.strand": "forward"}
    )
    table = positions(tmp_path / "out")
    letters = open_reference(str(reference))
    scorer = PositionScorer(load_model("demo", device="cpu"), letters, Window(40, 5, "grid", 32), "forward")
    first = table["pos"].to_numpy() - 1
    wanted = scorer.score(plan_bases("HLA-A*01:01", first, letters, Window(40, 5, "grid", 32), "forward", False))
    for base in BASES:
        np.testing.assert_allclose(table[f"delta_{base}"].to_numpy(), wanted[f"delta_{base}"].to_numpy(), atol=1e-5)
    assert "delta_A_fwd" not in table.column_names and result.run.counts.scored == 600


def test_pieces_are_no_shorter_than_a_stride(reference, tabulated_once, tmp_path) -> None:
    """A shorter one reads as many bases before it again: with pieces of no time at all a run must not cost much more."""
    result = tabulate(tmp_path / "out", reference, **{"scoring.keep_every": 1e-6})
    assert result.run.tokens < 3 * tabulated_once[2].run.tokens
    assert result.run.counts.scored == 3 * NUM_BASES


def test_another_fingerprint_is_refused(tabulated_once, tmp_path) -> None:
    out, path, _ = tabulated_once
    shutil.copytree(out, tmp_path / "out")
    with pytest.raises(SettingsError, match=r"window\.left is 40 there and 41 here"):
        tabulate(tmp_path / "out", path, **{"window.left": 41})
    other = fasta(tmp_path, {**CONTIGS, "none": "N" * 61})
    with pytest.raises(SettingsError, match="scores on another reference"):
        tabulate(tmp_path / "out", other)


def test_a_reference_that_was_changed_is_named_once(tmp_path) -> None:
    path = fasta(tmp_path, {"1": "ACGT" * 20})
    tabulate(tmp_path / "out", path, make_scorer=DryPositionScorer)
    fasta(tmp_path, {"1": "ACGT" * 21})
    for once_a_process in (staged_reference, open_reference):
        once_a_process.cache_clear()
    with pytest.raises(SettingsError, match=rf"holds scores on {path} as it was before: .* Give another output folder"):
        tabulate(tmp_path / "out", path, make_scorer=DryPositionScorer)


@pytest.mark.parametrize(
    ("more", "parts", "sentence"),
    [
        ({"input.variants": ["x.vcf"]}, WHOLE, r"leave out input\.variants"),
        ({"output.extra_columns": ["jsd"]}, WHOLE, r"leave out output\.extra_columns"),
        ({"embed.layers": ["norm"]}, WHOLE, r"leave out embed\.layers"),
        ({"scoring.prescored": "table"}, WHOLE, r"leave out scoring\.prescored"),
        ({"output.table_format": "iceberg"}, WHOLE, r"leave out output\.table_format"),
        ({"input.reference": None}, WHOLE, "needs a reference and a folder"),
        ({}, Parts(contigs=["2"]), r"--contig 2: .* has no such contig"),
        ({"input.circular": ["3"]}, WHOLE, r"input\.circular names 3"),
    ],
)
def test_what_a_position_table_cannot_hold_is_refused(reference, tmp_path, more, parts, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        tabulate(tmp_path / "out", reference, parts, **more)


def test_the_window_of_a_position_table(reference, tmp_path) -> None:
    def window(**more):
        given = {"input.reference": str(reference), "output.path": str(tmp_path), "model.device": "cpu", **more}
        chosen = with_positions_window(load_settings(None, given=given, complete=False), context_length=4096).window
        return chosen.left, chosen.right, chosen.anchor, chosen.stride

    assert window() == (2047, 1, "grid", 2047)
    assert window(**{"window.left": 1000}) == (1000, 1, "grid", 1000)
    assert window(**{"window.left": 3000}) == (3000, 1, "grid", 1095)
    assert window(**{"window.right": 96}) == (2000, 96, "grid", 2000)
    assert window(**{"window.stride": 512}) == (512, 1, "grid", 512)
    assert window(**{"window.stride": 3000}) == (1095, 1, "grid", 3000)
    assert window(**{"window.anchor": "variant", "window.left": 64}) == (64, 1, "variant", None)
    assert (
        window(**{"window.anchor": "variant", "window.stride": 5})[3] == 5
    )  # which a window of its own refuses, as in any run
