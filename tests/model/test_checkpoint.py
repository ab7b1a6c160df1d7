"""Every kind of broken checkpoint gets its sentence; the hash is that of what numbers depend on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from raygen.errors import InputError
from raygen.model import tensor_bytes
from raygen.model.auto_classes import Evo1ForCausalLM
from raygen.model.checkpoint import check_checkpoint, read_config
from raygen.model.checkpoint_files import read_checkpoint_header
from raygen.model.evo1 import Evo1Network
from raygen.model.evo_facts import evo_facts
from raygen.model.loading import load_network
from raygen.model.random_checkpoint import write_random_checkpoint
from tests.model.models import small_config

EMBEDDING = "backbone.embedding_layer.weight"
SHARD_BYTES = 20_000


@pytest.fixture
def single(tmp_path: Path) -> Path:
    """A good checkpoint in one file."""
    write_random_checkpoint(tmp_path / "single", small_config(), seed=0)
    return tmp_path / "single"


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """The same checkpoint in shards."""
    write_random_checkpoint(tmp_path / "sharded", small_config(), seed=0, max_shard_bytes=SHARD_BYTES)
    return tmp_path / "sharded"


def check(folder: Path) -> None:
    check_checkpoint(folder, read_config(folder))


def hash_of(folder: Path) -> str:
    return evo_facts(folder, folder, card=None, allow_unvalidated=False).weights_hash


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_good_checkpoints_pass(single: Path, sharded: Path) -> None:
    check(single)
    check(sharded)
    assert len(list(sharded.glob("*.safetensors"))) > 3
    assert read_checkpoint_header(single).keys() == read_checkpoint_header(sharded).keys()


def test_names_are_those_of_the_published_checkpoints(single: Path) -> None:
    headers = read_checkpoint_header(single)
    shapes = {name: list(header.shape) for name, header in headers.items()}
    hyena, attention = "backbone.blocks.0.", "backbone.blocks.1."
    both = {
        f"{block}{name}": shape
        for block in (hyena, attention, "backbone.blocks.2.")
        for name, shape in {
            "pre_norm.scale": [32],
            "post_norm.scale": [32],
            "mlp.l1.weight": [48, 32],
            "mlp.l2.weight": [48, 32],
            "mlp.l3.weight": [32, 48],
        }.items()
    }
    of_hyena = {
        f"{block}{name}": shape
        for block in (hyena, "backbone.blocks.2.")
        for name, shape in {
            "projections.weight": [96, 32],
            "projections.bias": [96],
            "filter.D": [32],
            "filter.short_filter_weight": [96, 1, 3],
            "filter.short_filter_bias": [96],
            "filter.poles": [32, 4, 1, 2],
            "filter.residues": [32, 4, 1, 2],
            "out_filter_dense.weight": [32, 32],
            "out_filter_dense.bias": [32],
        }.items()
    }
    of_attention = {
        f"{attention}inner_mha_cls.{name}": shape
        for name, shape in {
            "Wqkv.weight": [96, 32],
            "Wqkv.bias": [96],
            "out_proj.weight": [32, 32],
            "out_proj.bias": [32],
        }.items()
    }
    assert shapes == {EMBEDDING: [512, 32], "backbone.norm.scale": [32], **both, **of_hyena, **of_attention}


def test_missing_unexpected_and_misshapen_tensors_are_all_named(single: Path) -> None:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["backbone.blocks.0.filter.D"], tensors["backbone.norm.scale"]
        tensors["backbone.blocks.9.filter.D"] = torch.zeros(32)
        tensors["backbone.blocks.2.mlp.l1.weight"] = torch.zeros(32, 48)
        tensors["backbone.blocks.2.mlp.l2.weight"] = torch.zeros(48, 32, dtype=torch.int8)

    change_tensors(single, damage)
    with pytest.raises(InputError) as raised:
        check(single)
    for words in (
        "2 missing: backbone.blocks.0.filter.D, backbone.norm.scale.",
        "1 unexpected: backbone.blocks.9.filter.D.",
        "2 of the wrong shape or type: backbone.blocks.2.mlp.l1.weight is F32 [32, 48], not [48, 32]; "
        "backbone.blocks.2.mlp.l2.weight is I8 [48, 32], not [48, 32].",
    ):
        assert words in str(raised.value)


def test_a_long_list_of_faults_is_cut_and_counted(single: Path) -> None:
    def only_embedding(tensors: dict[str, torch.Tensor]) -> None:
        for name in tensors.keys() - {EMBEDDING}:
            del tensors[name]

    change_tensors(single, only_embedding)
    with pytest.raises(InputError, match=r"38 missing: (backbone\S+, ){4}backbone\S+ and 33 more\.$"):
        check(single)


def test_missing_shard_is_named(sharded: Path) -> None:
    name = sorted(path.name for path in sharded.glob("*.safetensors"))[1]
    (sharded / name).unlink()
    with pytest.raises(InputError, match=rf"1 of \d+ files that model.safetensors.index.json names .*{name}"):
        check(sharded)


def test_index_that_disagrees_with_its_shards_is_named(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    shard = json.loads(index.read_text())["weight_map"][EMBEDDING]

    def damage(content: dict[str, Any]) -> None:
        del content["weight_map"]["backbone.blocks.0.pre_norm.scale"]
        content["weight_map"]["backbone.other"] = shard

    change_json(index, damage)
    with pytest.raises(
        InputError,
        match=r"that the index names: backbone\.other\. 1 not in the index: backbone\.blocks\.0\.pre_norm\.scale",
    ):
        check(sharded)


def test_tensor_in_two_shards_is_named(sharded: Path) -> None:
    first, second = sorted(sharded.glob("*.safetensors"))[:2]
    shutil.copy(first, second)
    with pytest.raises(InputError, match=r"is both in model-00001.* and in model-00002"):
        check(sharded)


def test_truncated_file_is_named(single: Path) -> None:
    file = single / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"bytes\) cannot be read as safetensors: .* downloaded completely\?"):
        check(single)


@pytest.mark.parametrize("content", [b"", b"garbage", b"<html>log in</html>" * 100])
def test_file_that_is_no_safetensors_is_named(single: Path, content: bytes) -> None:
    (single / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        check(single)


def test_folder_without_weights_is_named(single: Path) -> None:
    (single / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds neither model\.safetensors nor"):
        check(single)


def test_pickles_are_never_opened(single: Path) -> None:
    (single / "model.safetensors").rename(single / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"as pickles only \(pytorch_model\.bin\).* Convert them"):
        check(single)


@pytest.mark.parametrize(
    ("content", "sentence"), [("{", "is not JSON"), ("[1]", "is not a JSON object"), (None, "cannot be read")]
)
def test_config_that_cannot_be_read_is_named(single: Path, content: str | None, sentence: str) -> None:
    (single / "config.json").unlink() if content is None else (single / "config.json").write_text(content)
    with pytest.raises(InputError, match=f"config.json {sentence}"):
        check(single)


def test_config_key_that_is_missing_is_named_with_its_folder(single: Path) -> None:
    change_json(single / "config.json", lambda content: content.pop("rotary_emb_base"))
    with pytest.raises(InputError, match=rf"{single}.*missing rotary_emb_base"):
        check(single)


def test_another_family_is_refused(single: Path) -> None:
    change_json(single / "config.json", lambda content: content.update(model_type="llama"))
    with pytest.raises(InputError, match="model_type is 'llama'; an Evo 1 checkpoint says 'stripedhyena'"):
        check(single)


def test_broken_index_is_named(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text('{"weight_map": 3}')
    with pytest.raises(InputError, match="has no weight_map"):
        check(sharded)


@pytest.mark.parametrize("metadata", [None, "none at all"])
def test_an_index_without_metadata_is_named_before_the_loader_falls_over_it(
    sharded: Path, metadata: str | None
) -> None:
    def damage(content: dict[str, Any]) -> None:
        del content["metadata"]
        if metadata is None:
            content["metadata"] = None

    change_json(sharded / "model.safetensors.index.json", damage)
    with pytest.raises(InputError, match=r'has no metadata, .* add "metadata": \{\}'):
        check(sharded)
    change_json(sharded / "model.safetensors.index.json", lambda content: content.update(metadata={}))
    assert type(load_network(sharded, device="cpu").network) is Evo1Network


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_weight_that_is_no_number_is_named_where_it_is(single: Path, dtype: torch.dtype) -> None:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        tensors["backbone.blocks.0.mlp.l1.weight"] = tensors["backbone.blocks.0.mlp.l1.weight"].to(dtype)
        tensors["backbone.blocks.0.mlp.l1.weight"][3, 5] = float("nan")

    change_tensors(single, damage)
    with pytest.raises(InputError, match=r"model\.safetensors: backbone\.blocks\.0\.mlp\.l1\.weight holds .*NaN"):
        hash_of(single)


def test_a_tied_unembedding_with_the_same_nan_is_the_embedding(single: Path) -> None:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        tensors[EMBEDDING][0, 0] = float("nan")
        tensors["backbone.unembed.weight"] = tensors[EMBEDDING].clone()

    change_tensors(single, damage)
    check(single)


def test_a_byte_order_mark_is_no_fault(single: Path) -> None:
    text = (single / "config.json").read_text()
    (single / "config.json").write_text(text, encoding="utf-8-sig")
    check(single)


def test_a_file_that_may_not_be_read_says_so(single: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # tests may run as root, who may read all
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read \(Permission denied\)"):
        check_checkpoint(single, small_config())


def test_keys_that_steer_the_loader_change_nothing(single: Path) -> None:
    """Another file than the one that was hashed, a quantisation that a merge left over, kernels that are not here."""
    expected = load_network(single, device="cpu")
    other = load_file(single / "model.safetensors")
    save_file(
        {name: tensor + 1 for name, tensor in other.items()}, single / "other.safetensors", metadata={"format": "pt"}
    )
    steering = {
        "transformers_weights": "other.safetensors",
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
        "attn_implementation": "flash_attention_2",
        "_attn_implementation": "flash_attention_2",
        "torch_dtype": "junk",
        "use_return_dict": True,
        "head_size": 3,
        "mlp_width": 5,
        "keys": 1,
    }
    change_json(single / "config.json", lambda content: content.update(steering))
    found = load_network(single, device="cpu")
    assert found.facts.weights_hash == expected.facts.weights_hash
    left, right = found.network.state_dict(), expected.network.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in right)
    assert type(AutoModelForCausalLM.from_pretrained(single)) is Evo1ForCausalLM


def test_a_model_type_that_is_no_name_is_a_sentence(single: Path) -> None:
    change_json(single / "config.json", lambda content: content.update(model_type=["stripedhyena"]))
    with pytest.raises(InputError, match="no model that transformers can load"):
        load_network(single, device="cpu")


def test_tied_unembedding_may_be_there_if_it_is_the_embedding(single: Path) -> None:
    before = hash_of(single)
    change_tensors(single, lambda tensors: tensors.update({"backbone.unembed.weight": tensors[EMBEDDING].clone()}))
    check(single)
    assert hash_of(single) == before
    change_tensors(single, lambda tensors: tensors["backbone.unembed.weight"].add_(1))
    with pytest.raises(InputError, match=r"says tie_embeddings, but unembed\.weight differs"):
        check(single)


def test_rotary_frequencies_may_be_there(single: Path) -> None:
    name = "backbone.blocks.1.inner_mha_cls.rotary_emb.inv_freq"
    change_tensors(single, lambda tensors: tensors.update({name: torch.ones(8, dtype=torch.bfloat16)}))
    check(single)
    change_tensors(single, lambda tensors: tensors.update({name.replace("1", "0"): torch.ones(8)}))
    with pytest.raises(InputError, match=r"1 unexpected: backbone\.blocks\.0"):
        check(single)


def test_prefix_may_be_missing_from_all_names(single: Path) -> None:
    before = hash_of(single)
    tensors = load_file(single / "model.safetensors")
    save_file(
        {name.removeprefix("backbone."): tensor for name, tensor in tensors.items()}, single / "model.safetensors"
    )
    check(single)
    assert hash_of(single) == before


def test_hash_does_not_depend_on_the_sharding_but_on_all_else(single: Path, sharded: Path) -> None:
    before = hash_of(single)
    assert hash_of(sharded) == before
    change_json(sharded / "config.json", lambda content: content.update(rotary_emb_base=500_000))
    assert hash_of(sharded) != before
    change_json(sharded / "config.json", lambda content: content.update(rotary_emb_base=small_config().rotary_emb_base))
    assert hash_of(sharded) == before
    change_tensors(single, lambda tensors: tensors["backbone.norm.scale"][3].add_(1e-6))
    assert hash_of(single) != before
    change_tensors(sharded_to_single(sharded), lambda tensors: tensors.update({EMBEDDING: tensors[EMBEDDING].half()}))
    assert hash_of(sharded) != before


def sharded_to_single(folder: Path) -> Path:
    tensors = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_hash_is_read_once_while_the_files_stay_as_they_are(single: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of(single)
    monkeypatch.setattr(tensor_bytes, "_hash_tensors", lambda headers: pytest.fail("read again"))
    assert hash_of(single) == before


def test_hash_needs_no_cache(single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of(single)
    (tmp_path / "a file").touch()
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "a file"))
    assert hash_of(single) == before
