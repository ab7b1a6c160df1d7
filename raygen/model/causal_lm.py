"""Any other causal language model of transformers whose tokens are single bases, behind the protocol of ``network``.

In: a folder with config.json, safetensors and a tokenizer. Out: a network that ``pair`` can score with, and ``fork`` too where the
library keeps keys and values (its ``Cache``), which are then the state.

What a model must be is tried when it is loaded, on up to 600 bases: its outputs are logits; none changes when a later token
changes, when the sequence is read again, shorter or beside another, or is padded; and, for ``fork``, a sequence in pieces gives
the numbers of the sequence at once. What half precision cannot hold is judged in no way. Outputs are the logits themselves,
made in the model's own way and type (some scale or cap them after the last matrix), since a vocabulary of bases is smaller than a
hidden state. Code from a hub is never run.

Tokens come from the tokenizer: A, C, G, T and N, each one token, whatever stands beside it. A model without one names its tokens in
its config.json: ``"raygen_tokens": {"A": 5, "C": 6, "G": 7, "T": 8, "N": 9}``, with ``"bos"`` where a token is read before the
first base, or ``"raygen_tokens": "bytes"`` where tokens are the upper-case letters' ASCII codes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.cache_utils import DynamicLayer

from raygen.errors import InputError, first_line
from raygen.model.arithmetic import exact_arithmetic
from raygen.model.checkpoint_files import SINGLE_FILE, read_settings, read_stored_header
from raygen.model.facts import ModelFacts
from raygen.model.network import Checkpoint, DeviceMap, check_rows, refuse_misfit
from raygen.model.precision import DoesNotFit
from raygen.model.state import AttentionState, PrefixState
from raygen.model.tensor_bytes import hash_with

LETTERS = "ACGTN"
TOLERANCES = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.4}
"""By dtype, how far the logits of a sequence read in pieces may be from those of the sequence read at once."""

_TRIAL = "GATTACANNCGGTTAACGTAGCCA"  # and every triple after it, again and again
_LONGEST_TRIAL = 600
_TOKENS_AVERAGED = 8
_OF_ITS_OWN = (
    "conv",
    "linear_attention",
    "hybrid",
    "mamba",
    "recurrent",
)  # kinds of layers, as configurations call them
_FAULTS = (TypeError, ValueError, AttributeError, RuntimeError, IndexError, KeyError, AssertionError)
_MOST_CONTEXT = 10**8  # tokenizers without a limit say 10^30
_NOT_HASHED = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache")


class CausalLM(nn.Module):
    """A model of transformers as a ``CausalNetwork``. Outputs are logits; the state is its keys and values."""

    filter_storage = "none"

    def __init__(self, model: Any, trial_1T: Tensor, pad_id: int) -> None:
        """``trial_1T``: a short sequence of its tokens, at least 24.

        Raises:
            DoesNotFit: its answers are not finite in the dtype of its weights.
            InputError: it gives no logits, reads ahead, or an answer depends on chance, length, padding or batch mates.
        """
        super().__init__()
        self.model = model
        self.config = model.config.get_text_config()
        self.fork_refusal: str | None = None
        self._bytes_per_token = 0
        trial_1T = trial_1T.to(self.get_input_embeddings().weight.device)
        with torch.inference_mode(), exact_arithmetic():
            whole_1TV = self._try_whole(trial_1T)
            self._refuse_chance(trial_1T, whole_1TV)
            self._refuse_what_reads_ahead(trial_1T, whole_1TV)
            self._refuse_batch_mates(trial_1T, whole_1TV, pad_id)
            self.fork_refusal = fork_refusal(type(model), model.config) or self._try_pieces(trial_1T, whole_1TV)

    def hidden_states(
        self, tokens_BT: Tensor, state: PrefixState | None = None, return_state: bool = False
    ) -> tuple[Tensor, PrefixState | None]:
        """Logits (B, T, V), float32, and the keys and values of all tokens so far if asked for."""
        check_rows(tokens_BT, state)
        if state is None and not return_state:
            return self.model(input_ids=tokens_BT, use_cache=False).logits.float(), None
        cache = DynamicCache() if state is None else DynamicCache(_keys_and_values(state))
        out = self.model(input_ids=tokens_BT, past_key_values=cache, use_cache=True)
        num_before = state.num_tokens if state else 0
        after = _state_of(out.past_key_values, num_before + tokens_BT.shape[1]) if return_state else None
        return out.logits.float(), after

    def unembed(self, hidden: Tensor) -> Tensor:
        """The hidden states as they are: of these models they are logits (..., V) already."""
        return hidden

    def state_bytes(self, num_tokens: int) -> int:
        """Bytes of one row's keys and values after ``num_tokens`` tokens."""
        return self._bytes_per_token * num_tokens

    def get_input_embeddings(self) -> Any:
        return self.model.get_input_embeddings()

    def _try_whole(self, trial_1T: Tensor) -> Tensor:
        try:
            whole_1TV = self.hidden_states(trial_1T)[0]
        except torch.OutOfMemoryError:
            raise
        except _FAULTS as error:
            raise InputError(f"{self._name} cannot read {trial_1T.shape[1]} bases: {first_line(error)}") from None
        if whole_1TV.shape[:2] != trial_1T.shape:
            raise InputError(
                f"{self._name} gives outputs of the shape {tuple(whole_1TV.shape)} for {trial_1T.shape[1]} tokens."
            )
        return self._finite(whole_1TV, trial_1T)

    def _refuse_chance(self, trial_1T: Tensor, whole_1TV: Tensor) -> None:
        repeated_1TV = self._finite(self.hidden_states(trial_1T)[0], trial_1T)
        apart = float(_differences(repeated_1TV, whole_1TV).max())
        if apart > TOLERANCES[_dtype(self.model)]:
            raise InputError(
                f"{self._name} cannot be scored: its answers change by {apart:.3g} when it reads the same tokens again. It draws at "
                "random, as models with hashed attention do."
            )

    def _refuse_what_reads_ahead(self, trial_1T: Tensor, whole_1TV: Tensor) -> None:
        changed_1T = trial_1T.clone()
        changed_1T[0, -1] = trial_1T[trial_1T != trial_1T[0, -1]][0]
        changed = self._finite(self.hidden_states(changed_1T)[0], trial_1T)
        ahead = float(_differences(changed[:, :-1], whole_1TV[:, :-1]).max())
        if ahead > TOLERANCES[_dtype(self.model)]:
            raise InputError(
                f"{self._name} reads ahead: its answers change by {ahead:.3g} when a later token does. Only causal models, "
                "which read from left to right, can be scored."
            )

    def _refuse_batch_mates(self, trial_1T: Tensor, whole_1TV: Tensor, pad_id: int) -> None:
        """Read a part of the trial, an odd number of tokens, alone, and padded beside the whole: the answers must be
        the same.
        """
        part = trial_1T.shape[1] * 2 // 3 | 1
        padded_1T = trial_1T.clone()
        padded_1T[0, part:] = pad_id
        try:
            alone = self.hidden_states(trial_1T[:, :part])[0]
            beside, padded = self.hidden_states(torch.cat([trial_1T, padded_1T]))[0].split(1)
        except torch.OutOfMemoryError:
            raise
        except _FAULTS as error:
            raise InputError(
                f"{self._name} cannot read {part} bases, or two sequences at once: {first_line(error)}"
            ) from None
        for answers in (alone, padded[:, :part], beside):
            apart = _apart(self._finite(answers, trial_1T), whole_1TV[:, : answers.shape[1]], _dtype(self.model))
            if apart > TOLERANCES[_dtype(self.model)]:
                raise InputError(
                    f"{self._name} cannot be scored: its answers change by {apart:.3g} with the number of tokens, the padding or the "
                    "sequences beside, so a score would depend on what else is in its batch."
                )

    def _try_pieces(self, trial_1T: Tensor, whole_1TV: Tensor) -> str | None:
        """Why a sequence in pieces is not the sequence at once, in words; None where it is."""
        pieces, state, length = [], None, trial_1T.shape[1]
        lengths = (length // 8, length // 4, 1, length - length // 8 - length // 4 - 1)
        try:
            for piece in trial_1T.split(lengths, dim=1):
                logits, state = self.hidden_states(piece, state, return_state=True)
                pieces.append(logits)
        except torch.OutOfMemoryError:
            raise
        except _FAULTS as error:
            return f"its keys and values cannot be carried on ({first_line(error)})"
        logits = torch.cat(pieces, dim=1)
        if _dtype(self.model) == torch.float16:  # the only type in which these may overflow where the whole did not
            self._finite(logits, trial_1T)
        if not logits.isfinite().all() and whole_1TV.isfinite().all():
            return "read in pieces it gives values that are not finite"
        difference = _apart(logits, whole_1TV, _dtype(self.model))
        if difference > TOLERANCES[_dtype(self.model)]:
            return f"read in pieces its logits differ by {difference:.3g} from those of the whole sequence"
        assert state is not None
        self._bytes_per_token = state.num_bytes // state.num_tokens
        return None

    def _finite(self, logits: Tensor, trial_1T: Tensor) -> Tensor:
        """The logits, which give each base a probability that is a number."""
        if torch.log_softmax(logits, dim=-1)[..., trial_1T.unique()].isfinite().all():
            return logits
        dtype = str(_dtype(self.model)).removeprefix("torch.")
        if dtype == "float32":
            raise DoesNotFit(f"{self._name} gives values that are not finite. Its weights may be damaged.")
        raise DoesNotFit(
            f"{self._name} gives values that are not finite in {dtype}: its activations do not fit {dtype}. Set model.dtype: "
            f"{'bfloat16 or float32' if dtype == 'float16' else 'float32'}."
        )

    @property
    def _name(self) -> str:
        return type(self.model).__name__


def fork_refusal(network: type, config: Any) -> str | None:
    """Why a class of models has no keys and values to carry on, in words; None where it may have."""
    if getattr(network, "_is_stateful", False):
        return "it keeps a state of its own instead of keys and values"
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ()) & set(_OF_ITS_OWN)
    if kinds:
        return f"its layers of the kind {', '.join(sorted(kinds))} keep a state of their own instead of keys and values"
    if "past_key_values" not in inspect.signature(network.forward).parameters:  # type: ignore[attr-defined]
        return "it takes no keys and values from before"
    return None


def _differences(logits: Tensor, other: Tensor) -> Tensor:
    """Absolute differences of logits; 0 where both are the same infinity, as of tokens that a model never gives."""
    return torch.where(logits == other, 0.0, (logits - other).abs())


def _apart(one_1TV: Tensor, other_1TV: Tensor, dtype: torch.dtype) -> float:
    """The largest difference of logits; in half precision, where single values stray, the largest RMS over a few
    tokens.
    """
    differences_TV = _differences(one_1TV, other_1TV)[0]
    if dtype == torch.float32:
        return float(differences_TV.max())
    return max(float(some.square().mean().sqrt()) for some in differences_TV.split(_TOKENS_AVERAGED))


def _keys_and_values(state: PrefixState) -> list[tuple[Tensor, Tensor]]:
    return [layer.tensors()[:2] for layer in state.layers]  # type: ignore[misc]


def _state_of(cache: Any, num_tokens: int) -> PrefixState:
    """The state that a cache holds; the library makes new ones when it reads on, so they are never changed."""
    layers = cache.layers
    if not all(type(layer) is DynamicLayer and layer.keys is not None for layer in layers):
        raise TypeError(f"its cache holds {', '.join(sorted({type(layer).__name__ for layer in layers}))}")
    if any(layer.keys.shape[2] != num_tokens for layer in layers):
        raise ValueError("its cache does not hold every token")
    return PrefixState(tuple(AttentionState(layer.keys, layer.values) for layer in layers), num_tokens)


def _dtype(model: Any) -> torch.dtype:
    return model.get_input_embeddings().weight.dtype


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
        fork_refusal=fork_refusal(type(skeleton), config),
    )
    return Checkpoint(
        folder,
        facts,
        load=lambda dtype, placement: _load(folder, dtype, placement, tokens, context_length),
        token_ids=tokens.table(),
    )


def _config(folder: Path) -> Any:
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
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
    except (*_FAULTS, ImportError) as error:
        raise InputError(f"{folder}: transformers cannot build the model: {first_line(error)}") from None


def _load(folder: Path, dtype: torch.dtype, placement: DeviceMap, tokens: Tokens, context_length: int) -> CausalLM:
    model, report = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        device_map=placement,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    refuse_misfit(folder, report)
    trial = (_TRIAL + every_triple(LETTERS) * 5)[: min(context_length, _LONGEST_TRIAL)]
    ids = tokens.table()[np.frombuffer(trial.encode(), np.uint8)]
    return CausalLM(model.eval().requires_grad_(False), torch.from_numpy(ids)[None], tokens.pad_id).eval()


def _context_length(config: Any, tokens: Tokens, skeleton: Any, folder: Path) -> int:
    """Tokens that can be read: fewer than config.json says where the first positions are never used, as in RoBERTa."""
    limits = (getattr(part, "max_position_embeddings", None) for part in (config.get_text_config(), config))
    length = next(filter(None, limits), tokens.longest)
    if not isinstance(length, int) or not 0 < length < _MOST_CONTEXT:
        raise InputError(
            f"{folder} does not say how many tokens the model reads: put max_position_embeddings into its config.json."
        )
    tables = [table for name, table in skeleton.named_modules() if "position" in name and type(table) is nn.Embedding]
    usable = [table.num_embeddings - table.padding_idx - 1 for table in tables if table.padding_idx is not None]
    length = min([length, *usable])
    if length < len(_TRIAL):
        raise InputError(f"{folder} reads {length} tokens at once, too few to be tried: {len(_TRIAL)} are needed.")
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
