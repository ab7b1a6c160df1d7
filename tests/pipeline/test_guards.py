"""What guards the numbers of a run: model cards, the self-test of every actor, and a wider type where half overflows."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

from raygen.errors import SettingsError, StoppedError
from raygen.model.cards import NO_CARD, OFF_LABEL_DOMAIN
from raygen.model.random_checkpoint import demo_config, write_random_checkpoint
from raygen.pages.report import write_report
from raygen.pipeline.run import RunResult, run_score
from raygen.pipeline.summary import print_summary
from raygen.settings import load_settings
from raygen.tables.layout import read_scores
from tests.builders import fasta, random_bases, snvs, vcf

pytestmark = pytest.mark.ray

BASES = random_bases(300, 1)
WINDOW = {"window.left": 32, "window.right": 32, "model.device": "cpu", "cluster.actors": 1}


def score(folder: Path, bases: str = BASES, lines: list[str] | None = None, **more) -> RunResult:
    variants = vcf(folder, snvs("1", bases, range(1, 101, 9)))
    given = {"input.variants": [str(variants)], "input.reference": str(fasta(folder, {"1": bases}))}
    given |= {"output.path": str(folder / "out"), **WINDOW, **more}
    return run_score(load_settings(None, given=given), say=(lines if lines is not None else []).append)


def manifest(result: RunResult) -> dict:
    return json.loads(Path(result.manifest).read_text())


def summary(result: RunResult) -> str:
    console = Console(file=io.StringIO(), width=300)
    print_summary(result, console)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[RunResult, list[str]]:
    """A run with nothing set, and what it said."""
    lines: list[str] = []
    return score(tmp_path_factory.mktemp("plain"), lines=lines), lines


def test_the_demos_model_without_a_declared_domain_is_a_warning_and_flags_nothing(plain):
    result, lines = plain
    assert result.counts.flags.get(OFF_LABEL_DOMAIN) is None
    (warning,) = result.warnings
    assert "knows animal mitochondria only" in warning
    assert manifest(result)["warnings"] == [warning]
    assert f"warning: {warning}" in lines
    assert summary(result).startswith(f"warning: {warning}")
    assert warning in Path(write_report(result.output)).read_text()
    assert manifest(result)["rescored_in_float32"] == 0


def test_a_domain_that_the_model_was_not_trained_on_flags_every_row(tmp_path):
    lines: list[str] = []
    result = score(tmp_path, lines=lines, **{"input.domain": "bacteria"})
    assert all(OFF_LABEL_DOMAIN in flags for flags in read_scores(result.output)["flags"].to_pylist())
    assert result.counts.flags[OFF_LABEL_DOMAIN] == result.counts.scored == 12
    (said,) = [line for line in lines if OFF_LABEL_DOMAIN in line]
    assert said.startswith("warning: input.domain is bacteria, but demo was trained on mitochondrion")
    assert manifest(result)["warnings"][0] in said
    assert summary(result).startswith(said)


def test_a_folder_has_no_card_and_no_flag_and_the_run_says_so_once(tmp_path):
    write_random_checkpoint(tmp_path / "model", demo_config(), seed=1)
    lines: list[str] = []
    given = {"input.domain": "eukaryote", "model.name": str(tmp_path / "model")}
    result = score(tmp_path, lines=lines, **given)
    assert lines.count(NO_CARD) == 1
    assert result.counts.flags.get(OFF_LABEL_DOMAIN) is None
    assert result.warnings == ()


def test_an_unknown_domain_lists_those_that_are_known():
    with pytest.raises(SettingsError, match=r"input.domain: must be bacteria, archaea"):
        load_settings(None, given={"input.domain": "animal", "output.path": "x"})


def test_an_actor_that_computes_something_else_stops_the_run_and_an_equal_one_goes_on(tmp_path, plain):
    first, _ = plain
    shutil.copytree(first.output, tmp_path / "out")
    for shard in (tmp_path / "out/scores").rglob("*.parquet"):
        shard.unlink()
    (stored,) = (tmp_path / "out/runs").glob("self_test-*.json")
    good = stored.read_text()
    stored.write_text(json.dumps({**json.loads(good), "log_likelihood": -7.5, "machine": "a broken GPU"}))
    with pytest.raises(
        StoppedError, match=r"self-test's log_likelihood is -.* but -7\.500000 on the machine .*a broken"
    ):
        score(tmp_path)
    assert not list((tmp_path / "out/scores").rglob("*.parquet"))
    stored.write_text(good)
    assert score(tmp_path).counts.scored == first.counts.scored
    assert stored.read_text() == good


def test_what_overflows_half_precision_is_scored_in_float32_and_counted(tmp_path):
    model = tmp_path / "model"
    config = demo_config()
    config.tie_embeddings = False
    write_random_checkpoint(model, config, seed=1)
    tensors = load_file(model / "model.safetensors")
    tensors["backbone.embedding_layer.weight"][ord("N")] *= 1e6  # past the end of float16
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    bases = BASES[:60] + "N" + BASES[61:]
    result = score(tmp_path, bases, **{"model.name": str(model), "model.dtype": "float16"})
    with_n = sum("n_in_window" in flags for flags in read_scores(result.output)["flags"].to_pylist())
    assert 0 < with_n < result.counts.scored == 12
    assert manifest(result)["rescored_in_float32"] == with_n
    assert result.warnings[-1] == f"{with_n} pairs of sequences were not finite in float16 and scored again in float32."
