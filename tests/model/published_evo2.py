"""Small Evo 2 checkpoints as they are published: a .pt with everything in it that the real ones hold."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from raygen.model.evo2 import Evo2Config
from raygen.model.random_checkpoint import random_weights


def published_tensors(config: Evo2Config, seed: int = 0) -> dict[str, Any]:
    """Names without prefix, q, k and v of a head together, bfloat16 but for poles and residues, and what is not taken over."""
    tensors: dict[str, Any] = {}
    for name, tensor in random_weights(config, seed).items():
        kept = name.endswith(("log_poles", "residues"))
        tensors[name.removeprefix("backbone.")] = tensor if kept else tensor.bfloat16()
    for name in [name for name in tensors if ".Wqkv." in name]:
        tensors[name] = rearrange(
            tensors[name], "(three h e) ... -> (h three e) ...", three=3, h=config.num_attention_heads
        ).contiguous()
    tensors["unembed.weight"] = tensors["embedding_layer.weight"].clone()
    for layer in config.hcl_layer_idxs:
        tensors[f"blocks.{layer}.mixer.mixer.filter.t"] = torch.arange(8.0)[None, None]
    for layer in config.attn_layer_idxs:
        tensors[f"blocks.{layer}.mixer.attn._extra_state"] = io.BytesIO(b"scales")
        tensors[f"blocks.{layer}.mixer.dense._extra_state"] = None
    return tensors


def write_published(file: Path, tensors: dict[str, Any], num_parts: int = 0) -> Path:
    """One file, or the bytes of one in parts beside each other: the path of the file or of the first part."""
    torch.save(tensors, file)
    if not num_parts:
        return file
    content = file.read_bytes()
    size = -(-len(content) // num_parts)
    for number in range(num_parts):
        Path(f"{file}.part{number}").write_bytes(content[number * size : (number + 1) * size])
    file.unlink()
    return Path(f"{file}.part0")


def load_into_reference(reference: torch.nn.Module, tensors: dict[str, Any]) -> None:
    """As the public reference loads them, its own reordering of Wqkv included."""
    states = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    reference.custom_load_state_dict(states)
