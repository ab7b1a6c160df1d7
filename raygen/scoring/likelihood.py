"""The likelihood of whole sequences under a resident model: shift, mask and reduction (``fork`` does the same for branches).

The token at position t is predicted from the tokens before it, so the model reads BOS and all bases but the last, and its
t-th output is set against the t-th base. Padding is on the right and never counted; the softmax runs over the whole
vocabulary. Probabilities are computed in float32 and summed in float64. What is not finite in half precision is scored
again with float32 weights.

Letters: B rows, T bases of the longest row, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from raygen.errors import InputError, SettingsError
from raygen.home import expanded
from raygen.model.arithmetic import exact_arithmetic
from raygen.model.loading import LoadedNetwork, load_network
from raygen.model.precision import release_memory
from raygen.model.taps import Taps
from raygen.number_of import is_whole
from raygen.scoring.batches import TokenBudget, run_in_batches
from raygen.scoring.letters import LETTERS
from raygen.scoring.passes import CPU_BATCH_TOKENS
from raygen.sequence.tokens import encode

_UNEMBED_ROWS = 8192  # positions that are unembedded at once: 16 MB of float32 logits at 512 tokens

Scored = TypeVar("Scored")


class ResidentModel:
    """A model that is loaded and ready, with the conventions of its tokens.

    Attributes:
        loaded: the network and where it came from.
        budget: tokens that one pass may hold.
        num_tokens_computed: tokens forwarded so far, padding included.
        num_rescored: sequences or pairs that were not finite in half precision and were scored again in float32.
    """

    def __init__(self, loaded: LoadedNetwork, max_batch_tokens: int | Literal["auto"] = "auto") -> None:
        self.loaded = loaded
        self.budget = TokenBudget(
            auto_batch_tokens(loaded.network.config.hidden_size, loaded.device)
            if max_batch_tokens == "auto"
            else max_batch_tokens
        )
        self.num_tokens_computed = 0
        self.num_rescored = 0
        self._in_float32: ResidentModel | None = None

    @property
    def name(self) -> str:
        """The model's name as it is written into the scores."""
        return self.loaded.facts.name

    @property
    def context_length(self) -> int:
        """Bases the model can read."""
        return self.loaded.facts.context_length

    @property
    def num_uncounted(self) -> int:
        """Bases at the start of a sequence that no prediction exists for: none with BOS, else one."""
        return 0 if self.loaded.facts.bos_id is not None else 1

    def log_likelihoods(self, sequences: Iterable[str]) -> np.ndarray:
        """Log-likelihood of each sequence: (N,) float64, nats, summed over every base, BOS before the first.

        A model without BOS does not count the first base. Letters other than A, C, G and T are read as N.

        Raises:
            InputError: a sequence is longer than the model's context.
            TypeError: something else than a list, an array or another iterable of sequences.
        """
        listed = _listed(sequences)
        rows = [encode(sequence) for sequence in listed]
        longest = max(map(len, rows), default=0)
        if longest > self.context_length:
            raise InputError(f"A sequence has {longest:,} bases, but the model reads {self.context_length:,}.")
        sums = np.zeros(len(rows))

        def work(batch: Sequence[int]) -> None:
            sums[batch] = self.token_log_probs([rows[row] for row in batch]).sum(axis=1)

        run_in_batches([max(len(row), 1) for row in rows], self.budget, work)
        not_finite = self.to_rescore(sums)
        if len(not_finite):
            sums[not_finite] = self.rescore(
                lambda wide: wide.log_likelihoods([listed[row] for row in not_finite]), len(not_finite)
            )
        return sums

    def to_rescore(self, *values: np.ndarray) -> np.ndarray:
        """Rows in which a value is not finite, where there is a wider type to score them in: (number,) int64."""
        if self.loaded.dtype == torch.float32:
            return np.zeros(0, np.int64)
        return np.flatnonzero(~np.logical_and.reduce([np.isfinite(value) for value in values]))

    def rescore(self, score: Callable[[ResidentModel], Scored], count: int) -> Scored:
        """What ``score`` says with the same model in float32; ``count`` sequences or pairs and the tokens are counted here.

        The float32 weights are loaded from the checkpoint when first needed, since what was rounded to half precision
        may be infinite already, and stay: 4 more bytes a parameter (26 GB for 6.45e9), in host memory where they do not fit
        the GPU.
        """
        wide = self._wide()
        before = wide.num_tokens_computed
        scored = score(wide)
        self.num_rescored += count
        self.num_tokens_computed += wide.num_tokens_computed - before
        return scored

    def _wide(self) -> ResidentModel:
        if self._in_float32 is None:
            device = self.loaded.device
            release_memory(device)
            name = "cuda" if device.type == "cuda" and not device.index else str(device)  # "cuda" may spill to the host
            loaded = load_network(
                self.loaded.facts.name,
                revision=self.loaded.facts.revision,
                device=name,
                dtype="float32",
                allow_unvalidated=self.loaded.facts.unvalidated,
            )
            self._in_float32 = ResidentModel(loaded, self.budget.max_batch_tokens)
            self._in_float32.budget = self.budget
        return self._in_float32

    def token_log_probs(self, rows: Sequence[np.ndarray], first: Sequence[int] | None = None) -> np.ndarray:
        """ln P of each base given the bases before it, in one pass.

        Args:
            rows: B arrays of tokens, uint8.
            first: for each row the first base that is wanted; default all.

        Returns:
            (B, T) float64, nats; 0 for bases that are padding, not wanted or not counted.
        """
        lengths = np.array([len(row) for row in rows])
        wanted_from = np.maximum(np.zeros_like(lengths) if first is None else np.asarray(first), self.num_uncounted)
        positions = np.arange(lengths.max(initial=0))
        wanted_BT = (positions >= wanted_from[:, None]) & (positions < lengths[:, None])
        log_probs_BT = np.zeros(wanted_BT.shape)
        if wanted_BT.any():
            log_probs_BT[wanted_BT] = self._predict(self._pad(rows, len(positions)), wanted_BT)
        return log_probs_BT

    @torch.inference_mode()
    @exact_arithmetic()
    def letter_log_probs_of_rows(
        self, rows: Sequence[np.ndarray], first: Sequence[int], taps: Taps | None = None
    ) -> list[np.ndarray]:
        """ln P of each letter in place of each base of a row from its ``first`` on, in one pass: (bases, letters) float64 a row.

        With taps the last bases are read, too; taps that stop give no log-probabilities.
        """
        tokens_BT = self._pad(rows, max(map(len, rows)))
        read_BT = self._read(tokens_BT) if taps is None else self._with_bos(tokens_BT)
        self.num_tokens_computed += read_BT.numel()
        if taps is None:
            hidden_BTD, _ = self.loaded.network.hidden_states(read_BT)
        else:
            hidden_BTD, _ = self.loaded.network.hidden_states(read_BT, taps=taps)
            if taps.stops:
                return []
        return [
            self.letter_log_probs(hidden_TD[start - self.num_uncounted : max(len(row) - self.num_uncounted, 0)])
            for hidden_TD, row, start in zip(hidden_BTD, rows, first, strict=True)
        ]

    def _pad(self, rows: Sequence[np.ndarray], longest: int) -> torch.Tensor:
        tokens_BT = np.full((len(rows), longest), self.loaded.facts.pad_id, dtype=np.int64)
        for row, tokens in enumerate(rows):
            tokens_BT[row, : len(tokens)] = self._token_ids(tokens)
        return torch.from_numpy(tokens_BT).to(self.loaded.device)

    @torch.inference_mode()
    @exact_arithmetic()
    def _predict(self, tokens_BT: torch.Tensor, wanted_BT: np.ndarray) -> np.ndarray:
        """ln P of the wanted bases, (number wanted,) float64, row by row."""
        is_wanted = torch.from_numpy(wanted_BT).to(tokens_BT.device)
        read_BT, shift = self._read(tokens_BT), self.num_uncounted
        hidden_BTD, _ = self.loaded.network.hidden_states(read_BT)
        self.num_tokens_computed += read_BT.numel()
        return self.log_probs_of(hidden_BTD[is_wanted[:, shift:]], tokens_BT[is_wanted])

    def log_probs_of(self, hidden_ND: torch.Tensor, target_N: torch.Tensor) -> np.ndarray:
        """ln P of each target under the output beside it: (N, D) hidden and (N,) tokens to (N,) float64, nats."""
        parts = [
            torch.log_softmax(self.loaded.network.unembed(hidden), dim=-1).gather(-1, target[:, None])[:, 0].double()
            for hidden, target in zip(hidden_ND.split(_UNEMBED_ROWS), target_N.split(_UNEMBED_ROWS), strict=True)
        ]
        return torch.cat(parts).cpu().numpy()

    def letter_log_probs(self, hidden_ND: torch.Tensor) -> np.ndarray:
        """ln P of each of LETTERS under an output: (N, D) hidden to (N, letters) float64, nats."""
        token_ids = torch.from_numpy(self._token_ids(LETTERS)).to(hidden_ND.device)
        parts = [
            torch.log_softmax(self.loaded.network.unembed(hidden), dim=-1).index_select(-1, token_ids)
            for hidden in hidden_ND.split(_UNEMBED_ROWS)
        ]
        return torch.cat(parts).cpu().numpy().astype(np.float64)

    def read_and_targets(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A sequence as the model reads it, and what each output is to predict: two arrays of one length, int64."""
        token_ids = self._token_ids(tokens)
        if self.loaded.facts.bos_id is None:
            return token_ids[:-1], token_ids[1:]
        return np.concatenate([[self.loaded.facts.bos_id], token_ids[:-1]]), token_ids

    def read_to_the_end(self, tokens: np.ndarray) -> np.ndarray:
        """A sequence with its last base, as the model reads it: int64."""
        bos = [] if self.loaded.facts.bos_id is None else [self.loaded.facts.bos_id]
        return np.concatenate([np.array(bos, np.int64), self._token_ids(tokens)])

    def _token_ids(self, tokens: np.ndarray) -> np.ndarray:
        """Bases as the model's own tokens, int64."""
        table = self.loaded.token_ids
        return tokens.astype(np.int64) if table is None else table[tokens]

    def _read(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        """What the model reads to predict every base that can be: BOS first where there is one, never the last base."""
        return self._with_bos(tokens_BT[:, :-1])

    def _with_bos(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        if self.loaded.facts.bos_id is None:
            return tokens_BT
        bos_B1 = tokens_BT.new_full((len(tokens_BT), 1), self.loaded.facts.bos_id)
        return torch.cat([bos_B1, tokens_BT], dim=1)


def _listed(sequences: Any) -> list[str]:
    """Sequences as a list: what gives them once is asked once, though some may be scored twice."""
    if isinstance(sequences, str | bytes | Mapping):
        raise TypeError(f"log_likelihoods takes a list of sequences, not {type(sequences).__name__}")
    listed = sequences.to_pylist() if hasattr(sequences, "to_pylist") else list(sequences)
    for number, sequence in enumerate(listed):
        if not isinstance(sequence, str | bytes):
            raise TypeError(f"log_likelihoods takes sequences as text, but number {number} is {sequence!r}")
    return listed


def load_model(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    max_batch_tokens: int | Literal["auto"] = "auto",
    allow_unvalidated: bool = False,
) -> ResidentModel:
    """Load ``demo``, a folder with a checkpoint, or a hub id, onto a device.

    Args:
        allow_unvalidated: take a model whose published numbers need FP8, too; its rows are flagged.

    Raises:
        InputError: the checkpoint cannot be used.
        SettingsError: no such model, device or dtype, a batch that holds nothing, or a model that needs FP8.
    """
    if not isinstance(name, str | Path) or not str(name):
        raise SettingsError(f"The model is {name!r}: give demo, the folder of a checkpoint or a hub id.")
    if max_batch_tokens != "auto" and not (is_whole(max_batch_tokens) and max_batch_tokens > 0):
        raise SettingsError(f"max_batch_tokens is {max_batch_tokens!r}; give a whole number of at least 1, or 'auto'.")
    loaded = load_network(
        expanded(str(name)), revision=revision, device=device, dtype=dtype, allow_unvalidated=allow_unvalidated
    )
    return ResidentModel(loaded, max_batch_tokens)


def auto_batch_tokens(hidden_size: int, device: torch.device) -> int:
    """Tokens that one pass may hold when nobody said how many.

    On a GPU half of the free memory at about 50 float32 values of the model's width per token, an estimate
    of what a layer's projections and the residual stream take at their peak, not measured on a GPU yet; a batch that still does not
    fit is halved.
    """
    if device.type != "cuda":
        return CPU_BATCH_TOKENS
    free, _ = torch.cuda.mem_get_info(device)
    return max(int(free * 0.5 / (50 * 4 * hidden_size)), 1)
