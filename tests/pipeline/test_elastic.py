"""The pipeline around the models: it keeps them busy, and costs little itself. Timed, so each gives some room."""

import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from raygen.pipeline.cluster import ActorPlan, plan_actors

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("bench_pipeline", ROOT / "jobs/benchmarks/bench_pipeline.py")
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)
GB = 2**30


def measured(folder, rows, sleep=0.0, actors=1):
    bench.make_input(folder, rows)
    (folder / "diary").mkdir()
    return bench.run(folder, types.SimpleNamespace(rows=rows, sleep=sleep, actors=actors))


def test_a_range_of_actors_is_kept_where_gpus_may_come():
    def plan(gpus, can_grow, wanted=(1, 64)):
        return plan_actors(wanted, 1, "cuda", 8, gpus, 1000, GB, 64 * GB, can_grow=can_grow)

    assert plan(1, can_grow=True) == ActorPlan(1, 64, 0, 1, 1)
    assert plan(0, can_grow=True) == ActorPlan(1, 64, 0, 1, 1)
    assert plan(1, can_grow=False) == ActorPlan(1, 1, 0, 1, 1)
    assert plan(4, can_grow=True, wanted="auto") == ActorPlan(4, 4, 0, 1, 1)


@pytest.mark.ray
def test_every_row_comes_through_the_dry_pipeline(tmp_path):
    done = measured(tmp_path, 3000)
    assert done["rows"] == 3000
    assert set(done["stage_seconds"]) == {"read", "prepare", "score", "write"}


@pytest.mark.ray
@pytest.mark.slow
def test_actors_are_busy_for_95_percent_of_200_000_variants(tmp_path):
    done = measured(tmp_path, 200_000, sleep=2e-4, actors=1)  # 40 s of "GPU"
    assert done["rows"] == 200_000
    assert done["actors_busy"] >= 0.95


@pytest.mark.ray
@pytest.mark.slow
def test_without_a_model_100_000_variants_pass_a_second(tmp_path):
    assert measured(tmp_path, 2_000_000)["variants_per_second_once_running"] >= 100_000


@pytest.mark.ray
@pytest.mark.slow
def test_the_drivers_memory_does_not_grow_with_the_input():
    """In processes of their own: the largest memory of a process is asked for."""

    def driver_mb(rows):
        command = [sys.executable, ROOT / "jobs/benchmarks/bench_pipeline.py", "--rows", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])["driver_peak_mb"]

    assert driver_mb(10_000_000) < 1.15 * driver_mb(1_000_000)
