"""A random model in the published layout, for tests and benchmarks: seeded, bit-identical everywhere.

Only uniform draws of torch's CPU generator and correctly rounded arithmetic (+, −, ×, ÷, √) are used: normal draws, sines
and exponentials differ in the last bit between processors, and the file's hash would with them. The square root is numpy's:
torch's is MKL's on some processors, which is not always correctly rounded.

Weights are scaled so that every part matters: each projection keeps the size of its input, each filter's poles decay over 1
to 1,000 tokens, each block adds about as much as it reads, and logits spread by about a nat.
"""

from __future__ import annotations

import filecmp
import json
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from raygen.errors import InputError, SettingsError
from raygen.model.attention import inverse_frequencies
from raygen.model.cards import card_named
from raygen.model.checkpoint import expected_shapes
from raygen.model.checkpoint_files import INDEX_FILE
from raygen.model.convert import config_of
from raygen.model.evo1 import Evo1Config
from raygen.model.striped_hyena import StripedHyenaConfig
from raygen.tables.place import put_folder_in_place

EVO1_8K = "evo-1-8k-base"
_DECAYS = torch.tensor([0.5**order for order in range(10)])


def demo_config() -> Evo1Config:
    """Four layers of width 64, one of them attention: 0.24 million parameters, thousands of tokens a second on a core."""
    return Evo1Config(
        vocab_size=512,
        hidden_size=64,
        num_layers=4,
        attn_layer_idxs=[2],
        hyena_layer_idxs=[0, 1, 3],
        num_attention_heads=4,
        state_size=8,
        short_filter_length=3,
        short_filter_bias=True,
        inner_mlp_size=176,
        eps=1e-6,
        column_split_hyena=True,
        tie_embeddings=True,
        qkv_proj_bias=True,
        mha_out_proj_bias=True,
        rotary_emb_base=10000,
        use_interpolated_rotary_pos_emb=False,
        mlp_activation="gelu",
        max_seqlen=8192,
        proj_groups=1,
        hyena_filter_groups=1,
        final_norm=True,
    )


def evo1_8k_config() -> Evo1Config:
    """The shape of ``evo-1-8k-base``: 6.45 billion parameters (evo-model 0.5, configs/evo-1-8k-base_inference.yml)."""
    attention = [8, 16, 24]
    shape = {
        "hidden_size": 4096,
        "num_layers": 32,
        "attn_layer_idxs": attention,
        "hyena_layer_idxs": [layer for layer in range(32) if layer not in attention],
        "num_attention_heads": 32,
        "inner_mlp_size": None,
        "inner_size_multiple_of": 16,
    }
    return Evo1Config(**{**demo_config().keys(), **shape})


def config_like(name: str) -> StripedHyenaConfig:
    """The shape of a published checkpoint, ``evo-1-8k-base`` or one of Evo 2.

    Raises:
        SettingsError: no checkpoint of that name.
    """
    if name == EVO1_8K:
        return evo1_8k_config()
    card = card_named(name)
    if card is None:
        raise SettingsError(f"There is no checkpoint {name}; configs/models has them.")
    return config_of(card)


def write_random_checkpoint(
    folder: Path,
    config: StripedHyenaConfig,
    seed: int,
    max_shard_bytes: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """config.json and safetensors, in shards with an index where ``max_shard_bytes`` is given.

    Written beside the folder and renamed into place, so a reader never sees half of one, and two processes may write the
    same one at once. No more than a shard is in memory.

    Args:
        dtype: of all tensors but poles and residues, which are float32 in any file.

    Raises:
        InputError: the folder holds something else already.
    """
    try:
        with put_folder_in_place(folder, is_same=_same_files) as partial:
            _write_files(partial, config, seed, max_shard_bytes, dtype)
    except FileExistsError:
        raise InputError(
            f"{folder} holds something else already; a random checkpoint is not written over it."
        ) from None


def random_weights(config: StripedHyenaConfig, seed: int) -> dict[str, Tensor]:
    """Float32 tensors by canonical name. The same seed gives the same bits on every machine."""
    return dict(_draw_all(config, seed))


def _draw_all(config: StripedHyenaConfig, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Name and values of one tensor after the other, in the order of the names; all from one generator."""
    generator = torch.Generator("cpu").manual_seed(seed)
    for name, shape in sorted(expected_shapes(config).items()):
        yield name, _draw(name, config)(shape, generator)


_Draw = Callable[[tuple[int, ...], torch.Generator], Tensor]


def _draw(name: str, config: StripedHyenaConfig) -> _Draw:
    """How the tensor of this name is drawn."""
    kind = name.rsplit(".", 1)[-1]
    if kind in ("poles", "residues"):
        return _draw_poles if kind == "poles" else _draw_residues
    if kind == "log_poles":
        return _draw_log_poles
    if kind == "inv_freq":
        return lambda shape, generator: inverse_frequencies(config.rotary_emb_base, 2 * shape[0]).bfloat16().float()
    if kind in ("bias", "short_filter_bias"):
        return lambda shape, generator: 0.1 * _uniform(shape, generator)
    if kind == "scale":
        return lambda shape, generator: 1 + 0.1 * _uniform(shape, generator)
    if kind == "D":
        return _uniform
    return _draw_matrix


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random numbers between −1 and 1, all alike."""
    return torch.rand(shape, generator=generator) * 2 - 1


def _draw_matrix(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random weights with a variance of one over the number of inputs, which is the last axis of a matrix, an embedding
    or a short filter.
    """
    return _uniform(shape, generator) * math.sqrt(3 / shape[-1])


def _draw_poles(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random complex poles at any angle; |p| = 1 − decay, all orders of magnitude of the decay alike."""
    direction = _uniform(shape, generator)
    squares = direction * direction
    length = torch.from_numpy(np.sqrt((squares[..., :1] + squares[..., 1:] + 1e-12).numpy()))
    order = (torch.rand((*shape[:-1], 1), generator=generator) * len(_DECAYS)).long()
    decay = _DECAYS[order] * (0.5 + 0.5 * torch.rand(order.shape, generator=generator))
    return direction / length * (1 - decay)


def _draw_log_poles(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random logarithms of real poles, all orders of magnitude of the decay alike; always below zero."""
    order = (torch.rand(shape, generator=generator) * len(_DECAYS)).long()
    return -_DECAYS[order] * (0.5 + 0.5 * torch.rand(shape, generator=generator))


def _draw_residues(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random residues, so small that the N poles of a channel together, most of them slow, answer with about the size
    of their input.
    """
    return _uniform(shape, generator) * (0.5 / math.sqrt(shape[1]))


def _write_files(
    folder: Path, config: StripedHyenaConfig, seed: int, max_shard_bytes: int | None, dtype: torch.dtype
) -> None:
    (folder / "config.json").write_text(json.dumps(config.as_published(), indent=2) + "\n")
    shapes = sorted(expected_shapes(config).items())
    sizes = {name: math.prod(shape) * _stored_dtype(name, dtype).itemsize for name, shape in shapes}
    shards = _cut_into_shards(sizes, max_shard_bytes or sum(sizes.values()))
    files = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    if not max_shard_bytes:
        files = ["model.safetensors"]
    drawn = _draw_all(config, seed)
    for file, names in zip(files, shards, strict=True):
        tensors = {name: tensor.to(_stored_dtype(name, dtype)) for name, tensor in islice(drawn, len(names))}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        del tensors
    if max_shard_bytes:
        weight_map = {name: file for file, names in zip(files, shards, strict=True) for name in names}
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def _cut_into_shards(sizes: Mapping[str, int], max_bytes: int) -> list[list[str]]:
    """Names, in their order, in lists of at most so many bytes; a tensor that is larger is alone in its own."""
    shards: list[list[str]] = [[]]
    room = max_bytes
    for name, size in sizes.items():
        if size > room and shards[-1]:
            shards.append([])
            room = max_bytes
        shards[-1].append(name)
        room -= size
    return shards


def _stored_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if name.endswith(("poles", "residues")) else dtype


def _same_files(left: Path, right: Path) -> bool:
    if not right.is_dir():
        return False
    names = sorted(path.name for path in left.iterdir())
    if names != sorted(path.name for path in right.iterdir()):
        return False
    return filecmp.cmpfiles(left, right, names, shallow=False)[0] == names
