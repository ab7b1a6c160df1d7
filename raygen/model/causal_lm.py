"""Any other causal language model of transformers whose tokens are single bases, behind the protocol of ``network``.

In: a folder with config.json, safetensors and a tokenizer. Out: a network that ``pair`` can score with, and ``fork`` too where the
library's cache carries on exactly: keys and values, and the states of convolutions and recurrences of some families
(``library_cache``).

What a model must be is tried when it is loaded (``trial``): beyond the length from which its config.json says that it attends
otherwise (a window, a chunk, the best keys), up to 4,096 tokens; where it names more, so many are its context. What half precision
cannot hold is judged in no way. Outputs are the logits themselves, made in the model's own way and type (some scale or cap them
after the last matrix), since a vocabulary of bases is smaller than a hidden state. Code from a hub is never run.

Tokens come from the tokenizer: A, C, G, T and N, each one token, whatever stands beside it. A model without one names its tokens in
its config.json: ``"raygen_tokens": {"A": 5, "C": 6, "G": 7, "T": 8, "N": 9}``, with ``"bos"`` where a token is read before the
first base, or ``"raygen_tokens": "bytes"`` where tokens are the upper-case letters' ASCII codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from raygen.errors import InputError, first_line
from raygen.model.checkpoint_files import SINGLE_FILE, read_settings, read_stored_header
from raygen.model.facts import ModelFacts
from raygen.model.layer_names import NORM, block_name
from raygen.model.library_cache import cache_argument, cache_of, new_cache, state_of
from raygen.model.network import Checkpoint, DeviceMap, check_rows, refuse_misfit
from raygen.model.sizes import StateSize
from raygen.model.state import Marks, PrefixState
from raygen.model.taps import Taps
from raygen.model.tensor_bytes import hash_with
from raygen.model.trial import FAULTS, SHORTEST, Trial, make_trial, try_network

LETTERS = "ACGTN"
READ_ON_WRONGLY = {
    **dict.fromkeys(
        ("mamba", "falcon_mamba", "jamba"), "transformers reads on from its states by one token at a time only"
    ),
    "minimax": "it keeps a cache of its own, from which transformers reads on by one token at a time only",
    "bamba": "transformers counts its positions from 0 again when it reads on",
}
"""By type of model, why the state is not that of the whole sequence when more than one token is read on (transformers 5.23 and 5.24)."""
CARRY_ON = frozenset(
    [
        "mamba2",
        "zamba2",
        "falcon_h1",
        "nemotron_h",
        "granitemoehybrid",
        "lfm2",
        "lfm2_moe",
        "qwen3_next",
        "olmo_hybrid",
        "kimi_linear",
        "qwen3_5_text",
        "inkling_text",
    ]
)
"""Types of models with states of convolutions or recurrences that are known to carry on exactly. Of others this can be tried in
float32 alone: what half precision rounds away is as much as some continue wrongly by."""

_LONGEST_TRIED = 4096
_NAMES_A_LENGTH = re.compile(
    r"window|chunk|topk$|top_k$|block_(size|len)|stride|segment|span|local_(size|len)|extent|floor"
)
_NAMES_NO_LENGTH = re.compile(r"layer|pattern|expert|group|use_|num_|vision|audio|image|rope|lstm")
_ROUTERS = (
    "The model is a mixture of experts: in half precision rounding sends some tokens to other experts, and a score may be off by as "
    "much as scores spread (0.45 nats where deltas spread by 0.30, tried on random weights in float16). Measure it with raygen "
    "precision-noise, or set model.dtype: float32."
)
_MOST_CONTEXT = 10**8  # tokenizers without a limit say 10^30
_NOT_HASHED = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache")


class CausalLM(nn.Module):
    """A model of transformers as a ``CausalNetwork``. Outputs are logits; the state is a copy of the library's cache."""

    filter_storage = "none"

    def __init__(self, model: Any, trial: Trial) -> None:
        """The errors are those of ``try_network``."""
        super().__init__()
        self.model = model
        self.config = model.config.get_text_config()
        self.fork_refusal = fork_refusal(type(model), model.config)
        self._cache_argument = cache_argument(type(model))
        self._layers = layers_of(model)
        self._fixed_bytes, self._bytes_per_token = 0, 0
        tried = try_network(self, trial)
        self.fork_refusal = tried.fork_refusal
        self._fixed_bytes, self._bytes_per_token = tried.fixed_bytes, tried.bytes_per_token
        dtype = self.get_input_embeddings().weight.dtype
        if tried.has_own_states and dtype != torch.float32 and self.config.model_type not in CARRY_ON:
            self.fork_refusal = "whether its states carry on exactly can be told in float32 only (model.dtype)"

    def hidden_states(
        self,
        tokens_BT: Tensor,
        state: PrefixState | None = None,
        return_state: bool = False,
        marks: Marks | None = None,
        taps: Taps | None = None,
    ) -> tuple[Tensor, PrefixState | None]:
        """Logits (B, T, V), float32, and the state after all tokens so far if asked for. Taps that stop read all layers, too.

        Raises:
            ValueError: marks before the last token, where the library's cache keeps nothing.
            InputError: there are taps, and transformers does not give a state of each layer.
        """
        check_rows(tokens_BT, state)
        if state is None and not return_state and marks is None:
            return self._pass(tokens_BT, taps, use_cache=False).logits.float(), None
        cache = new_cache(self.model.config) if state is None else cache_of(state)
        out = self._pass(tokens_BT, taps, use_cache=True, **{str(self._cache_argument): cache})
        if not return_state and marks is None:
            return out.logits.float(), None
        num_rows, num_tokens = tokens_BT.shape
        if marks is not None and (marks.after != num_tokens).any():
            raise ValueError(f"states are kept after {num_tokens} tokens only, not after {marks.after.min()}")
        cache = getattr(out, str(self._cache_argument), cache)
        after = state_of(cache, num_rows, (state.num_tokens if state else 0) + num_tokens)
        return out.logits.float(), after if marks is None else after.select(marks.rows)

    def _pass(self, tokens_BT: Tensor, taps: Taps | None, **how: Any) -> Any:
        if taps is None:
            return self.model(input_ids=tokens_BT, **how)
        out = self.model(input_ids=tokens_BT, output_hidden_states=True, **how)
        states = out.hidden_states or ()
        if len(states) != len(self._layers) + 1:  # the first are the embeddings
            raise InputError(
                f"transformers gives {len(states)} hidden states of this model and not {len(self._layers) + 1}, so none of its layers "
                "can be kept (embed.layers)."
            )
        for name, x_BTD in zip(self._layers, states[1:], strict=True):
            taps.offer(name, x_BTD)
        return out

    def layer_names(self) -> tuple[str, ...]:
        """The layers that can be tapped."""
        return self._layers

    def unembed(self, hidden: Tensor) -> Tensor:
        """The hidden states as they are: of these models they are logits (..., V) already."""
        return hidden

    def state_size(self) -> StateSize:
        """Bytes of one row's state."""
        return StateSize(self._fixed_bytes, self._bytes_per_token, in_place=False)

    def get_input_embeddings(self) -> Any:
        return self.model.get_input_embeddings()


def fork_refusal(network: type, config: Any) -> str | None:
    """Why a class of models has no state to carry on, as far as it is known without its weights; None where it may have."""
    if cache_argument(network) is None:
        return "it takes no keys and values from before"
    return READ_ON_WRONGLY.get(config.get_text_config().model_type)


def layers_of(model: Any) -> tuple[str, ...]:
    """The hidden states that transformers gives of a model, behind its embeddings. The last one is taken behind the final norm where
    there is one; the stream behind the last block is then not to be had.
    """
    count = model.config.get_text_config().num_hidden_layers
    names = [block_name(layer) for layer in range(count)]
    return (*names[:-1], NORM) if _ends_in_norm(model, count) else tuple(names)


def _ends_in_norm(model: Any, num_blocks: int) -> bool:
    """Whether a norm stands beside the list of blocks, behind it."""
    for part in model.modules():
        kinds = [type(child).__name__ for child in part.children()]
        places = [
            place
            for place, child in enumerate(part.children())
            if type(child) is nn.ModuleList and len(child) == num_blocks
        ]
        if places:
            return any("norm" in kind.lower() for kind in kinds[places[0] + 1 :])
    return False


# Checkpoints --------------------------------------------------------------------------------------------------------


def other_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint of any causal model that transformers knows, checked.

    Raises:
        InputError: transformers does not know it, its tokens are not single bases, its positions depend on the length of what
            is read, or files are missing.
    """
    config = _config(folder)
    text = _text_config(config, folder)
    tokens = _tokens(folder, config, text.vocab_size)
    skeleton = _skeleton(config, folder)
    context_length = _context_length(config, tokens, skeleton, folder)
    attends_otherwise_after, remarks = 0, []
    for key, length in _lengths_named(text.to_dict()):
        if length <= _LONGEST_TRIED:
            attends_otherwise_after = max(attends_otherwise_after, length)
        elif length < context_length:
            context_length = length
            remarks.append(
                f"{folder} reads {length:,} tokens: beyond {key} ({length:,} in its config.json) it attends otherwise, and how "
                f"is tried up to {_LONGEST_TRIED:,} tokens only."
            )
    headers = read_stored_header(folder)
    settings = {key: value for key, value in config.to_dict().items() if key not in _NOT_HASHED}
    written = {"config": settings, "tokens": tokens.ids, "bos": tokens.bos_id}
    facts = ModelFacts(
        name=str(folder),
        weights_hash=hash_with({name: headers[name] for name in sorted(headers)}, written),
        context_length=context_length,
        bos_id=tokens.bos_id,
        pad_id=tokens.pad_id,
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        num_layers=text.num_hidden_layers,
        num_parameters=sum(parameter.numel() for parameter in skeleton.parameters()),
        filter_storage=CausalLM.filter_storage,
        remarks=tuple(remarks),
        fork_refusal=fork_refusal(type(skeleton), config),
    )
    trial = make_trial(tokens.table(), tokens.pad_id, context_length, attends_otherwise_after)
    return Checkpoint(
        folder,
        facts,
        load=lambda dtype, placement: _load(folder, dtype, placement, trial),
        token_ids=tokens.table(),
        half_precision_remark=_ROUTERS if _has_experts(text) else None,
        layers=layers_of(skeleton),
    )


def _config(folder: Path) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (*FAULTS, OSError, ImportError, StrictDataclassError) as error:
        own_code = "auto_map" in read_settings(folder)
        reason = "it needs code of its own from the hub, which is never run here" if own_code else first_line(error)
        raise InputError(f"{folder} is no model that transformers can load: {reason}.") from None
    for key in ("transformers_weights", "quantization_config"):
        if getattr(config, key, None) is not None:
            raise InputError(
                f"{folder}: config.json says {key}. Only whole weights in {SINGLE_FILE} or its shards are read."
            )
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise InputError(f"{folder}: transformers has no causal language model of the type {config.model_type!r}.")
    return config


def _text_config(config: Any, folder: Path) -> Any:
    """The configuration of the part that reads text: the whole one for most models."""
    try:
        text = config.get_text_config()
    except ValueError as error:  # several
        raise InputError(f"{folder}: the model cannot be scored: {first_line(error)}") from None
    missing = [key for key in ("vocab_size", "hidden_size", "num_hidden_layers") if not hasattr(text, key)]
    if missing:
        raise InputError(f"{folder}: config.json does not say {', '.join(missing)}, so the model cannot be scored.")
    return text


def _skeleton(config: Any, folder: Path) -> Any:
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (*FAULTS, ImportError, StrictDataclassError) as error:
        raise InputError(f"{folder}: transformers cannot build the model: {first_line(error)}") from None


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    verbosity, progress = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if progress:
            transformers_logging.enable_progress_bar()


@_quiet_transformers()
def _load(folder: Path, dtype: torch.dtype, placement: DeviceMap, trial: Trial) -> CausalLM:
    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        device_map=placement,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    refuse_misfit(folder, report)
    return CausalLM(model.eval().requires_grad_(False), trial).eval()


def _lengths_named(settings: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The lengths in tokens from which a configuration says that attention is another: a window, a chunk, the best keys."""
    for key, value in settings.items():
        if _NAMES_NO_LENGTH.search(str(key)):
            continue
        if isinstance(value, Mapping):
            yield from _lengths_named(value)
        elif _NAMES_A_LENGTH.search(str(key)):
            numbers = value if isinstance(value, list | tuple) else [value]
            yield from ((key, number) for number in numbers if type(number) is int and number > 0)


def _has_experts(config: Any) -> bool:
    """Whether each token is routed to some of several experts."""
    counts = (value for key, value in config.to_dict().items() if key.endswith("experts") and "shared" not in key)
    return any(type(count) is int and count > 1 for count in counts)


def _context_length(config: Any, tokens: Tokens, skeleton: Any, folder: Path) -> int:
    """Tokens that can be read: fewer than config.json says where the first positions are never used, as in RoBERTa."""
    text = config.get_text_config()
    if isinstance(getattr(type(text), "max_position_embeddings", None), property):
        raise InputError(
            f"{folder} cannot be scored: transformers gives models of the type {text.model_type!r} no number of tokens that they read, "
            "and takes none from config.json."
        )
    limits = (getattr(part, "max_position_embeddings", None) for part in (text, config))
    length = next(filter(None, limits), tokens.longest)
    if not isinstance(length, int) or not 0 < length < _MOST_CONTEXT:
        raise InputError(
            f"{folder} does not say how many tokens the model reads: put max_position_embeddings into its config.json."
        )
    tables = [table for name, table in skeleton.named_modules() if "position" in name and type(table) is nn.Embedding]
    usable = [table.num_embeddings - table.padding_idx - 1 for table in tables if table.padding_idx is not None]
    length = min([length, *usable])
    if length < SHORTEST:
        raise InputError(f"{folder} reads {length} tokens at once, too few to be tried: {SHORTEST} are needed.")
    _refuse_positions_that_depend_on_length(config.get_text_config(), length, folder)
    return length


def _refuse_positions_that_depend_on_length(config: Any, context_length: int, folder: Path) -> None:
    """LongRoPE takes other frequencies for all positions of a call when one of them is past the original length."""
    rotary = getattr(config, "rope_parameters", None) or {}
    for parameters in (rotary, *rotary.values()):
        if not isinstance(parameters, Mapping) or parameters.get("rope_type", parameters.get("type")) != "longrope":
            continue
        original = parameters.get("original_max_position_embeddings") or getattr(
            config, "original_max_position_embeddings", None
        )
        if original and original < context_length:
            raise InputError(
                f"{folder} cannot be scored: its rotary positions (longrope) are others for all tokens of a batch once one is past "
                f"{original:,}, so a score would depend on what else is in its batch."
            )


# Tokens -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """How a model reads bases. ``ids``: the tokens of A, C, G, T and N. ``longest``: what the tokenizer says that the
    model reads; None where it does not.
    """

    ids: dict[str, int]
    bos_id: int | None
    pad_id: int
    longest: int | None

    def table(self) -> np.ndarray:
        """(256,) int64: the token of each byte; what is no base is N."""
        table = np.full(256, self.ids["N"], np.int64)
        for letter, token in self.ids.items():
            table[ord(letter)] = token
        return table


def _tokens(folder: Path, config: Any, vocab_size: int) -> Tokens:
    token_of_letter = getattr(config, "raygen_tokens", None)
    if token_of_letter == "bytes":
        token_of_letter = {letter: ord(letter) for letter in LETTERS}
    if token_of_letter is not None:
        return _named_tokens(token_of_letter, folder, vocab_size)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise InputError(
            f"{folder} has no tokenizer that transformers can load ({first_line(error)}), and its config.json names no "
            "raygen_tokens, such as {'A': 5, 'C': 6, 'G': 7, 'T': 8, 'N': 9}."
        ) from None
    return _tokens_of(tokenizer, folder, vocab_size)


def _named_tokens(token_of_letter: Any, folder: Path, vocab_size: int) -> Tokens:
    if not isinstance(token_of_letter, Mapping) or not set(LETTERS) <= set(token_of_letter) <= {*LETTERS, "bos"}:
        raise InputError(f"{folder / 'config.json'}: raygen_tokens names A, C, G, T, N and perhaps bos, or is 'bytes'.")
    wrong = [f"{letter} {token!r}" for letter, token in token_of_letter.items() if not _is_token(token, vocab_size)]
    if wrong or len({token_of_letter[letter] for letter in "ACGT"}) < 4:
        raise InputError(
            f"{folder / 'config.json'}: raygen_tokens must be different numbers below vocab_size ({vocab_size:,})"
            f"{f', not {wrong[0]}' if wrong else ''}."
        )
    ids = {letter: token_of_letter[letter] for letter in LETTERS}
    return Tokens(ids, token_of_letter.get("bos"), ids["N"], None)


def _is_token(token: Any, vocab_size: int) -> bool:
    return type(token) is int and 0 <= token < vocab_size


def _tokens_of(tokenizer: Any, folder: Path, vocab_size: int) -> Tokens:
    """The tokens of a tokenizer by which each base is one token, whatever stands beside it, in upper or in lower case.

    Raises:
        InputError: bases are not single tokens, or the model does not have these.
    """
    upper, lower = (_single_tokens(tokenizer, case) for case in (str.upper, str.lower))
    ids, case = (lower, str.lower) if isinstance(upper, str) else (upper, str.upper)
    if isinstance(ids, str):
        raise InputError(
            f"The tokens of {folder} are not single bases: {upper}. Models that read several bases at once (k-mers, BPE) cannot be "
            "scored base by base."
        )
    with_special = _ids(tokenizer, case("A"), add_special_tokens=True)
    before = with_special[: with_special.index(ids["A"])]
    if len(before) > 1:
        raise InputError(f"The tokenizer of {folder} puts {len(before)} tokens before a sequence; one can be used.")
    used = {**ids, **({"the start": before[0]} if before else {})}
    wrong = [f"{label} the token {token}" for label, token in used.items() if not _is_token(token, vocab_size)]
    if wrong:
        raise InputError(f"The tokenizer of {folder} gives {wrong[0]}, but the model's vocab_size is {vocab_size:,}.")
    pad = tokenizer.pad_token_id
    pad_id = pad if _is_token(pad, vocab_size) else ids["N"]  # never counted, but looked up
    return Tokens(ids, before[0] if before else None, pad_id, _longest(tokenizer))


def _single_tokens(tokenizer: Any, case: Callable[[str], str]) -> dict[str, int] | str:
    """The token of each letter in a case; where there is none, why, in words."""
    plain: dict[str, list[int]] = {}
    for letter in LETTERS:
        try:
            plain[letter] = _ids(tokenizer, case(letter))
        except Exception as error:  # noqa: BLE001  tokenizers raises no narrower type where it has no unknown token
            return (
                f"the tokenizer cannot read {case(letter)} ({first_line(error)}), so name raygen_tokens in config.json"
            )
    readable = "ACGT" if plain["N"] == [tokenizer.unk_token_id] else LETTERS  # unknown ones may be joined
    text = every_triple(readable) + "".join(letter * 20 for letter in readable)
    together = _ids(tokenizer, case(text))
    if len(together) != len(text) or any(len(tokens) != 1 for tokens in plain.values()):
        return f"{len(text)} bases are {len(together)} tokens"
    if len({plain[letter][0] for letter in "ACGT"}) < 4:
        return "two of them are the same token"
    if together != [plain[letter][0] for letter in text]:
        return "the token of a base changes with what stands beside it"
    return {letter: tokens[0] for letter, tokens in plain.items()}


def _ids(tokenizer: Any, text: str, add_special_tokens: bool = False) -> list[int]:
    return [int(token) for token in tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)["input_ids"]]


def every_triple(letters: str) -> str:
    """Each three letters side by side once: a de Bruijn sequence, by taking the last letter that makes a new three."""
    text, triples = letters[0] * 2, set()
    while new := next((text[-2:] + last for last in reversed(letters) if text[-2:] + last not in triples), None):
        triples.add(new)
        text += new[-1]
    return text


def _longest(tokenizer: Any) -> int | None:
    longest = getattr(tokenizer, "model_max_length", None)
    return int(longest) if longest and longest < _MOST_CONTEXT else None
