"""A checkpoint folder, read without its weights: is everything there, does it fit the configuration, what is its hash.

In: a folder with ``config.json`` and ``model.safetensors``, or shards with ``model.safetensors.index.json``.
Out: the configuration, the headers of all tensors under their canonical names, a hash of what the numbers depend on.

Canonical names are those of the published checkpoints, with the prefix ``backbone.``; a folder in which no tensor has
the prefix is accepted too. Only safetensors are read: a pickle can run code when it is opened.

The model families that are written out here, by the ``model_type`` of their config.json; others go through transformers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from raygen.cache import cache_folder
from raygen.errors import InputError, SettingsError
from raygen.model.evo1 import Evo1Config, Evo1ForCausalLM
from raygen.model.evo2 import Evo2Config, Evo2ForCausalLM
from raygen.model.striped_hyena import StripedHyenaConfig, StripedHyenaForCausalLM
from raygen.tables.place import keep_json

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
FLOAT_TYPES = ("F64", "F32", "BF16", "F16")
MAX_NAMES_IN_ERROR = 5


@dataclass(frozen=True)
class TensorHeader:
    """Where a tensor lies: its file, its name there, its type as safetensors writes it (``BF16``) and its shape."""

    file: Path
    stored_name: str
    dtype: str
    shape: tuple[int, ...]


def model_type_of(folder: Path) -> str:
    """``model_type`` of a folder's config.json.

    Raises:
        InputError: there is no config.json, or it is not JSON.
    """
    return str(read_settings(folder).get("model_type"))


def read_settings(folder: Path) -> dict[str, Any]:
    """A folder's config.json as it is."""
    return _read_json(folder / "config.json", "a model folder has one beside its weights")


def read_config(folder: Path) -> StripedHyenaConfig:
    """The configuration of a checkpoint of a family that is written out here.

    Raises:
        InputError: there is no config.json, it is not JSON, it is of another family, or keys are missing or unusable.
    """
    settings = read_settings(folder)
    family = FAMILIES.get(str(settings.get("model_type")))
    if family is None:
        known = " and ".join(f"an {family.config.family} checkpoint says '{kind}'" for kind, family in FAMILIES.items())
        raise InputError(f"{folder / 'config.json'}: model_type is {settings.get('model_type')!r}; {known}.")
    try:
        return family.config(**settings)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def read_checkpoint_header(folder: Path) -> dict[str, TensorHeader]:
    """All tensors of a checkpoint by canonical name; reads the headers of its files only.

    Raises:
        InputError: no weights, a shard is missing or cannot be read, or the index and the shards disagree.
    """
    headers = read_stored_header(folder)
    if not any(name.startswith(PREFIX) for name in headers):
        return {PREFIX + name: header for name, header in headers.items()}
    return headers


def read_stored_header(folder: Path) -> dict[str, TensorHeader]:
    """All tensors of a checkpoint under the names they have in its files, see ``read_checkpoint_header``."""
    headers: dict[str, TensorHeader] = {}
    for file in _weight_files(folder):
        for header in _file_headers(file):
            earlier = headers.get(header.stored_name)
            if earlier:
                raise InputError(f"{folder}: {header.stored_name} is both in {earlier.file.name} and in {file.name}.")
            headers[header.stored_name] = header
    if not (folder / SINGLE_FILE).is_file():
        _check_index(folder, headers)
    return headers


def check_checkpoint(folder: Path, config: StripedHyenaConfig) -> None:
    """Nothing missing, nothing left over, every shape right.

    What is never read may be there or not (``raygen.model.checkpoint.extra_shapes``); a tied ``unembed.weight`` only if it is
    the embedding.

    Raises:
        InputError: names every tensor that is missing, unexpected, of the wrong shape or of no floating-point type.
    """
    headers = read_checkpoint_header(folder)
    expected = expected_shapes(config)
    allowed = expected | extra_shapes(config)
    wrong = [
        f"{name} is {header.dtype} {list(header.shape)}, not {list(allowed[name])}"
        for name, header in headers.items()
        if name in allowed and (header.shape != allowed[name] or header.dtype not in FLOAT_TYPES)
    ]
    faults = [
        named_fault("missing", expected.keys() - headers.keys()),
        named_fault("unexpected", headers.keys() - allowed.keys()),
        named_fault("of the wrong shape or type", wrong, separator="; "),
    ]
    if any(faults):
        raise InputError(f"{folder} does not fit its config.json. {' '.join(fault for fault in faults if fault)}")
    if UNEMBEDDING in headers and UNEMBEDDING not in expected:
        _check_tied(folder, headers)


def expected_shapes(config: StripedHyenaConfig) -> dict[str, tuple[int, ...]]:
    """Canonical name and shape of every tensor that a checkpoint must hold."""
    with torch.device("meta"):
        model = family_of(config).network(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def count_parameters(config: StripedHyenaConfig) -> int:
    """Parameters of a model; rotary frequencies are none."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in family_of(config).network(config).parameters())


def weights_hash(folder: Path, config: StripedHyenaConfig) -> str:
    """SHA-256, in hexadecimal, of what a model's numbers depend on: its weights and its architecture.

    Each tensor counts with canonical name, type, shape and bytes, in the order of the names, so how they are spread over
    files makes no difference. Tensors that are never read (rotary frequencies, a tied unembedding) do not count. The
    architecture counts because equal weights under another rotary scaling are another model. One tensor is in memory at
    a time; the hash is cached under path, size and time of the files.
    """
    headers = read_checkpoint_header(folder)
    used = {name: headers[name] for name in sorted(expected_shapes(config).keys() & headers.keys())}
    return hash_with(used, config.architecture())


def hash_with(used: dict[str, TensorHeader], architecture: dict[str, Any]) -> str:
    """SHA-256 of tensors in the order of their names and of what the numbers depend on beside them."""
    cached = _cache_file(used)
    weights = _read_cached(cached)
    if weights is None:
        weights = _hash_tensors(used)
        if cached:
            keep_json(cached, {"sha256": weights})
    return hashlib.sha256(json.dumps([weights, architecture], sort_keys=True).encode()).hexdigest()


def checkpoint_bytes(folder: Path) -> int:
    """Size of the weight files on disk."""
    return sum(file.stat().st_size for file in _weight_files(folder))


# Files --------------------------------------------------------------------------------------------------------------


def _weight_files(folder: Path) -> list[Path]:
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    if not (folder / INDEX_FILE).is_file():
        raise InputError(_no_weights(folder))
    files = sorted({folder / name for name in _weight_map(folder).values()})
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of {len(files)} files that {INDEX_FILE} names are not there: "
            f"{_shortened(missing)}. Copy or download the checkpoint again."
        )
    return files


def _no_weights(folder: Path) -> str:
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickles:
        return (
            f"{folder} holds weights as pickles only ({_shortened(pickles)}), which can run code when they are opened. "
            "Convert them to safetensors."
        )
    return f"{folder} holds neither {SINGLE_FILE} nor {INDEX_FILE}."


def _weight_map(folder: Path) -> dict[str, str]:
    index = _read_json(folder / INDEX_FILE, "it names the shards of a checkpoint")
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise InputError(f"{folder / INDEX_FILE} has no weight_map from tensor names to files.")
    if not isinstance(index.get("metadata"), dict):
        raise InputError(
            f'{folder / INDEX_FILE} has no metadata, without which it is not loaded: add "metadata": {{}}.'
        )
    return weight_map


def _check_index(folder: Path, headers: dict[str, TensorHeader]) -> None:
    weight_map = _weight_map(folder)
    misplaced = [
        name for name, file in weight_map.items() if name not in headers or headers[name].file.name != Path(file).name
    ]
    faults = [
        named_fault("not in the file that the index names", misplaced),
        named_fault("not in the index", headers.keys() - weight_map.keys()),
    ]
    if any(faults):
        raise InputError(
            f"{folder / INDEX_FILE} disagrees with its shards. {' '.join(fault for fault in faults if fault)}"
        )


def _file_headers(file: Path) -> list[TensorHeader]:
    try:
        file.open("rb").close()  # else safetensors calls a file without permission one that is not there
        with safe_open(file, framework="pt") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 - not a mapping
            return [
                TensorHeader(file, name, part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()
            ]
    except PermissionError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}).") from None
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file} ({file.stat().st_size:,} bytes) cannot be read as safetensors: {error}. "
            "Was it copied or downloaded completely?"
        ) from None


def _read_json(file: Path, purpose: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); {purpose}.") from None
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} is not a JSON object.")
    return content


# Checks -------------------------------------------------------------------------------------------------------------


def _check_tied(folder: Path, headers: dict[str, TensorHeader]) -> None:
    if not torch.equal(_bytes_of(headers[EMBEDDING]), _bytes_of(headers[UNEMBEDDING])):
        raise InputError(
            f"{folder}: config.json says tie_embeddings, but unembed.weight differs from embedding_layer.weight. "
            "Set tie_embeddings to false if the model was trained with both."
        )


def _load(header: TensorHeader) -> torch.Tensor:
    with safe_open(header.file, framework="pt") as tensors:
        return tensors.get_tensor(header.stored_name)


def _bytes_of(header: TensorHeader) -> torch.Tensor:
    return _load(header).contiguous().flatten().view(torch.uint8)


def named_fault(fault: str, names: Iterable[str], separator: str = ", ") -> str:
    """How many names have a fault and which; empty where none has."""
    listed = sorted(names)
    return f"{len(listed)} {fault}: {_shortened(listed, separator)}." if listed else ""


def _shortened(names: list[str], separator: str = ", ") -> str:
    rest = len(names) - MAX_NAMES_IN_ERROR
    return separator.join(names[:MAX_NAMES_IN_ERROR]) + (f" and {rest} more" if rest > 0 else "")


# Hash ---------------------------------------------------------------------------------------------------------------


def _hash_tensors(headers: dict[str, TensorHeader]) -> str:
    digest = hashlib.sha256()
    for name, header in headers.items():
        tensor = _load(header)
        if header.dtype in FLOAT_TYPES and tensor.numel() and tensor.aminmax().min.isnan():
            raise InputError(f"{header.file}: {name} holds values that are no numbers (NaN). The checkpoint is broken.")
        digest.update(f"{name} {header.dtype} {list(header.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _cache_file(headers: dict[str, TensorHeader]) -> Path | None:
    """Where the hash of these tensors in these files, as they are now, is kept; None where nothing can be."""
    files = sorted({header.file.resolve() for header in headers.values()})
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(json.dumps([stats, list(headers)]).encode()).hexdigest()
    try:
        return cache_folder("weights-hashes") / f"{key[:32]}.json"
    except SettingsError:
        return None


def _read_cached(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        value = json.loads(file.read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None


Shapes = dict[str, tuple[int, ...]]

PREFIX = "backbone."
EMBEDDING = f"{PREFIX}embedding_layer.weight"
UNEMBEDDING = f"{PREFIX}unembed.weight"


@dataclass(frozen=True)
class Family:
    """What differs between families outside their networks.

    Attributes:
        bos_id: token that is read before the first base where no card says so; None for none.
        extra_shapes: of a configuration, the tensors that a checkpoint may hold beyond those that are read.
    """

    config: type[StripedHyenaConfig]
    network: type[StripedHyenaForCausalLM]
    bos_id: int | None
    extra_shapes: Callable[[Any], Shapes]


def _computed_frequencies(config: Evo1Config) -> Shapes:
    name = f"{PREFIX}blocks.{{}}.inner_mha_cls.rotary_emb.inv_freq"
    return {name.format(layer): (config.head_size // 2,) for layer in config.attn_layer_idxs}


FAMILIES = {
    # Evo 1 reads token 0 before the first base; the reference's tokenizer calls it end of document.
    Evo1Config.model_type: Family(Evo1Config, Evo1ForCausalLM, 0, _computed_frequencies),
    Evo2Config.model_type: Family(Evo2Config, Evo2ForCausalLM, None, lambda config: {}),
}


def family_of(config: StripedHyenaConfig) -> Family:
    """The family of a configuration."""
    return FAMILIES[config.model_type]


def extra_shapes(config: StripedHyenaConfig) -> Shapes:
    """Tensors that a checkpoint may hold and that are never read: computed ones, and a tied unembedding."""
    shapes = family_of(config).extra_shapes(config)
    if config.tie_embeddings:
        shapes[UNEMBEDDING] = (config.vocab_size, config.hidden_size)
    return shapes
