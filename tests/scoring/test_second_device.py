"""Scoring on a device that is not the CPU: everything is brought there and back, and half precision is chosen as on a GPU."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from raygen.model import loading
from raygen.model.random_checkpoint import demo_config, write_random_checkpoint
from raygen.scoring import passes
from raygen.scoring.embedding_columns import EmbeddingRequest, Storage
from raygen.scoring.embedding_plan import EmbeddingPlan
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.scoring.self_test import run_self_test
from raygen.sequence.windows import Window
from raygen.tables.schemas import variant_ids
from raygen.trials.explain import explain_variant
from raygen.variants.region import parse_variant
from tests.builders import InMemoryReference, random_bases
from tests.model.models import small_evo2_config
from tests.model.other_models import write_llama
from tests.second_device import NAME, second_device

CONTIG = random_bases(700, 11)
EMBEDDING = "backbone.embedding_layer.weight"
MODELS = ("evo1", "evo2", "llama")
CONTEXT_LENGTH = 1024
"""Of Evo 1 and Evo 2: what half precision is tried on is as long, up to 4,096 tokens."""
TOLERANCES = {"float32": 1e-4, "float16": 0.1, "bfloat16": 0.8}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder, evo1 = tmp_path_factory.mktemp("models"), demo_config()
    evo1.max_seqlen = CONTEXT_LENGTH
    write_random_checkpoint(folder / "evo1", evo1, seed=0, max_shard_bytes=200_000)
    write_random_checkpoint(folder / "evo2", small_evo2_config(max_seqlen=CONTEXT_LENGTH), seed=0)
    write_llama(folder / "llama")
    return {name: str(folder / name) for name in MODELS}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """What ``auto`` means here, and what it tries there."""
    monkeypatch.setattr(loading, "device_named", lambda asked: f"{NAME}:0" if asked == "auto" else asked)
    monkeypatch.setattr(loading, "auto_dtypes", lambda device: ("float16", "bfloat16"))
    for of_kind in (passes.MAX_ROWS, passes.STOP_TOKENS, passes.PASS_TOKENS):
        monkeypatch.setitem(of_kind, NAME, of_kind["cuda"])
    with second_device() as own:
        yield own


def variants() -> pa.Table:
    """SNVs, an insertion, a deletion, several ALTs of a site, both ends."""
    rows = [(1, "AC"), (300, "ACGT"), (305, "T"), (310, "C"), (352, "G"), (700, "AG")]
    table = [("1", pos, CONTIG[pos - 1], alt) for pos, alts in rows for alt in alts if alt != CONTIG[pos - 1]]
    table += [("1", 400, CONTIG[399], CONTIG[399] + "GATTACA"), ("1", 420, CONTIG[419:425], CONTIG[419])]
    made = pa.table(dict(zip(("chrom", "pos", "ref", "alt"), map(list, zip(*table, strict=True)), strict=True)))
    return made.append_column("variant_id", variant_ids(made))


def deltas(model: ResidentModel, method: str, window: Window) -> np.ndarray:
    reference = InMemoryReference({"1": CONTIG})
    planned = plan_windows(variants(), reference, window, "both")
    return VariantScorer(model, reference, "both", method=method).score(planned)["delta_llr"].to_numpy()


def test_the_stand_in_refuses_to_mix_devices(device: torch.device) -> None:
    there = torch.arange(6, device=device).reshape(2, 3).float()
    assert there.device == device and (there @ there.T).cpu().tolist() == [[5.0, 14.0], [14.0, 50.0]]
    with pytest.raises(RuntimeError, match="on accel:0 and on the CPU"):
        there + torch.ones(3)
    with pytest.raises((RuntimeError, TypeError)):
        there.numpy()


@pytest.mark.parametrize("window", [Window(100, 60), Window(100, 60, "grid", 64)], ids=["variant", "grid"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_the_cpu(
    folders: dict[str, str], device: torch.device, name: str, dtype: str, window: Window
) -> None:
    expected = deltas(load_model(folders[name], device="cpu", dtype="float32"), "pair", window)
    model = load_model(folders[name], device="auto", dtype=dtype)
    assert model.loaded.device == device
    for method in ("pair", "fork"):
        np.testing.assert_allclose(deltas(model, method, window), expected, atol=TOLERANCES[dtype], err_msg=method)


EMBEDDED = {"float32": 1e-5, "float16": 0.006, "bfloat16": 0.05}
"""Error of pooled differences, as a share of their norms."""


@pytest.mark.parametrize("dtype", EMBEDDED)
@pytest.mark.parametrize("name", MODELS)
def test_states_are_pooled_there_and_are_those_of_the_cpu(
    folders: dict[str, str], device: torch.device, name: str, dtype: str
) -> None:
    reference = InMemoryReference({"1": CONTIG})
    planned = plan_windows(variants(), reference, Window(100, 60, "grid", 64))
    embed = EmbeddingRequest(EmbeddingPlan(("blocks.0", "norm"), ("variant", "right:32")), Storage("float32"))

    def vectors(model: ResidentModel, method: str) -> np.ndarray:
        scored = VariantScorer(model, reference, method=method, embed=embed).score(planned)
        columns = [scored[f"delta_{name}"].combine_chunks() for name in embed.plan.vectors(["forward"])]
        return np.stack([column.flatten().to_numpy().reshape(len(scored), -1) for column in columns])

    expected = vectors(load_model(folders[name], device="cpu", dtype="float32"), "pair")
    model = load_model(folders[name], device="auto", dtype=dtype)
    for method in ("pair", "fork"):
        error = np.linalg.norm(vectors(model, method) - expected) / np.linalg.norm(expected)
        assert error < EMBEDDED[dtype], (method, error)


@pytest.mark.parametrize("name", MODELS)
def test_half_precision_is_tried_there(folders: dict[str, str], device: torch.device, name: str) -> None:
    model = load_model(folders[name])
    assert (model.loaded.dtype, model.loaded.device) == (torch.float16, device)
    described = loading.describe_network(folders[name])
    assert (described.dtype, described.device) == ("float16", f"{NAME}:0")


def test_what_half_precision_cannot_hold_falls_back_there(
    folders: dict[str, str], device: torch.device, tmp_path: Path
) -> None:
    shutil.copytree(folders["evo1"], tmp_path / "loud")
    (file,) = [file for file in tmp_path.glob("loud/*.safetensors") if EMBEDDING in load_file(file)]
    tensors = load_file(file)
    tensors[EMBEDDING][ord("G")] *= 1e6
    save_file(tensors, file, metadata={"format": "pt"})
    expected = load_model(str(tmp_path / "loud"), device="cpu", dtype="float32").log_likelihoods([CONTIG[:90]])
    model = load_model(str(tmp_path / "loud"))
    assert (model.loaded.dtype, model.loaded.device) == (torch.bfloat16, device)
    forced = load_model(str(tmp_path / "loud"), dtype="float16")
    np.testing.assert_allclose(forced.log_likelihoods([CONTIG[:90]]), expected, rtol=1e-6)
    assert forced.num_rescored == 1


def test_explain_and_the_self_test_run_there(folders: dict[str, str], device: torch.device) -> None:
    here, there = (load_model(folders["evo2"], device=where, dtype="float32") for where in ("cpu", "auto"))
    assert run_self_test(there).delta == pytest.approx(run_self_test(here).delta, abs=1e-4)
    reference, window = InMemoryReference({"1": CONTIG}), Window(64, 48)
    variant = parse_variant(f"1-350-{CONTIG[349]}-{CONTIG[349]}TTGA", reference)
    one, other = (explain_variant(model, variant, reference, window, "both", ()) for model in (here, there))
    assert other.delta == pytest.approx(one.delta, abs=1e-4)
