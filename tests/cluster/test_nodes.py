"""Several nodes on one machine, each with processes, a cache and a GPU (that only Ray sees) of its own, everything on S3."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from raygen.pipeline import run as run_module
from raygen.pipeline.cluster import ActorPlan
from raygen.pipeline.progress import RunProgress
from raygen.pipeline.run import run_score
from tests.cluster.builders import NUM_VARIANTS, assert_whole, deltas, settings, write_inputs
from tests.object_storage import s3_server
from tests.pipeline.faults import faulty_scorer

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def server():
    with s3_server() as running:
        yield running


def test_nodes_that_go_and_come_change_nothing(tmp_path, cluster, server, monkeypatch):
    here = write_inputs(tmp_path)
    there = {name: server.put(Path(path).name, Path(path).read_bytes()) for name, path in here.items()}
    nodes_there, add = cluster
    leaving = add("leaving")
    add("staying")
    monkeypatch.setattr(run_module, "plan_actors", lambda *_, **__: ActorPlan(1, 3, 0, 1, 1))
    committed: list[int] = []
    advance = RunProgress.advance

    def disturb(progress: RunProgress, variants: int, tokens: int) -> None:
        committed.append(variants)
        if len(committed) == 2:
            nodes_there.remove_node(leaving, allow_graceful=False)
        if len(committed) == 3:
            add("coming")
        advance(progress, variants, tokens)

    monkeypatch.setattr(RunProgress, "advance", disturb)
    slow = partial(faulty_scorer, seconds_a_row=0.05)
    result = run_score(settings(there, server.uri("out")), say=lambda line: None, make_scorer=slow)
    assert result.counts.scored == NUM_VARIANTS
    assert sum(committed) == NUM_VARIANTS

    monkeypatch.setattr(RunProgress, "advance", advance)
    monkeypatch.setattr(run_module, "plan_actors", lambda *_, **__: ActorPlan(1, 1, 0, 1, 1))
    run_score(settings(here, str(tmp_path / "one")), say=lambda line: None)
    assert_whole(server.uri("out"), deltas(str(tmp_path / "one")))

    with_reference = list((tmp_path / "caches").glob("*/staged/*/reference.fa"))
    nodes = {path.relative_to(tmp_path / "caches").parts[0] for path in with_reference}
    assert {"staying"} <= nodes
    assert len(with_reference) == len(nodes), "a node has the reference once"
    assert server.count("GET", "/reference.fa") <= len(nodes) + 1  # the driver has a cache of its own
