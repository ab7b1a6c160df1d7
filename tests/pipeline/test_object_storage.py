"""A whole run with everything on an S3 server: variants, reference, weights and output."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from raygen.errors import StoppedError
from raygen.model.random_checkpoint import demo_config, write_random_checkpoint
from raygen.pipeline.pieces import Kept, kept_in_pieces
from raygen.pipeline.run import run_score
from raygen.planning.estimate import estimate
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings
from raygen.tables.layout import RunFolder, read_scores
from raygen.variants.ingest import ingest
from tests.builders import fasta, random_bases, snvs, vcf
from tests.object_storage import s3_server
from tests.pipeline.faults import faulty_scorer

pytestmark = pytest.mark.ray

BASES = random_bases(400, 1)


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture(scope="module")
def inputs(server, tmp_path_factory) -> dict[str, str]:
    """Settings that name everything where it lies, here and there."""
    folder = tmp_path_factory.mktemp("inputs")
    write_random_checkpoint(folder / "model", demo_config(), seed=1)
    here = {"input.variants": vcf(folder, snvs("1", BASES, range(1, 301, 2))), "model.name": folder / "model"}
    here["input.reference"] = fasta(folder, {"1": BASES})
    for path in [*here.values(), *(folder / "model").iterdir()]:
        if path.is_file():
            server.put(str(path.relative_to(folder)), path.read_bytes())
    return {name: str(path) for name, path in here.items()}


def score(inputs: dict[str, str], out: str, **seams):
    given = {"window.left": 32, "window.right": 32, "model.device": "cpu", "cluster.actors": 1}
    given |= {**inputs, "input.variants": [inputs["input.variants"]], "output.path": out}
    return run_score(load_settings(None, given=given), say=lambda line: None, **seams)


def there(inputs: dict[str, str], server) -> dict[str, str]:
    return {name: server.uri(Path(path).name) for name, path in inputs.items()}


def deltas(path: str) -> dict[str, float]:
    table = read_scores(path)
    return dict(zip(table["variant_id"].to_pylist(), table["delta_llr"].to_pylist(), strict=True))


def test_the_scores_are_those_of_a_run_on_this_machine_and_a_stopped_run_goes_on(tmp_path, server, inputs):
    score(inputs, str(tmp_path / "out"))
    expected, out = deltas(str(tmp_path / "out")), server.uri("out")
    often = {"scoring.keep_every": 1e-6}  # pieces of 64, 32, 16, ... rows
    with pytest.raises(StoppedError, match="of shards that are not whole yet"):
        score({**there(inputs, server), **often}, out, make_scorer=partial(faulty_scorer, stops={251}))
    committed, pieces = len(deltas(out)), sum(kept_in_pieces(RunFolder(out)).values(), Kept()).rows
    assert pieces
    again = score(there(inputs, server), out, make_scorer=partial(faulty_scorer, seen=tmp_path / "seen"))
    # What was kept when we looked is not scored again; an actor may have kept more before it was ended.
    assert again.counts.already_scored >= committed
    assert sum(map(int, (tmp_path / "seen").read_text().split())) <= len(expected) - committed - pieces
    got = deltas(out)
    assert got.keys() == expected.keys()
    np.testing.assert_allclose([got[name] for name in expected], list(expected.values()), atol=1e-4)
    assert score(there(inputs, server), out).counts.scored == 0
    assert RunFolder(out).list_work() == []
    assert not [key for key in server.keys("out/") if "/.lock/" in key]


def test_a_plan_of_what_lies_there_is_the_plan_of_what_lies_here(server, inputs):
    def planned(given):
        window = {"window.left": 32, "window.right": 32, "model.device": "cpu", "output.path": "out"}
        given = {**given, "input.variants": [given["input.variants"]]}
        return estimate(load_settings(None, given={**window, **given}))

    here, far = planned(inputs), planned(there(inputs, server))
    assert (here.num_variants, here.tokens) == (far.num_variants, far.tokens)
    assert here.num_variants == 150


def test_reference_and_weights_are_fetched_once(server, inputs):
    score(there(inputs, server), server.uri("one"))
    before = {name: server.count("GET", name) for name in ("/reference.fa", "/model.safetensors")}
    score(there(inputs, server), server.uri("another"))
    assert {name: server.count("GET", name) - before[name] for name in before} == {
        "/reference.fa": 0,
        "/model.safetensors": 0,
    }, "the run before fetched them on this machine"


def test_a_run_lists_the_scores_once_before_it_scores(server, inputs):
    score(there(inputs, server), server.uri("listed"))
    before = len(server.requests)
    assert score(there(inputs, server), server.uri("listed")).counts.scored == 0
    listings = [path for _, path in server.requests[before:] if "list-type=2" in path and "listed%2Fscores" in path]
    assert len(listings) == 1, listings


def test_a_folder_of_ingest_is_read_where_it_lies(tmp_path, server, inputs):
    taken = ingest([inputs["input.variants"]], open_reference(inputs["input.reference"]), tmp_path / "in")
    for path in (tmp_path / "in").rglob("*"):
        if path.is_file():
            server.put(f"ingested/{path.relative_to(tmp_path / 'in')}", path.read_bytes())
    remote = {**there(inputs, server), "input.variants": server.uri("ingested")}
    result = score(remote, server.uri("from-ingested"))
    assert result.counts.scored == taken.num_variants == 150
    assert not [key for key in server.keys("from-ingested/") if "/.ingest/" in key]


def test_a_row_that_kills_its_process_is_found_there_too(tmp_path, server, inputs):
    few = vcf(tmp_path, snvs("1", BASES, range(121, 137, 2)), "few.vcf")
    server.put("few.vcf", few.read_bytes())
    given = {**there(inputs, server), "input.variants": server.uri("few.vcf")}
    result = score(given, server.uri("kills"), make_scorer=partial(faulty_scorer, exits={131}))
    assert result.counts.rejected == {"scoring_failed": 1}
    assert len(deltas(server.uri("kills"))) == 7
