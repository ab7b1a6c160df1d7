"""What a model that nobody has tested must be, tried when it is loaded.

In: a network and sequences of its tokens. Out: why ``fork`` cannot be used and the size of a state; what cannot be scored at all
is refused. It is tried that outputs are logits; that none changes when later tokens change, a few, half, or all of them, when the
sequence is read shorter or beside others, or is padded; and, for ``fork``, that a sequence in pieces, of many tokens and of few,
gives the numbers of the sequence at once. Each is tried beyond the length from which a model's config.json says that it attends
otherwise, since what goes wrong only beyond it would else be found by nobody.

Cost in tokens: 5.7 times the length of the trial, 3,400 where it is the usual 600, in a batch of four rows and seven smaller
passes. Beyond a named length it is up to 6.7 times what lies up to 256 tokens beyond it: 29,000 at the most, for 4,096.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from raygen.errors import InputError, first_line
from raygen.model.arithmetic import exact_arithmetic
from raygen.model.library_cache import has_own_states
from raygen.model.network import CausalNetwork
from raygen.model.precision import DoesNotFit
from raygen.model.state import PrefixState

TOLERANCES = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.4}
"""By dtype, how far the logits of a sequence read in another way may be from those of the sequence read at once."""

SHORTEST = 24
"""Bases: a model that reads fewer cannot be tried."""

_USUAL = 600
_BEYOND = 256
_TOKENS_AVERAGED = 8
_START = "GATTACANNCGGTTAACGTAGCCA"
FAULTS = (TypeError, ValueError, AttributeError, RuntimeError, IndexError, KeyError, AssertionError)
"""What a library raises that does not do what it is asked."""
_WITHOUT_WORDS = (AttributeError, IndexError, KeyError, AssertionError)


@dataclass(frozen=True)
class Trial:
    """Tokens of three sequences of one length: bases; at every place another base; bases and N.

    split: where the later part begins that is changed and read on to: the middle, or in the middle of what lies beyond the
    length from which the model attends otherwise.
    """

    bases_T: Tensor
    others_T: Tensor
    with_n_T: Tensor
    pad_id: int
    split: int

    @property
    def length(self) -> int:
        return len(self.bases_T)


@dataclass(frozen=True)
class Tried:
    """What a trial tells of ``fork``: why it cannot be used, or what a state takes, by itself and a token."""

    fork_refusal: str | None = None
    fixed_bytes: int = 0
    bytes_per_token: int = 0
    has_own_states: bool = False


def make_trial(token_of_byte: np.ndarray, pad_id: int, context_length: int, attends_otherwise_after: int = 0) -> Trial:
    """A trial of the usual length, or of as much as it takes beyond ``attends_otherwise_after`` tokens."""
    length = min(context_length, max(_USUAL, attends_otherwise_after + _BEYOND))
    draw = np.random.default_rng(0)
    codes = draw.integers(4, size=length)
    letters = np.frombuffer(b"ACGT", np.uint8)
    with_n = np.where(draw.random(length) < 0.1, ord("N"), letters[codes]).astype(np.uint8)
    with_n[: len(_START)] = np.frombuffer(_START.encode(), np.uint8)
    sequences = (letters[codes], letters[(codes + draw.integers(1, 4, size=length)) % 4], with_n)
    bases, others, mixed = (torch.from_numpy(token_of_byte[sequence]) for sequence in sequences)
    beyond = attends_otherwise_after if attends_otherwise_after < length else 0
    return Trial(bases, others, mixed, pad_id, max(length // 2, (length + beyond) // 2))


def try_network(network: CausalNetwork, trial: Trial) -> Tried:
    """Try a network whose outputs are logits.

    Raises:
        DoesNotFit: its answers are not finite in the dtype of its weights.
        InputError: it gives no logits, reads ahead, or an answer depends on chance, length, padding or batch mates.
    """
    with torch.inference_mode(), exact_arithmetic():
        return _TriedNetwork(network, trial).try_all()


class _TriedNetwork:
    def __init__(self, network: CausalNetwork, trial: Trial) -> None:
        weight = network.get_input_embeddings().weight
        self._network, self._trial = network, trial
        self._device, self._dtype = weight.device, weight.dtype
        self._name = type(getattr(network, "model", network)).__name__
        self._tolerance = TOLERANCES[weight.dtype]

    def try_all(self) -> Tried:
        rows_4T = self._rows()
        together_4TV = self._read(rows_4T)
        self._refuse_what_reads_ahead(rows_4T, together_4TV)
        self._refuse_batch_mates(rows_4T, together_4TV)
        if self._network.fork_refusal:
            return Tried(self._network.fork_refusal)
        return self._try_pieces(rows_4T[3:], together_4TV[3:])

    def _rows(self) -> Tensor:
        """The bases; the same with a later part of other bases and padding; with all but the first changed; with N."""
        trial = self._trial
        later = trial.others_T.clone()
        later[trial.split + (trial.length - trial.split) * 2 // 3 :] = trial.pad_id
        changed = [
            torch.cat([trial.bases_T[:at], rest[at:]]) for at, rest in ((trial.split, later), (1, trial.others_T))
        ]
        return torch.stack([trial.bases_T, *changed, trial.with_n_T]).to(self._device)

    def _refuse_what_reads_ahead(self, rows_4T: Tensor, together_4TV: Tensor) -> None:
        for row, same in ((1, self._trial.split), (2, 1)):
            ahead = float(_differences(together_4TV[row, :same], together_4TV[0, :same]).max())
            if ahead > self._tolerance:
                self._refuse_chance(rows_4T, together_4TV)
                raise InputError(
                    f"{self._name} reads ahead: its answers change by {ahead:.3g} when a later token does. Only causal models, "
                    "which read from left to right, can be scored."
                )

    def _refuse_batch_mates(self, rows_4T: Tensor, together_4TV: Tensor) -> None:
        """Read parts of the sequence with N alone, odd numbers of tokens, before and beyond a length from which attention
        is another: the answers must be the same.
        """
        part = self._trial.length * 2 // 3
        for num_tokens in sorted({part | 1, max(part, self._trial.split) | 1}):
            alone_1TV = self._read(rows_4T[3:, :num_tokens])
            apart = _apart(alone_1TV, together_4TV[3:, : alone_1TV.shape[1]], self._dtype)
            if apart > self._tolerance:
                self._refuse_chance(rows_4T, together_4TV)
                raise InputError(
                    f"{self._name} cannot be scored: its answers change by {apart:.3g} with the number of tokens, the padding or the "
                    "sequences beside, so a score would depend on what else is in its batch."
                )

    def _refuse_chance(self, rows_4T: Tensor, together_4TV: Tensor) -> None:
        apart = float(_differences(self._read(rows_4T), together_4TV).max())
        if apart > self._tolerance:
            raise InputError(
                f"{self._name} cannot be scored: its answers change by {apart:.3g} when it reads the same tokens again. It draws at "
                "random, as models with hashed attention do."
            )

    def _try_pieces(self, whole_1T: Tensor, whole_1TV: Tensor) -> Tried:
        """Why a sequence in pieces is not the sequence at once, in words; else the size of its state."""
        pieces: list[Tensor] = []
        states: list[PrefixState] = []
        try:
            for piece in whole_1T.split(self._piece_lengths(), dim=1):
                logits, state = self._network.hidden_states(piece, states[-1] if states else None, return_state=True)
                assert state is not None
                pieces.append(logits)
                states = [*states[-1:], state]
        except torch.OutOfMemoryError:
            raise
        except FAULTS as error:
            return Tried(f"its state cannot be carried on ({_in_words(error)})")
        logits = torch.cat(pieces, dim=1)
        if self._dtype == torch.float16:  # the only type in which these may overflow where the whole did not
            self._finite(logits)
        if not logits.isfinite().all() and whole_1TV.isfinite().all():
            return Tried("read in pieces it gives values that are not finite")
        difference = _apart(logits, whole_1TV, self._dtype)
        if difference > self._tolerance:
            return Tried(f"read in pieces its logits differ by {difference:.3g} from those of the whole sequence")
        before, after = states
        per_token = (after.num_bytes - before.num_bytes) // (after.num_tokens - before.num_tokens)
        fixed = max(after.num_bytes - per_token * after.num_tokens, 0)
        return Tried(None, fixed, per_token, has_own_states(after))

    def _piece_lengths(self) -> list[int]:
        """Of one token, of two, and of many, before and after a state."""
        length = self._trial.length
        some = length * 3 // 8
        stops = sorted({0, 1, 3, length // 8, some, some + 1, self._trial.split, length})
        return [stop - start for start, stop in pairwise(stops)]

    def _read(self, tokens_BT: Tensor) -> Tensor:
        """Logits of whole sequences, which give each base a probability that is a number."""
        num_rows, length = tokens_BT.shape
        try:
            logits = self._network.hidden_states(tokens_BT)[0]
        except torch.OutOfMemoryError:
            raise
        except FAULTS as error:
            rows = f"{num_rows} sequences of {length} bases at once" if num_rows > 1 else f"{length} bases"
            raise InputError(f"{self._name} cannot read {rows}: {_in_words(error)}.") from None
        if logits.shape[:2] != tokens_BT.shape:
            raise InputError(
                f"{self._name} gives outputs of the shape {tuple(logits.shape)} for {num_rows} times {length} tokens."
            )
        return self._finite(logits)

    def _finite(self, logits: Tensor) -> Tensor:
        tokens = torch.cat([self._trial.bases_T, self._trial.with_n_T]).unique().to(logits.device)
        if torch.log_softmax(logits, dim=-1)[..., tokens].isfinite().all():
            return logits
        dtype = str(self._dtype).removeprefix("torch.")
        if dtype == "float32":
            raise DoesNotFit(f"{self._name} gives values that are not finite. Its weights may be damaged.")
        raise DoesNotFit(
            f"{self._name} gives values that are not finite in {dtype}: its activations do not fit {dtype}. Set model.dtype: "
            f"{'bfloat16 or float32' if dtype == 'float16' else 'float32'}."
        )


def _in_words(error: BaseException) -> str:
    """What a library says of a fault; where that is no sentence, which fault it is."""
    if isinstance(error, _WITHOUT_WORDS):
        return f"transformers fails with {type(error).__name__}: {first_line(error)}"
    return first_line(error)


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
