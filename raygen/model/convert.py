"""A published Evo 2 checkpoint (``.pt``, whole or in parts) to a folder of safetensors that loads like any other.

In: the file, and which checkpoint it is (its card, or a configuration). Out: a folder with ``config.json`` and shards, and what was
not taken over, in words. The pickle is opened with ``weights_only`` and mapped, not read: one shard is in memory at a time.

What is done to the tensors: names get the prefix ``backbone.``; the rows of ``Wqkv``, which lie head by head (q, k, v of the
first head, then of the second), are put in the order q, k, v of all heads; filters, poles, norms and rotary frequencies become
float32; everything else stays in the type it is stored in. What was saved around the tensors by name is taken off where it is one
thing: a dictionary that holds them under ``model`` or ``state_dict``, a prefix of every name like ``module.``. What is not taken over is known by name: ``_extra_state`` (how FP8
layers were scaled), ``mixer.mixer.filter.t`` (a time axis) and a tied ``unembed.weight``. Anything else that is missing or left
over is an error.

Which Evo 2 checkpoint a file is, and its conversion: by command, or once into the cache for a hub id.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import shutil
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
import yaml
from einops import rearrange
from filelock import FileLock
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from torch import Tensor

from raygen.cache import cache_folder
from raygen.errors import InputError, SettingsError, StoppedError, first_line
from raygen.model.attention import inverse_frequencies
from raygen.model.cards import ModelCard, all_cards, card_named, find_card, is_hub_id
from raygen.model.checkpoint import check_checkpoint, expected_shapes
from raygen.model.checkpoint_files import (
    EMBEDDING,
    INDEX_FILE,
    PREFIX,
    UNEMBEDDING,
    named_fault,
)
from raygen.model.evo2 import Evo2Config, Evo2Network
from raygen.model.hub import fetch_from_hub
from raygen.number_of import number_of
from raygen.tables.place import put_folder_in_place

MAX_SHARD_BYTES = 5 * 10**9
CONVERSION_VERSION = 1
"""Raised when the same file becomes other tensors, so that folders converted before are not taken for new ones."""
_PART = re.compile(r"(?P<whole>.+\.pt)\.part(?P<number>\d+)")
_NOT_TAKEN = {
    "_extra_state": "how FP8 layers were scaled",
    "mixer.mixer.filter.t": "a time axis",
}
_TYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_WRAPPERS = ("model", "module", "state_dict", "model_state_dict")
_PREFIXES = ("module.", "model.", "_orig_mod.", PREFIX)


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
        checkpoint_names = {_whole_name(file.name) for file in path.iterdir() if _whole_name(file.name)}
        if len(checkpoint_names) != 1:
            names = sorted(map(str, checkpoint_names))
            several = f"several checkpoints ({', '.join(names)}): name one, as {path}/NAME" if names else ""
            raise InputError(f"{path} holds {several or 'no .pt file'}.")
        (checkpoint_name,) = checkpoint_names
        return _source(path / str(checkpoint_name))
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
    card_name = None if fine_tuned else card.name
    return Evo2Config(**settings, use_fp8_input_projections=card.needs_fp8, card=card_name)


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
        InputError: the checkpoint cannot be read, or does not fit the configuration.
        StoppedError: the disk is too small, full or lost.
    """
    refuse_existing(target)
    try:
        with put_folder_in_place(target) as partial:
            merged = _in_one_file(source, partial)
            stored, taken_off = _unwrapped(_open(merged, _shown(source)), _shown(source))
            tensors, remarks = _named_tensors(stored, config, source.name)
            (partial / _MERGED).unlink(missing_ok=True)  # what is mapped stays readable
            files = _write(partial, tensors, config, heads_together, max_shard_bytes, source.name)
            check_checkpoint(partial, config)
            num_bytes = sum(file.stat().st_size for file in files)
    except FileExistsError:
        raise SettingsError(
            f"{target} exists by now: something else wrote it meanwhile. Give another folder, or remove it first."
        ) from None
    return Conversion(target, len(tensors), num_bytes, len(files), (*taken_off, *remarks))


def refuse_existing(target: Path) -> None:
    """A target is never written over.

    Raises:
        SettingsError: there is something of its name, be it a link to nothing.
    """
    if target.exists() or target.is_symlink():
        raise SettingsError(f"{target} exists already. Give another folder, or remove it first.")


# Files --------------------------------------------------------------------------------------------------------------

_MERGED = "merged.pt"


def _whole_name(name: str) -> str | None:
    part = _PART.fullmatch(name)
    return part["whole"] if part else name if name.endswith(".pt") else None


def _source(checkpoint: Path) -> Source:
    name = checkpoint.name.removesuffix(".pt")
    if checkpoint.is_file():
        return Source(name, (checkpoint,))
    numbered = {
        int(part["number"]): file
        for file in checkpoint.parent.glob("*.part*")
        if (part := _PART.fullmatch(file.name)) and part["whole"] == checkpoint.name
    }
    if not numbered:
        raise InputError(f"No such file: {checkpoint}.")
    missing = [f"{checkpoint.name}.part{number}" for number in range(max(numbered) + 1) if number not in numbered]
    if missing:
        raise InputError(
            f"{checkpoint.parent.resolve()}: {len(missing)} of {max(numbered) + 1} parts are not there: {missing[0]}."
        )
    return Source(name, tuple(numbered[number] for number in sorted(numbered)))


def _check_room(needed: int, partial: Path, name: str, why: str = "") -> None:
    folder = partial.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoppedError(
            f"{folder} has {free / 1e9:.1f} GB free, and converting {name} takes {needed / 1e9:.1f} GB{why}. Make room and run "
            "the same command again."
        )


def _in_one_file(source: Source, folder: Path) -> Path:
    if len(source.files) == 1:
        return source.files[0]
    _check_room(2 * source.num_bytes, folder, source.name, " (its parts are put together first)")
    with (folder / _MERGED).open("wb") as merged:
        for file in source.files:
            with _readable(file).open("rb") as part:
                shutil.copyfileobj(part, merged, 16 * 2**20)
    return folder / _MERGED


def _readable(file: Path) -> Path:
    try:
        file.open("rb").close()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from None
    return file


def _shown(source: Source) -> str:
    """How messages call the file, which may be parts that were put together."""
    if len(source.files) == 1:
        return source.files[0].name
    return f"{source.name}.pt ({len(source.files)} parts put together)"


def _open(file: Path, shown: str) -> Any:
    """What the file holds, its tensors mapped. Only tensors, plain values and BytesIO are unpickled.

    Files that torch.save wrote before 1.6 cannot be mapped and are read whole.
    """
    with _readable(file).open("rb") as opened:
        first = opened.read(2)
    if first not in (b"PK", b"\x80\x02"):
        raise InputError(
            f"{shown} ({file.stat().st_size:,} bytes) cannot be read as a checkpoint: it does not begin as torch.save "
            "begins a file. Are its name and the order of its parts right, and was it copied or downloaded completely?"
        )
    try:
        with torch.serialization.safe_globals([io.BytesIO]), warnings.catch_warnings():
            # torch 2.15 says that it looks at every index of a sparse tensor, which is refused below
            warnings.filterwarnings("ignore", "Validating sparse tensor", UserWarning)
            return torch.load(file, map_location="cpu", weights_only=True, mmap=first == b"PK")
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{shown} holds more than tensors and is not opened, because a pickle can run code: {first_line(error)}."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, struct.error) as error:
        raise InputError(
            f"{shown} ({file.stat().st_size:,} bytes) cannot be read as a checkpoint: {first_line(error)}. "
            "Was it copied or downloaded completely?"
        ) from None


def _unwrapped(stored: Any, shown: str) -> tuple[Mapping[str, Any], list[str]]:
    """Tensors by name without what a training script put around them, and remarks on that.

    Raises:
        InputError: there are no tensors by name, or in several places.
    """
    remarks = []
    inside = [key for key in _WRAPPERS if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping)]
    if len(inside) > 1:
        raise InputError(f"{shown} holds tensors under {' and '.join(inside)}: save those of the model alone.")
    if inside:
        others = sorted(str(key) for key in stored if key != inside[0])
        beside = f", but not {', '.join(others[:5])}{' ...' if others[5:] else ''}" if others else ""
        remarks.append(f"Taken over: what lies under {inside[0]}{beside}.")
        stored = stored[inside[0]]
    if not isinstance(stored, Mapping) or not all(isinstance(name, str) for name in stored):
        raise InputError(f"{shown} holds a {type(stored).__name__}, not tensors by name.")
    while prefix := next(
        (candidate for candidate in _PREFIXES if stored and all(name.startswith(candidate) for name in stored)), None
    ):
        remarks.append(f"Every name begins with {prefix}, which was left out.")
        stored = {name.removeprefix(prefix): value for name, value in stored.items()}
    return stored, remarks


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
        f"{name} is {_described(tensors[name])}, not {list(shape)} of {_TYPE_NAMES}"
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
        first, second = stored[unembedding], stored.get(embedding)
        same = _is_plain(first) and _is_plain(second) and torch.equal(first, second)
        meaning = (
            "the embedding again" if same else "it differs from the embedding; the reference does not read it either"
        )
        remarks.append(f"Not taken over: {unembedding} ({meaning}).")
    return skipped, remarks


_TYPE_NAMES = "float64, float32, bfloat16 or float16"


def _is_plain(value: Any) -> TypeGuard[Tensor]:
    """Numbers that lie in memory one after the other, of a type that is read again (``checkpoint.FLOAT_TYPES``)."""
    return (
        isinstance(value, Tensor)
        and value.dtype in _TYPES
        and value.layout == torch.strided
        and value.device.type == "cpu"
    )


def _fits(value: Any, shape: Sequence[int]) -> bool:
    return _is_plain(value) and tuple(value.shape) == tuple(shape)


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    kinds = ["without values" * (value.device.type == "meta"), "sparse" * (value.layout != torch.strided)]
    return " ".join(filter(None, [*kinds, f"{value.dtype} {list(value.shape)}".removeprefix("torch.")]))


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
    if Evo2Network.stays_in_float32(name):
        return tensor.float().contiguous()
    if heads_together and ".Wqkv." in name:
        tensor = rearrange(tensor, "(h three e) ... -> (three h e) ...", three=3, h=config.num_attention_heads)
    return tensor.contiguous()


def _refuse_nan(shard: Mapping[str, Tensor], source: str) -> None:
    broken = [name for name, tensor in shard.items() if tensor.numel() and tensor.aminmax().min.isnan()]
    if broken:
        raise InputError(f"{source} is broken. {named_fault('with values that are no numbers (NaN)', broken)}")


def _each_its_own(shard: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share memory, which torch.save keeps and safetensors refuses, with copies in place of the later ones."""
    seen_storages: set[int] = set()
    unshared = {}
    for name, tensor in shard.items():
        storage = tensor.untyped_storage().data_ptr()
        unshared[name] = tensor.clone() if storage in seen_storages else tensor
        seen_storages.add(storage)
    return unshared


def _write(
    folder: Path,
    tensors: dict[str, Tensor],
    config: Evo2Config,
    heads_together: bool,
    max_shard_bytes: int,
    source: str,
) -> list[Path]:
    """config.json, shards and their index; the names of the shards' files.

    Raises:
        InputError: a tensor holds NaN. StoppedError: the disk is too small.
    """
    with torch.device("meta"):
        sizes = {
            name: torch.empty(tensor.shape, dtype=torch.float32 if Evo2Network.stays_in_float32(name) else tensor.dtype)
            for name, tensor in tensors.items()
        }
    _check_room(sum(tensor.nbytes for tensor in sizes.values()), folder, source)
    shards = split_torch_state_dict_into_shards(sizes, max_shard_size=max_shard_bytes)
    for file, names in shards.filename_to_tensors.items():
        shard = {name: _as_written(name, tensors[name], config, heads_together) for name in names}
        _refuse_nan(shard, source)
        save_file(_each_its_own(shard), folder / file, metadata={"format": "pt"})
    if shards.is_sharded:
        total = sum(tensor.nbytes for tensor in sizes.values())
        index = {"metadata": {"total_size": total}, "weight_map": shards.tensor_to_filename}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    dtype = str(tensors[EMBEDDING].dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps({"dtype": dtype, **config.as_published()}, indent=2) + "\n")
    return [folder / file for file in shards.filename_to_tensors]


PUBLISHED_FILES = ("*.pt", "*.pt.part*")


def convert_named(
    checkpoint: str,
    target: Path,
    *,
    model: str | None = None,
    like: str | None = None,
    config_file: str | None = None,
    revision: str | None = None,
) -> Conversion:
    """Convert a file, a folder or a hub id. At most one of ``model``, ``like`` and ``config_file`` says what it is.

    Raises:
        SettingsError: it is not known what the checkpoint is, or the target exists.
        InputError: the checkpoint is missing, broken, or something else than was said.
    """
    options = [name for name, value in (("--model", model), ("--like", like), ("--config", config_file)) if value]
    if len(options) > 1:
        raise SettingsError(f"{' and '.join(options)} say what the checkpoint is: give one of them.")
    refuse_existing(target)  # before gigabytes are fetched
    if Path(checkpoint).exists() or not is_hub_id(checkpoint):
        source, card = find_source(Path(checkpoint)), None
    else:
        card = find_card(checkpoint)
        revision = card.revision if card and revision is None else revision
        source = find_source(fetch_from_hub(checkpoint, revision, PUBLISHED_FILES))
    if config_file:
        config, heads_together = _config_in(Path(config_file))
        return convert_checkpoint(source, config, target, heads_together)
    base_card = _card(model or like, card, source)
    return convert_checkpoint(source, config_of(base_card, fine_tuned=like is not None), target)


def _card(name: str | None, of_hub_id: ModelCard | None, source: Source) -> ModelCard:
    card = card_named(name) if name else of_hub_id or card_named(source.name)
    if card is None or card.architecture is None:
        names = ", ".join(known_card.name for known_card in all_cards() if known_card.architecture)
        problem = (
            f"There is no Evo 2 checkpoint {name}" if name else f"What {source.name} is cannot be told from its name"
        )
        raise SettingsError(
            f"{problem}. Say --model with one of {names}; --like with the one that it was fine-tuned from; or --config with a "
            "configuration."
        )
    return card


def _config_in(file: Path) -> tuple[Evo2Config, bool]:
    """A configuration as the public reference writes it, and whether q, k and v of a head lie together in ``Wqkv``."""
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read as YAML or JSON: {first_line(error)}.") from None
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise InputError(f"{file} does not hold a configuration.")
    settings.pop("model_type", None)  # what is not Evo 2's lacks keys, whatever it calls itself
    try:
        return Evo2Config(**{**settings, "card": None}), settings.get("column_split", True)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def converted_folder(card: ModelCard, fetched: Path) -> tuple[Path, list[str]]:
    """The folder of safetensors made of what lies in ``fetched``, and what there is to say when it is made now.

    One process of a node converts, the others wait. The folder is known by the files and by how they are converted, so another revision is another folder.

    Raises:
        InputError: the checkpoint is broken. StoppedError: the disk is too small.
    """
    source = find_source(fetched)
    files = [(str(file.resolve()), file.stat().st_size) for file in source.files]
    digest = hashlib.sha256(repr([CONVERSION_VERSION, *files]).encode()).hexdigest()[:12]
    folder = cache_folder("models") / f"{card.name}-{digest}"
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder, []
        conversion = convert_checkpoint(source, config_of(card), folder)
    return folder, [f"{card.name} was converted to safetensors once: {folder} ({conversion.num_bytes / 1e9:.1f} GB)."]
