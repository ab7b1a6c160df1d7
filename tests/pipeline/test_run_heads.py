"""Heads of a run, before it starts and where its rows are scored."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from raygen.classes.head import apply_head
from raygen.errors import InputError, SettingsError, StoppedError
from raygen.pipeline.resolve import check_identity
from raygen.pipeline.run_heads import columns_of_heads, columns_of_scored, heads_of_job
from raygen.pipeline.shards import CARRIED
from raygen.scoring.embedding_plan import PooledStates
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS, SCORES
from tests.classes.heads import WIDTH, made_head
from tests.pipeline.test_resolve_and_record import resolved, settings


@pytest.fixture
def fingerprint(tmp_path):
    """That of the runs of ``settings``."""
    return resolved(settings(tmp_path)).job.identity.fingerprint


def with_head(folder, fingerprint, name="one", more=(), **inputs):
    made_head(folder, name, fingerprint=fingerprint, strands=("forward",), **inputs)
    return settings(folder, **{"classes.heads": str(folder / name), **dict(more)})


def test_a_run_with_heads_names_them_in_its_job_its_identity_and_its_words(tmp_path, fingerprint):
    run = resolved(with_head(tmp_path, fingerprint, more={"output.extra_columns": ["jsd"]}.items()))
    (head,) = heads_of_job(run.job).values()
    assert list(run.job.heads) == ["head_one"]
    assert run.job.extra_columns == ("jsd", "head_one")
    assert run.job.identity.extra_columns == f"jsd, head_one (head {head.digest})"
    assert run.job.as_plain()["heads"] == {"head_one": head.digest}
    assert "columns of heads: head_one" in run.remarks
    assert run.job.heads["head_one"].summary == head.summary
    plain = resolved(settings(tmp_path)).job
    assert "heads" not in plain.as_plain()
    assert {**asdict(plain.identity), "extra_columns": run.job.identity.extra_columns} == asdict(run.job.identity)


def test_scores_without_a_head_are_not_put_beside_those_with_one(tmp_path, fingerprint):
    run = resolved(with_head(tmp_path, fingerprint))
    folder = RunFolder(str(tmp_path / "out"))
    folder.prepare()
    folder.commit_shard("s", "1", SCORES.empty_table(), REJECTS.empty_table(), run.job.identity)
    check_identity(folder, run.job, run.model, folder.score_files())
    other = resolved(settings(tmp_path, **{"output.path": str(tmp_path / "new")}))
    with pytest.raises(
        SettingsError, match=r"with output.extra_columns and classes.heads head_one \(head .*this run's are \(none\)"
    ):
        check_identity(folder, other.job, other.model, folder.score_files())


@pytest.mark.parametrize(
    ("head", "more", "words"),
    [
        (
            {"fingerprint": "f" * 16},
            {},
            "head_one was trained on the fingerprint ffffffffffffffff; these scores are of",
        ),
        (
            {"consequence_column": "MC", "consequences": ("a",)},
            {},
            "head_one reads the column MC: carry it along, input.source_columns=MC",
        ),
        ({}, {"input.source_columns": "head_one"}, "input.source_columns: head_one is what a head adds"),
    ],
)
def test_a_head_that_does_not_fit_stops_a_run_before_it_starts(tmp_path, fingerprint, head, more, words):
    inputs = {"fingerprint": fingerprint} | head
    chosen = with_head(tmp_path, inputs.pop("fingerprint"), more=more.items(), **inputs)
    with pytest.raises(SettingsError, match=words):
        resolved(chosen)


def test_a_head_that_changes_while_a_run_goes_on_stops_it(tmp_path, fingerprint):
    job = resolved(with_head(tmp_path, fingerprint)).job
    with_head(tmp_path, fingerprint, feature="absdiff")
    with pytest.raises(StoppedError, match="one changed while the run went on"):
        heads_of_job(job)
    (tmp_path / "one.json").write_text("{}")
    with pytest.raises(InputError, match="was changed since the head was trained"):
        heads_of_job(job)


def test_the_states_that_heads_read_are_each_layer_and_pool_once(tmp_path, fingerprint):
    for name, inputs in {"a": {}, "b": {"pool": "suffix"}, "c": {"layer": "norm"}}.items():
        with_head(tmp_path, fingerprint, name, **inputs)
    chosen = settings(tmp_path, **{"classes.heads": [str(tmp_path / name) for name in "abc"]})
    columns = columns_of_heads(resolved(chosen).job)
    assert columns.names == ("head_a", "head_b", "head_c")
    assert (columns.plan.layers, columns.plan.pool_names) == (("blocks.1", "norm"), ("right:8", "suffix"))
    assert columns_of_heads(resolved(settings(tmp_path)).job) is None


def test_scored_rows_get_their_columns_from_states_and_carried_columns(tmp_path):
    head = made_head(tmp_path, with_delta=True, consequence_column="MC", consequences=("a",), strands=("reverse",))
    states = np.random.default_rng(0).normal(size=(2, 3, WIDTH)).astype(np.float32)
    place = ("blocks.1", "right:8")
    pooled = PooledStates({place: states[0]}, {place: states[1]}, {"right:8": np.full(3, 8)})
    scored = pa.table({"delta_llr": [-1.0, 0.0, 2.0], f"{CARRIED}MC": ["a", "b", "a"], "flags": [None] * 3})
    columns = columns_of_scored({"head_x": head}, {"reverse": pooled}, scored)
    rows = pa.table({"delta_llr": [-1.0, 0.0, 2.0], "MC": ["a", "b", "a"]})
    expected = apply_head(head, {"reverse": states[0]}, {"reverse": states[1]}, rows)
    assert columns["head_x"].to_pylist() == expected.tolist()
