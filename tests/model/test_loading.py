"""From a name to a network: folders, hub ids, devices and precision."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import accelerate
import huggingface_hub
import pytest
import torch

from raygen.errors import InputError, SettingsError
from raygen.model import hub, loading
from raygen.model.evo1 import Evo1Network
from raygen.model.loading import describe_network, load_network
from raygen.model.random_checkpoint import random_weights, write_random_checkpoint
from raygen.model.striped_hyena import StripedHyenaConfig
from tests.model.models import largest_difference, random_model, random_tokens, small_config, small_evo2_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_random_checkpoint(tmp_path / "model", small_config(), seed=0, max_shard_bytes=20_000)
    return tmp_path / "model"


def logits(network: Evo1Network) -> torch.Tensor:
    with torch.inference_mode():
        return network(random_tokens(2, 100))


def test_sharded_folder_loads_unchanged(folder: Path) -> None:
    loaded = load_network(folder, device="cpu")
    for name, tensor in random_weights(small_config(), 0).items():
        assert torch.equal(loaded.network.get_parameter(name), tensor)
    assert torch.equal(logits(loaded.network), logits(random_model(small_config())))
    assert (loaded.facts.name, loaded.facts.revision, loaded.dtype) == (str(folder), None, torch.float32)
    assert (loaded.facts.context_length, loaded.facts.bos_id, loaded.facts.pad_id, loaded.facts.vocab_size) == (
        8192,
        0,
        1,
        512,
    )
    assert loaded.device == torch.device("cpu")
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_untied_unembedding_is_loaded_and_used(tmp_path: Path) -> None:
    config = small_config(tie_embeddings=False)
    write_random_checkpoint(tmp_path / "model", config, seed=0)
    assert torch.equal(logits(load_network(tmp_path / "model", device="cpu").network), logits(random_model(config)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_leaves_filters_and_norms_in_float32(folder: Path, dtype: torch.dtype) -> None:
    loaded = load_network(folder, device="cpu", dtype=str(dtype).removeprefix("torch."))
    assert loaded.dtype == dtype
    kept = {name for name, parameter in loaded.network.named_parameters() if parameter.dtype == torch.float32}
    assert {name.rsplit(".", 1)[-1] for name in kept} == set(Evo1Network.float32_parameters)
    assert logits(loaded.network).dtype == torch.float32
    assert torch.equal(
        loaded.network.backbone.blocks[0].filter.poles,
        random_weights(small_config(), 0)["backbone.blocks.0.filter.poles"],
    )


def test_weights_may_stay_in_host_memory_until_a_layer_runs(folder: Path) -> None:
    """accelerate's offload: every layer uses only its own parameters, and only in its own forward."""
    loaded = load_network(folder, device="cpu")
    expected = logits(loaded.network)
    offloaded = accelerate.cpu_offload(loaded.network, execution_device=torch.device("cpu"))
    assert all(parameter.device.type == "meta" for parameter in offloaded.parameters())
    assert largest_difference(logits(offloaded), expected) < 1e-6
    assert largest_difference(logits(offloaded), expected) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("family", [small_config, small_evo2_config])
def test_weights_may_stay_on_disk_until_a_layer_runs(
    family: Callable[[], StripedHyenaConfig], dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fits neither a GPU nor the host: poles and norms come back as float32 all the same."""
    write_random_checkpoint(tmp_path / "model", family(), seed=0, max_shard_bytes=20_000)
    expected = logits(load_network(tmp_path / "model", device="cpu", dtype=dtype).network)
    on_disk = {"backbone.embedding_layer": "cpu", "backbone.norm": "cpu", "backbone.blocks": "disk"}
    monkeypatch.setattr(loading, "placement", lambda device, num_bytes: on_disk)
    spilled = load_network(tmp_path / "model", device="cpu", dtype=dtype).network
    assert spilled.backbone.blocks[0].mlp.l1.weight.device.type == "meta"
    assert torch.equal(logits(spilled), expected)


@pytest.mark.parametrize(("host_memory", "places"), [(10**9, {"cpu"}), (150_000, {"cpu", "meta"})])
def test_what_no_device_can_hold_is_spread_block_by_block(
    host_memory: int, places: set[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = logits(load_network(folder, device="cpu").network)
    monkeypatch.setattr(loading, "placement", lambda device, num_bytes: "auto")
    monkeypatch.setattr(accelerate.utils.modeling, "get_max_memory", lambda *_: {"cpu": host_memory})
    spread = load_network(folder, device="cpu").network
    backbone = spread.backbone
    found = [
        {parameter.device.type for parameter in part.parameters()}
        for part in (backbone.embedding_layer, *backbone.blocks)
    ]
    assert all(len(devices) == 1 for devices in found) and set.union(*found) == places
    assert torch.equal(logits(spread), expected)


def test_demo_is_loaded_and_described() -> None:
    loaded = load_network("demo", device="cpu")
    described = describe_network("demo", device="cpu")
    assert described == loaded.facts
    assert described.name == "demo"
    assert (described.dtype, described.device) == ("float32", "cpu")
    assert [name for name, value in asdict(described).items() if value is None] == ["revision", "fork_refusal"]
    json.dumps(asdict(described))


def test_description_loads_no_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_weights", lambda *_, **__: pytest.fail("loaded"))
    assert describe_network(folder, device="cpu", dtype="float16").dtype == "float16"


def test_broken_checkpoint_is_named_before_it_is_loaded(folder: Path) -> None:
    sorted(folder.glob("*.safetensors"))[0].unlink()
    with pytest.raises(InputError, match="are not there"):
        load_network(folder, device="cpu")


@pytest.mark.parametrize("name", ["evo", "/no/such/folder", "./models/evo", "a/b/c", "../x", "hf://org/name"])
def test_name_of_no_kind_lists_the_kinds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"A model is a folder .* a hub id such as .*, or demo"):
        load_network(name)


def test_revision_of_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="has no revisions"):
        load_network(folder, revision="1.1_fix")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"device": "tpu"}, "model.device is 'tpu'; it can be auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, "model.device is 'cuda:99', but torch sees"),
        ({"dtype": "float64"}, "model.dtype is 'float64'; it can be auto, float32, bfloat16, float16"),
        ({"dtype": torch.int8}, "model.dtype is 'int8'; it can be auto, float32, bfloat16, float16"),
        ({"device": None}, "model.device is 'None'; it can be auto, cpu, cuda or cuda:N"),
    ],
)
def test_unknown_device_or_dtype_is_named(folder: Path, arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load_network(folder, **arguments)


def test_devices_and_dtypes_may_be_torch_s(folder: Path) -> None:
    loaded = load_network(folder, device=torch.device("cpu"), dtype=torch.bfloat16)
    assert (loaded.device, loaded.dtype) == (torch.device("cpu"), torch.bfloat16)


def test_the_demo_has_no_revisions() -> None:
    with pytest.raises(SettingsError, match="ships with raygen and has no revisions"):
        load_network("demo", revision="main")


def test_which_of_two_sets_of_weights_is_read_is_said(folder: Path) -> None:
    write_random_checkpoint(folder.parent / "other", small_config(), seed=1)
    (folder.parent / "other" / "model.safetensors").rename(folder / "model.safetensors")
    (remark,) = [remark for remark in describe_network(folder, device="cpu").remarks if "which is read" in remark]
    assert "model.safetensors.index.json with its shards, which are not" in remark
    assert torch.equal(logits(load_network(folder, device="cpu").network), logits(random_model(small_config(), seed=1)))


# The hub


def test_hub_id_without_a_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"evo-1-8k-base at revision 1\.1_fix is not in the local hub cache"):
        load_network("togethercomputer/evo-1-8k-base", revision="1.1_fix")


def test_hub_id_in_the_local_cache_needs_no_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout of the hub cache: a ref holds the commit, the commit's snapshot holds the files."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository, commit = tmp_path / "hub" / "models--org--name", "c" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "1.1_fix").write_text(commit)
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / commit)
    loaded = load_network("org/name", revision="1.1_fix", device="cpu")
    assert (loaded.facts.name, loaded.facts.revision) == ("org/name", "1.1_fix")
    assert torch.equal(logits(loaded.network), logits(random_model(small_config())))


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("GatedRepoError", "org/name is gated: accept its conditions"),
        ("RepositoryNotFoundError", "The hub has no model org/name, or it is private"),
        ("RevisionNotFoundError", "org/name has no revision 'r'"),
        ("HfHubHTTPError", "org/name at revision r cannot be fetched from the hub: first line"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_sentence(kind: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error_type = getattr(huggingface_hub.errors, kind)

    class Refused(error_type):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            Exception.__init__(self, "first line\nsecond line")

        def __str__(self) -> str:
            return "first line\nsecond line"

    def refuse(*_: Any, **__: Any) -> None:
        raise Refused

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=sentence) as raised:
        load_network("org/name", revision="r")
    assert "\n" not in str(raised.value)
