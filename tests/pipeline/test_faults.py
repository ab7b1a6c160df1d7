"""Rows, actors and tasks that fail in a run on a local Ray: every allele still ends in exactly one table."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError, RaygenError, SettingsError, StoppedError
from raygen.pipeline.pieces import Kept, kept_in_pieces
from raygen.pipeline.run import RunResult, run_score
from raygen.settings import load_settings
from raygen.tables.layout import RunFolder, read_scores
from tests.builders import fasta, random_bases, snvs, vcf
from tests.pipeline.faults import (
    KilledWrite,
    dies_at_every_start_but_the_first,
    dies_at_the_start,
    faulty_scorer,
    fill_disk,
)

pytestmark = pytest.mark.ray

BASES = random_bases(400, 1)
POSITIONS = range(1, 301, 2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, float]:
    folder = tmp_path_factory.mktemp("undisturbed")
    score(folder)
    return deltas(folder / "out")


def score(folder: Path, given=None, **seams) -> RunResult:
    variants, reference = folder / "variants.vcf", folder / "reference.fa"
    if not variants.exists():
        vcf(folder, snvs("1", BASES, POSITIONS))
        fasta(folder, {"1": BASES})
    settings = {"input.variants": [str(variants)], "input.reference": str(reference)}
    settings |= {"output.path": str(folder / "out"), "window.left": 32, "window.right": 32, "model.device": "cpu"}
    settings |= {"cluster.actors": 1, **(given or {})}
    return run_score(load_settings(None, given=settings), say=lambda line: None, **seams)


def deltas(out: Path) -> dict[str, float]:
    table = read_scores(str(out))
    ids = table["variant_id"].to_pylist()
    assert len(ids) == len(set(ids))
    return dict(zip(ids, table["delta_llr"].to_pylist(), strict=True))


def rejects(out: Path) -> dict[int, str]:
    found = pq.read_table(out / "rejects") if (out / "rejects").exists() else None
    return {} if found is None else dict(zip(found["pos"].to_pylist(), found["detail"].to_pylist(), strict=True))


def assert_all_but(bad: set[int], out: Path, undisturbed: dict[str, float]) -> None:
    """Every allele but those at ``bad`` has its score, those are rejected, and nothing unfinished is left."""
    got = deltas(out)
    expected = {name: value for name, value in undisturbed.items() if int(name.split("-")[1]) not in bad}
    assert got.keys() == expected.keys()
    np.testing.assert_allclose([got[name] for name in expected], list(expected.values()), atol=1e-4)
    assert rejects(out).keys() == bad
    assert not list(out.rglob(".work*"))


def test_rows_that_raise_are_rejected_and_the_others_scored(tmp_path, undisturbed):
    result = score(tmp_path, make_scorer=partial(faulty_scorer, raises={7, 131, 133}))
    assert result.counts.rejected == {"scoring_failed": 3}
    assert_all_but({7, 131, 133}, tmp_path / "out", undisturbed)
    assert rejects(tmp_path / "out")[131] == "ValueError: position 131 cannot be scored"
    again = score(tmp_path)
    assert (again.counts.scored, again.counts.rejected) == (0, {"scoring_failed": 3})


@pytest.mark.slow
def test_a_row_that_kills_its_process_is_found(tmp_path, undisturbed):
    result = score(tmp_path, make_scorer=partial(faulty_scorer, exits={131}))
    assert result.counts.rejected == {"scoring_failed": 1}
    assert_all_but({131}, tmp_path / "out", undisturbed)
    assert "died 2 times on this row alone" in rejects(tmp_path / "out")[131]


@pytest.mark.slow
def test_a_row_that_breaks_the_device_is_found_and_says_how(tmp_path, undisturbed):
    score(tmp_path, make_scorer=partial(faulty_scorer, broken_by={131}))
    assert_all_but({131}, tmp_path / "out", undisturbed)
    assert "illegal memory access" in rejects(tmp_path / "out")[131]


def test_memory_that_ends_splits_and_is_remembered(tmp_path, undisturbed):
    seen = tmp_path / "seen"
    score(tmp_path, make_scorer=partial(faulty_scorer, most_rows=16, seen=seen))
    assert_all_but(set(), tmp_path / "out", undisturbed)
    sizes = list(map(int, seen.read_text().split()))
    assert max(sizes) > 16
    tried_again = sizes[sizes.index(16) :]
    assert sum(size > 16 for size in tried_again) <= 1, "what does not fit is tried no more than once again"


@pytest.mark.slow
def test_an_actor_killed_in_the_middle_of_a_batch_loses_and_repeats_nothing(tmp_path, undisturbed):
    result = score(tmp_path, make_scorer=partial(faulty_scorer, once=tmp_path))
    assert (tmp_path / "batch").exists()
    assert result.counts.scored == len(undisturbed)
    assert_all_but(set(), tmp_path / "out", undisturbed)


@pytest.mark.slow
def test_a_write_killed_half_way_loses_and_repeats_nothing(tmp_path, undisturbed):
    score(tmp_path, open_folder=partial(KilledWrite, once=tmp_path))
    assert (tmp_path / "write").exists()
    assert_all_but(set(), tmp_path / "out", undisturbed)


@pytest.mark.slow
def test_a_run_that_stops_goes_on_within_a_shard(tmp_path, undisturbed):
    given = {"scoring.keep_every": 1e-6}  # pieces of 64, 32, 16, ... rows
    with pytest.raises(StoppedError, match=r"rows are scored and kept, and \d+ of shards that are not whole yet"):
        score(tmp_path, given=given, make_scorer=partial(faulty_scorer, stops={251}))
    kept = sum(kept_in_pieces(RunFolder(str(tmp_path / "out"))).values(), Kept()).rows
    left = len(undisturbed) - kept - len(deltas(tmp_path / "out"))
    score(tmp_path, make_scorer=partial(faulty_scorer, seen=tmp_path / "seen"))
    assert sum(map(int, (tmp_path / "seen").read_text().split())) <= left, "an actor may keep more before it is ended"
    assert kept > 0
    assert_all_but(set(), tmp_path / "out", undisturbed)


def test_too_many_failures_stop_the_run_and_so_does_the_same_command_again(tmp_path):
    given = {"scoring.max_failed_share": 0.01}
    for _ in range(2):
        with pytest.raises(StoppedError, match=r"4 of \d+ rows tried could not be scored"):
            score(tmp_path, given=given, make_scorer=partial(faulty_scorer, raises={7, 9, 11, 13}))
    score(tmp_path)
    with pytest.raises(StoppedError, match="4 of 150 rows tried could not be scored"):
        score(tmp_path, given=given)  # nothing is left to score, and it is as wrong as before
    assert score(tmp_path).counts.rejected == {"scoring_failed": 4}


def test_a_model_that_fails_on_every_row_stops_after_a_few(tmp_path):
    with pytest.raises(StoppedError, match="None of 16 rows could be scored: ValueError"):
        score(tmp_path, make_scorer=partial(faulty_scorer, raises=set(POSITIONS)))
    assert not list((tmp_path / "out").rglob("scores/*/*.parquet"))


@pytest.mark.slow
def test_an_actor_that_dies_while_it_starts_fails_the_run_soon(tmp_path):
    began = time.monotonic()
    with pytest.raises(StoppedError, match="died 3 times while loading the model"):
        score(tmp_path, make_scorer=dies_at_the_start)
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_an_actor_that_dies_while_it_starts_again_fails_the_run_too(tmp_path):
    makes = partial(dies_at_every_start_but_the_first, once=tmp_path)
    with pytest.raises(StoppedError, match="died 3 times while loading the model"):
        score(tmp_path, make_scorer=makes, given={"cluster.actors": 1})


@pytest.mark.slow
def test_a_damaged_row_group_is_named_and_the_others_stay(tmp_path, undisturbed):
    score(tmp_path)
    (part,) = (tmp_path / "out/.ingest").rglob("variants/part-*.parquet")
    for shard in (tmp_path / "out/scores").rglob("*.parquet"):
        shard.unlink()
    whole, stat = part.read_bytes(), part.stat()
    damaged = bytearray(whole)
    damaged[40:44] = bytes(byte ^ 255 for byte in damaged[40:44])
    part.write_bytes(damaged)
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(InputError, match=r"is damaged: rows 1 to .* cannot be read"):
        score(tmp_path)
    part.write_bytes(whole)
    assert score(tmp_path).counts.alleles_in == len(undisturbed)
    assert_all_but(set(), tmp_path / "out", undisturbed)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(tmp_path, small_disk, undisturbed):
    disk, _ = small_disk
    given = {"output.path": str(disk / "out")}
    ballast = disk / "ballast"
    with pytest.raises(StoppedError, match=r"The disk of .*out is full\. Make room and run the same command again"):
        score(tmp_path, given=given, make_scorer=partial(faulty_scorer, fills=ballast))
    for path in (disk / "out/scores").rglob("part-*"):
        pq.read_table(path)
    ballast.unlink()
    score(tmp_path, given=given)
    assert_all_but(set(), disk / "out", undisturbed)


def test_a_disk_that_is_full_from_the_start_says_so(tmp_path, small_disk):
    disk, _ = small_disk
    fill_disk(disk / "ballast")
    with pytest.raises(RaygenError, match=r"(?i)disk .*full|no space left") as raised:
        score(tmp_path, given={"output.path": str(disk / "out")})
    assert raised.value.exit_code == 4


def test_a_read_only_output_is_refused_and_nothing_is_lost(tmp_path, small_disk, undisturbed):
    disk, remount = small_disk
    given = {"output.path": str(disk / "out")}
    score(tmp_path, given=given)
    remount("ro")
    with pytest.raises(SettingsError, match="cannot be written"):
        score(tmp_path, given=given)
    remount("rw")
    assert score(tmp_path, given=given).counts.already_scored == len(undisturbed)
