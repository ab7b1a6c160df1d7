"""A published Evo 2 checkpoint (``.pt``, whole or in parts) to a folder of safetensors that loads like any other.

In: the file, and which checkpoint it is (its card, or a configuration). Out: a folder with ``config.json`` and shards, and what was
not taken over, in words. The pickle is opened with ``weights_only`` and mapped, not read: one shard is in memory at a time.

What is done to the tensors: names get the prefix ``backbone.``; the rows of ``Wqkv``, which lie head by head (q, k, v of the
first head, then of the second), are put in the order q, k, v of all heads; filters, poles, norms and rotary frequencies become
float32; everything else stays in the type it is stored in. What is not taken over is known by name: ``_extra_state`` (how FP8
layers were scaled), ``mixer.mixer.filter.t`` (a time axis) and a tied ``unembed.weight``. Anything else that is missing or left
over is an error.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from torch import Tensor

from raygen.errors import InputError, SettingsError
from raygen.model.attention import inverse_frequencies
from raygen.model.cards import ModelCard
from raygen.model.checkpoint import INDEX_FILE, check_checkpoint, expected_shapes, named_fault
from raygen.model.evo2 import Evo2Config, Evo2ForCausalLM
from raygen.model.families import EMBEDDING, PREFIX, UNEMBEDDING
from raygen.number_of import number_of

MAX_SHARD_BYTES = 5 * 10**9
_PART = re.compile(r"(?P<whole>.+\.pt)\.part(?P<number>\d+)")
_NOT_TAKEN = {
    "_extra_state": "how FP8 layers were scaled",
    "mixer.mixer.filter.t": "a time axis",
}


@dataclass(frozen=True)
class Source:
    """The files of one checkpoint in order, and its name without ``.pt``."""

    name: str
    files: tuple[Path, ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)


@dataclass(frozen=True)
class Conversion:
    """What was written, and sentences about what was not."""

    folder: Path
    num_tensors: int
    num_bytes: int
    num_files: int
    remarks: tuple[str, ...]


def find_source(path: Path) -> Source:
    """The checkpoint at a path: a ``.pt`` file, the first of its parts, or a folder that holds one checkpoint.

    Raises:
        InputError: there is none, there are several, or a part is missing.
    """
    if path.is_dir():
        found = {_whole_name(file.name) for file in path.iterdir() if _whole_name(file.name)}
        if len(found) != 1:
            held = f"several checkpoints ({', '.join(sorted(map(str, found)))}): name one" if found else "no .pt file"
            raise InputError(f"{path} holds {held}.")
        (whole,) = found
        return _source(path / str(whole))
    whole_name = _whole_name(path.name)
    if whole_name is None:
        raise InputError(f"{path} is neither a .pt file nor a part of one (.pt.part0).")
    return _source(path.with_name(whole_name))


def config_of(card: ModelCard, fine_tuned: bool = False) -> Evo2Config:
    """The configuration of a published checkpoint, or of one that was fine-tuned from it and is another model.

    Raises:
        SettingsError: the card is none of Evo 2.
    """
    if card.architecture is None:
        raise SettingsError(f"{card.name} is not an Evo 2 checkpoint: its folder is safetensors already.")
    settings = card.architecture.config_settings(card.context_length, card.rotary_scaling)
    own = None if fine_tuned else card.name
    return Evo2Config(**settings, use_fp8_input_projections=card.needs_fp8, card=own)


def convert_checkpoint(
    source: Source,
    config: Evo2Config,
    target: Path,
    heads_together: bool = True,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Conversion:
    """Write ``target``, beside it first and renamed when it is whole.

    Args:
        heads_together: q, k and v of a head lie together in ``Wqkv``, as in published checkpoints.

    Raises:
        SettingsError: the target exists.
        InputError: the checkpoint cannot be read, does not fit the configuration, or the disk is too small.
    """
    if target.exists():
        raise SettingsError(f"{target} exists already. Give another folder, or remove it first.")
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_room(source, target.parent)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        stored = _open(_in_one_file(source, partial))
        tensors, remarks = _named_tensors(stored, config, source.name)
        (partial / _MERGED).unlink(missing_ok=True)  # what is mapped stays readable
        files = _write(partial, tensors, config, heads_together, max_shard_bytes)
        check_checkpoint(partial, config)
        num_bytes = sum(file.stat().st_size for file in files)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Conversion(target, len(tensors), num_bytes, len(files), tuple(remarks))


# Files --------------------------------------------------------------------------------------------------------------

_MERGED = "merged.pt"


def _whole_name(name: str) -> str | None:
    part = _PART.fullmatch(name)
    return part["whole"] if part else name if name.endswith(".pt") else None


def _source(whole: Path) -> Source:
    name = whole.name.removesuffix(".pt")
    if whole.is_file():
        return Source(name, (whole,))
    numbered = {
        int(part["number"]): file
        for file in whole.parent.glob("*.part*")
        if (part := _PART.fullmatch(file.name)) and part["whole"] == whole.name
    }
    if not numbered:
        raise InputError(f"No such file: {whole}.")
    missing = [f"{whole.name}.part{number}" for number in range(max(numbered) + 1) if number not in numbered]
    if missing:
        raise InputError(
            f"{whole.parent.resolve()}: {len(missing)} of {max(numbered) + 1} parts are not there: {missing[0]}."
        )
    return Source(name, tuple(numbered[number] for number in sorted(numbered)))


def _check_room(source: Source, folder: Path) -> None:
    copies = 2 if len(source.files) > 1 else 1
    needed, free = copies * source.num_bytes, shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder} has {free / 1e9:.1f} GB free, and converting {source.name} takes {needed / 1e9:.1f} GB"
            f"{' (its parts are put together first)' if copies > 1 else ''}."
        )


def _in_one_file(source: Source, folder: Path) -> Path:
    if len(source.files) == 1:
        return source.files[0]
    with (folder / _MERGED).open("wb") as merged:
        for file in source.files:
            with file.open("rb") as part:
                shutil.copyfileobj(part, merged, 16 * 2**20)
    return folder / _MERGED


def _open(file: Path) -> Mapping[str, Any]:
    """What the file holds, its tensors mapped. Only tensors, plain values and BytesIO are unpickled."""
    try:
        with torch.serialization.safe_globals([io.BytesIO]):
            stored = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{file.name} holds more than tensors and is not opened, because a pickle can run code: "
            f"{str(error).splitlines()[0]}"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{file.name} ({file.stat().st_size:,} bytes) cannot be read as a checkpoint: {said} "
            "Was it copied or downloaded completely?"
        ) from None
    if not isinstance(stored, Mapping) or not all(isinstance(name, str) for name in stored):
        raise InputError(f"{file.name} holds a {type(stored).__name__}, not tensors by name.")
    return stored


# Tensors ------------------------------------------------------------------------------------------------------------


def _named_tensors(stored: Mapping[str, Any], config: Evo2Config, source: str) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors to write, by canonical name, and remarks on the others.

    Raises:
        InputError: names every tensor that is missing, left over or of the wrong shape.
    """
    skipped, remarks = _skipped(stored, config)
    tensors = {PREFIX + name: value for name, value in stored.items() if name not in skipped}
    expected = expected_shapes(config)
    wrong = [
        f"{name} is {_described(tensors[name])}, not {list(shape)}"
        for name, shape in expected.items()
        if name in tensors and not _fits(tensors[name], shape)
    ]
    faults = [
        named_fault("missing", expected.keys() - tensors.keys()),
        named_fault("left over", tensors.keys() - expected.keys()),
        named_fault("of the wrong shape or type", wrong, separator="; "),
        _frequency_fault(tensors, config),
    ]
    if any(faults):
        raise InputError(
            f"{source} does not fit the architecture that was named. {' '.join(fault for fault in faults if fault)}"
        )
    return {name: tensors[name] for name in sorted(tensors)}, remarks


def _skipped(stored: Mapping[str, Any], config: Evo2Config) -> tuple[set[str], list[str]]:
    """Names that are known and not taken over, and what to say of them."""
    skipped, remarks = set(), []
    for ending, meaning in _NOT_TAKEN.items():
        names = {name for name in stored if name.endswith(f".{ending}")}
        skipped |= names
        if names:
            remarks.append(f"Not taken over: {number_of(len(names), 'entry', 'entries')} .{ending} ({meaning}).")
    unembedding, embedding = (name.removeprefix(PREFIX) for name in (UNEMBEDDING, EMBEDDING))
    if config.tie_embeddings and isinstance(stored.get(unembedding), Tensor):
        skipped.add(unembedding)
        same = isinstance(stored.get(embedding), Tensor) and torch.equal(stored[unembedding], stored[embedding])
        meaning = (
            "the embedding again" if same else "it differs from the embedding; the reference does not read it either"
        )
        remarks.append(f"Not taken over: {unembedding} ({meaning}).")
    return skipped, remarks


def _fits(value: Any, shape: Sequence[int]) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and tuple(value.shape) == tuple(shape)


def _described(value: Any) -> str:
    return (
        f"{value.dtype} {list(value.shape)}".removeprefix("torch.")
        if isinstance(value, Tensor)
        else type(value).__name__
    )


def _frequency_fault(tensors: Mapping[str, Any], config: Evo2Config) -> str:
    """Rotary frequencies that are not those of the configuration, beyond bfloat16's rounding: another model's file."""
    expected = inverse_frequencies(config.rotary_emb_base, config.head_size)
    other = [
        name
        for name, value in tensors.items()
        if name.endswith("rotary_emb.inv_freq")
        and _fits(value, expected.shape)
        and not torch.allclose(value.float(), expected, rtol=2**-7, atol=0)
    ]
    return named_fault(f"not of the rotary base {config.rotary_emb_base:g}", other)


def _as_written(name: str, tensor: Tensor, config: Evo2Config, heads_together: bool) -> Tensor:
    if Evo2ForCausalLM.stays_in_float32(name):
        return tensor.float().contiguous()
    if heads_together and ".Wqkv." in name:
        tensor = rearrange(tensor, "(h three e) ... -> (three h e) ...", three=3, h=config.num_attention_heads)
    return tensor.contiguous()


def _write(
    folder: Path, tensors: dict[str, Tensor], config: Evo2Config, heads_together: bool, max_shard_bytes: int
) -> list[Path]:
    """config.json, shards and their index; the names of the shards' files."""
    with torch.device("meta"):
        sizes = {
            name: torch.empty(
                tensor.shape, dtype=torch.float32 if Evo2ForCausalLM.stays_in_float32(name) else tensor.dtype
            )
            for name, tensor in tensors.items()
        }
    shards = split_torch_state_dict_into_shards(sizes, max_shard_size=max_shard_bytes)
    for file, names in shards.filename_to_tensors.items():
        shard = {name: _as_written(name, tensors[name], config, heads_together) for name in names}
        save_file(shard, folder / file, metadata={"format": "pt"})
    if shards.is_sharded:
        total = sum(tensor.nbytes for tensor in sizes.values())
        index = {"metadata": {"total_size": total}, "weight_map": shards.tensor_to_filename}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    dtype = str(tensors[EMBEDDING].dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps({"dtype": dtype, **config.as_published()}, indent=2) + "\n")
    return [folder / file for file in shards.filename_to_tensors]
