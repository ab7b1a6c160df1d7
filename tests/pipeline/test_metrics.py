import json
import math
import types
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from raygen.pipeline import metrics
from raygen.pipeline.metrics import (
    COUNTERS,
    GAUGES,
    STAGES,
    PassCount,
    RunMetrics,
    seconds_of,
    with_seconds,
)
from raygen.pipeline.run import run_score
from tests.planning.test_estimate import settings


class Told:
    """Stands in Ray's place and keeps what it is told."""

    def __init__(self, kept):
        self.kept = kept

    def __call__(self, name, says, tag_keys):
        def tell(number, tags):
            assert set(tags) <= set(tag_keys)
            label = tuple(value for key, value in sorted(tags.items()) if key != "run")
            self.kept[name, *label] = number + (self.kept.get((name, *label), 0) if self.adds else 0)

        return types.SimpleNamespace(**{self.method: tell})


@pytest.fixture
def told(monkeypatch):
    kept = {}
    for kind, method, adds in (("Counter", "inc", True), ("Gauge", "set", False)):
        stand_in = Told(kept)
        stand_in.method, stand_in.adds = method, adds
        monkeypatch.setattr(f"ray.util.metrics.{kind}", stand_in)
    return kept


def committed(**more):
    own = {"num_rows": 10, "scored": 9, "failed": 1, "tokens": 500, "batches": 3, "restarts": 0, "splits": 0}
    own |= {"gpu_memory": 7, "host_memory": 20, "stage_seconds": {"read": 0.5, "score": 2.0}}
    return types.SimpleNamespace(**{**own, **more})


def test_what_prometheus_is_told_is_what_the_manifest_says(told):
    run = RunMetrics("r")
    run.start(30, {"ref_mismatch": 2})
    run.count(committed())
    run.count(committed(restarts=1, splits=2, gpu_memory=5, host_memory=30))
    said = run.as_manifest()
    assert said["raygen_variants"] == told["raygen_variants",] == 18
    assert said["raygen_variants_left"] == told["raygen_variants_left",] == 10
    assert said["raygen_gpu_memory_bytes"] == told["raygen_gpu_memory_bytes",] == 7
    assert said["raygen_host_memory_bytes"] == told["raygen_host_memory_bytes",] == 30
    assert said["raygen_retries"] == told["raygen_retries",] == 1
    assert said["raygen_memory_splits"] == told["raygen_memory_splits",] == 2
    assert said["raygen_rejects"] == {"ref_mismatch": 2, "scoring_failed": 2}
    assert told["raygen_rejects", "scoring_failed"] == 2
    assert said["raygen_stage_seconds"] == {"read": 1.0, "score": 4.0}
    assert set(said) == {metric.name for metric in (*COUNTERS, *GAUGES)}


def test_gauges_are_told_again_while_nothing_is_committed(told, monkeypatch):
    monkeypatch.setattr(metrics, "_SECONDS_BETWEEN_GAUGES", math.inf)
    run = RunMetrics("r")
    run.start(30, {})
    told.clear()
    run.refresh()
    assert told == {}, "it was told a moment ago"
    monkeypatch.setattr(metrics, "_SECONDS_BETWEEN_GAUGES", 0)
    run.refresh()
    left = {("raygen_variants_left",): 30}
    assert told == {**left, ("raygen_gpu_memory_bytes",): 0, ("raygen_host_memory_bytes",): 0}


def test_seconds_travel_with_the_rows():
    table = with_seconds("read", lambda: pa.table({"a": [1, 2]}))
    assert table["read_seconds"].to_pylist()[0] > 0
    assert set(seconds_of(table)) == {"read"}


def test_passes_through_a_model_are_counted():
    embedding = torch.nn.Embedding(4, 2)
    count = PassCount(types.SimpleNamespace(get_input_embeddings=lambda: embedding))
    for _ in range(3):
        embedding(torch.tensor([1]))
    assert count.passes == 3


@pytest.mark.ray
def test_a_run_counts_what_it_does_and_its_log_holds_no_variant(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RAYGEN_LOG", "json")
    done = run_score(settings(tmp_path), say=lambda line: None)
    written = json.loads(Path(done.manifest).read_text())["metrics"]
    assert written["raygen_variants"] == done.counts.scored
    assert written["raygen_tokens"] == done.tokens
    assert written["raygen_variants_left"] == 0
    assert 0 < written["raygen_batches"] <= done.tokens
    assert set(written["raygen_stage_seconds"]) == set(STAGES)
    log = capsys.readouterr().err
    events = [json.loads(line) for line in log.splitlines()]  # every line of it is JSON
    assert [event["event"] for event in events][:3] == ["warning", "running", "scoring"]
    assert events[-1]["event"] == "done"
    assert sum(event.get("scored", 0) for event in events if event["event"] == "shard_committed") == done.counts.scored
    assert {event["run"] for event in events} == {done.run_id}
    assert "1-200-" not in log  # the first variant's name
    assert '"pos"' not in log
