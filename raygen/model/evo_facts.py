"""What is known of an Evo checkpoint by its files and its card, the hash of its weights included. Light: no torch.

In: a folder with config.json of Evo 1 or Evo 2, and its card where it has one. Out: its facts, once it was checked that every tensor
is in the files in its right shape. ``raygen.model.loading`` takes its facts from here; a run that finds nothing left on a machine
without a GPU needs nothing beside them, and is spared the second that torch takes to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raygen.errors import InputError
from raygen.model.cards import (
    DEMO,
    NO_CARD,
    UNVALIDATED,
    ModelCard,
    find_card,
    local_folder,
    needs_fp8,
    refuse_unvalidated,
)
from raygen.model.checkpoint_files import (
    EMBEDDING,
    INDEX_FILE,
    SINGLE_FILE,
    UNEMBEDDING,
    Shapes,
    TensorHeader,
    check_header,
    model_type_of,
    read_settings,
)
from raygen.model.config_rules import FAMILY_RULES, completed
from raygen.model.facts import ModelFacts
from raygen.model.gpu import gpu_is_usable
from raygen.model.sizes import BLOCK_TOKENS, count_parameters, read_keys, tensor_shapes, unread_shapes
from raygen.model.tensor_bytes import hash_with, same_bytes

PAD_ID = 1  # of Evo
FILTER_STORAGE = f"blocks of {BLOCK_TOKENS} tokens"
"""For a manifest: no filter is kept at full length."""
AS_ASKED = "as model.dtype says"
"""Why a dtype that the settings name."""


def describe_without_torch(
    name: str, *, revision: str | None, device: str, dtype: str, allow_unvalidated: bool
) -> ModelFacts | None:
    """What ``raygen.model.loading.describe_network`` says, with its errors; None where that takes torch to know.

    It can be known of a folder of Evo's families and of the demo, on the CPU.
    """
    on_cpu = device == "cpu" or (device == "auto" and not gpu_is_usable())
    if not on_cpu or dtype not in ("auto", "float32", "bfloat16", "float16"):
        return None
    card = find_card(name)
    refuse_unvalidated(card, allow_unvalidated)
    folder = local_folder(name, revision)
    if not folder or model_type_of(folder) not in FAMILY_RULES:
        return None
    facts = evo_facts(name, folder, card, allow_unvalidated)
    return replace(
        facts,
        revision=card.revision if card and name == DEMO else None,
        device="cpu",
        dtype="float32" if dtype == "auto" else dtype,
        dtype_because="cpu runs in float32" if dtype == "auto" else AS_ASKED,
        remarks=(*folder_remarks(folder, card), *facts.remarks),
    )


def evo_facts(name: str | Path, folder: Path, card: ModelCard | None, allow_unvalidated: bool) -> ModelFacts:
    """An Evo checkpoint, checked. Bytes are its tokens.

    The hash is that of all that its numbers depend on. Each tensor counts with canonical name, type, shape and bytes, so how they are
    spread over files makes no difference; those that are never read (rotary frequencies, a tied unembedding) do not count. The
    architecture does, because equal weights under another rotary scaling are another model.

    Raises:
        SettingsError: its published numbers need FP8, and ``allow_unvalidated`` is not set.
        InputError: it does not fit its configuration.
    """
    keys = completed(read_keys(folder))
    unvalidated = card.needs_fp8 if card else needs_fp8(name, keys, allow_unvalidated)
    remarks: list[str] = []
    if card:
        changed, remarks = changes_by_card(keys, card)
        keys = {**keys, **changed}
    elif name != DEMO and Path(name).is_dir():
        remarks = _unlike_its_card(folder, keys)
    if unvalidated:
        remarks.append(
            f"The published numbers of {name} need FP8, which is not done here: scores may be far from them, and every row "
            f"has the flag {UNVALIDATED}."
        )
    rules, shapes = FAMILY_RULES[keys["model_type"]], tensor_shapes(keys)
    headers = check_folder(folder, shapes, unread_shapes(keys))
    facts = ModelFacts(
        name=str(name),
        weights_hash=hash_with(
            {tensor: headers[tensor] for tensor in sorted(shapes.keys() & headers.keys())}, rules.architecture(keys)
        ),
        context_length=keys["max_seqlen"],
        bos_id=rules.bos_id,
        pad_id=PAD_ID,
        vocab_size=keys["vocab_size"],
        hidden_size=keys["hidden_size"],
        num_layers=keys["num_layers"],
        num_parameters=count_parameters(keys),
        filter_storage=FILTER_STORAGE,
        remarks=tuple(remarks),
        unvalidated=unvalidated,
    )
    return by_its_card(facts, card)


def by_its_card(facts: ModelFacts, card: ModelCard | None) -> ModelFacts:
    """The facts with what a model card knows better than the files."""
    if card is None:
        return facts
    return replace(facts, context_length=card.context_length, bos_id=card.bos_id, domains=card.domains)


def folder_remarks(folder: Path, card: ModelCard | None) -> list[str]:
    """What to say of a folder of any family."""
    remarks = [] if card else [NO_CARD]
    if (folder / SINGLE_FILE).is_file() and (folder / INDEX_FILE).is_file():
        remarks.append(f"{folder} holds {SINGLE_FILE}, which is read, and {INDEX_FILE} with its shards, which are not.")
    return remarks


def check_folder(folder: Path, expected: Shapes, unread: Shapes) -> dict[str, TensorHeader]:
    """The tensors of a checkpoint, held to what is expected; see ``check_header``.

    Raises:
        InputError: it does not fit; or the unembedding is tied by config.json and differs from the embedding.
    """
    headers = check_header(folder, expected, unread)
    tied = UNEMBEDDING in headers and UNEMBEDDING not in expected
    if tied and not same_bytes(headers[EMBEDDING], headers[UNEMBEDDING]):
        raise InputError(
            f"{folder}: config.json says tie_embeddings, but unembed.weight differs from embedding_layer.weight. "
            "Set tie_embeddings to false if the model was trained with both."
        )
    return headers


def changes_by_card(keys: Mapping[str, Any], card: ModelCard) -> tuple[dict[str, Any], list[str]]:
    """The keys of a configuration that the card knows better, and what changes in words."""
    remarks: list[str] = []
    changed: dict[str, Any] = {}
    if keys["max_seqlen"] != card.context_length:
        remarks.append(f"max_seqlen is {keys['max_seqlen']:,}, the card's {card.context_length:,} holds")
        changed["max_seqlen"] = card.context_length
    scaling = keys["rotary_emb_scaling_factor"]
    if scaling != card.rotary_scaling:
        remarks.append(f"positions are divided by {scaling:g}, the card's {card.rotary_scaling:g} holds")
        changed |= {"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": card.rotary_scaling}
    return changed, [f"config.json of {card.name}: {remark}." for remark in remarks]


def _unlike_its_card(folder: Path, keys: Mapping[str, Any]) -> list[str]:
    """What to say where a folder says that it came from a published checkpoint whose card knows its config.json to be wrong."""
    settings = read_settings(folder)
    code = settings.get("auto_map")
    origins = [settings.get("_name_or_path"), *(code.values() if isinstance(code, dict) else ())]
    cards = (
        find_card(str(origin).partition("--")[0]) for origin in origins if origin and not Path(str(origin)).is_dir()
    )
    card = next((card for card in cards if card and card.hub_id), None)
    if not card or not changes_by_card(keys, card)[1]:
        return []
    return [
        f"{folder} comes from {card.hub_id} by its config.json, which holds for a folder, but is not what the model was trained "
        f"with: max_seqlen should be {card.context_length:,} and rotary_emb_scaling_factor {card.rotary_scaling:g}."
    ]
