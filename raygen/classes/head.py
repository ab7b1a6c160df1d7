"""A head: a small linear model on embeddings of one fingerprint, trained with labels. Log-odds of being positive come out.

    features   the states of one layer and pool, ``concat``: those of WT and MUT's less WT's; ``absdiff``: the latter's amount alone
    strands    ``mean``: both averaged, half as many numbers to learn; ``concat``: one behind the other
    beside     where asked for, ``delta_llr`` and which of the known consequences a row has

Training and applying make features by the same code, from float32 states; the sum is taken in float64, row by row, so that a row does
not depend on its batch. Log-odds are those among the labels that trained it: a probability needs a calibration on other rows.

Shapes: P rows, D numbers in a state, F features. No torch: a run's actors and commands that read stored embeddings apply heads alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from raygen.classes.calibration import LabelSet
from raygen.errors import SettingsError
from raygen.scoring.embedding_plan import EmbeddingPlan, PooledStates
from raygen.tables.columns import Column

Feature = Literal["concat", "absdiff"]
StrandUse = Literal["mean", "concat"]
StrandName = Literal["forward", "reverse"]
HEAD_PREFIX = "head_"
"""How the column of a head begins; its file's name follows."""
DELTA = "delta_llr"
_CELLS_AT_ONCE = 4_000_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HeadInputs(_Part):
    """What a head reads of a variant, and the features it becomes."""

    layer: str
    pool: str
    strands: tuple[StrandName, ...] = Field(min_length=1)
    strand_use: StrandUse
    feature: Feature
    width: int = Field(gt=0, description="D, numbers in a state")
    with_delta: bool = False
    consequence_column: str | None = None
    consequences: tuple[str, ...] = Field((), description="each is one feature; any other has 0 in all of them")

    @property
    def num_state_features(self) -> int:
        """How many of the features come from states."""
        of_each = 1 if self.strand_use == "mean" else len(self.strands)
        return self.width * of_each * (2 if self.feature == "concat" else 1)

    @property
    def num_features(self) -> int:
        """F, how many features there are."""
        return self.num_state_features + self.with_delta + len(self.consequences)

    @property
    def columns(self) -> list[str]:
        """The columns of scored rows that it reads beside states."""
        return [DELTA] * self.with_delta + ([self.consequence_column] if self.consequence_column else [])

    def of_states(self, ref: Mapping[str, np.ndarray], delta: Mapping[str, np.ndarray]) -> np.ndarray:
        """(P, features of states) float32, from (P, D) states of WT and differences by strand."""
        kinds = (ref, delta) if self.feature == "concat" else (delta,)
        parts = [part for states in kinds for part in self._by_use([states[strand] for strand in self.strands])]
        joined = np.concatenate(parts, axis=1, dtype=np.float32)
        return np.abs(joined) if self.feature == "absdiff" else joined

    def _by_use(self, states: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        if self.strand_use == "concat" or len(states) == 1:
            return states
        return [(states[0] + states[1]) / np.float32(2)]

    def of_columns(self, rows: Mapping[str, Column]) -> np.ndarray:
        """(P, other features) float32, from columns of scored rows; ``rows`` may be a table."""
        parts = [np.asarray(rows[DELTA].to_numpy(), np.float32)[:, None]] if self.with_delta else []
        if self.consequence_column:
            values = np.array([str(value) for value in rows[self.consequence_column].to_pylist()], dtype=object)
            parts.append((values[:, None] == np.array(self.consequences, dtype=object)).astype(np.float32))
        return np.concatenate(parts, axis=1)


class Compared(_Part):
    """A score's areas on rows that nothing of it was learnt from, and what they are more than the head's."""

    auroc: float
    auroc_interval: tuple[float, float] | None
    difference: float
    difference_interval: tuple[float, float] | None
    auprc: float
    auprc_interval: tuple[float, float] | None
    auprc_difference: float
    auprc_difference_interval: tuple[float, float] | None


class ComparedRows(_Part):
    """Scores on the same rows, the head first. ``num_groups``: clusters with one of these rows."""

    areas: dict[str, Compared]
    num_positive: int
    num_negative: int
    num_groups: int


class HeadFolds(_Part):
    """What the folds of a head did not part.

    ``groups`` says in words how many clusters there are; ``random_rows`` that neighbours were put into different folds, as asked, which
    flatters the result.
    """

    level: str
    groups: str
    why_not_larger: str | None
    num_folds: int
    num_inner_folds: int
    random_rows: bool
    seed: int


class HeadFacts(_Part):
    """All of a head but its numbers: what it holds for, what it reads, and how it was trained and tested."""

    kind: Literal["raygen head"] = "raygen head"
    version: Literal[1] = 1
    raygen: str
    fingerprint: str
    model: str | None
    embeddings: str = Field(description="how the states were stored that it was trained on, in a run's words")
    inputs: HeadInputs
    penalty: float = Field(gt=0, description="of the sum of squared weights; the loss is the mean over rows")
    penalties: tuple[float, ...] = Field(description="the grid, the strongest first")
    folds: HeadFolds
    labels: LabelSet
    labels_licence: str | None
    result: ComparedRows
    by_consequence: dict[str, ComparedRows]
    verdict: tuple[str, ...] = Field(description="what the result says, in sentences")
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Head:
    """A head and its numbers.

    Attributes:
        centre, scale, weight: (F,) float64; a feature less its centre, over its scale, is weighted.
        training_sites: ascending uint64, digests of the sites of the rows that trained it (see ``site_digests``).
        digest: of all numbers and facts, 16 hexadecimal digits.
        path: where it was read.
    """

    facts: HeadFacts
    centre: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    intercept: float
    training_sites: np.ndarray
    digest: str
    path: str

    @property
    def summary(self) -> dict[str, Any]:
        """What a manifest says of the head."""
        inputs = self.facts.inputs
        return {
            "digest": self.digest,
            "path": self.path,
            "layer": inputs.layer,
            "pool": inputs.pool,
            "labels": self.facts.labels.source,
        }

    def refuse_other(self, fingerprint: str, where: str) -> None:
        """SettingsError where scores are of another fingerprint; ``where`` names the head."""
        if self.facts.fingerprint != fingerprint:
            raise SettingsError(
                f"{where} was trained on the fingerprint {self.facts.fingerprint}; these scores are of {fingerprint} (another model, "
                "precision, window or strand). Train a head on scores of this one."
            )

    def refuse_other_plan(self, plan: EmbeddingPlan, strands: Sequence[str], where: str) -> None:
        """SettingsError where the states that it reads are not among those of a run; ``where`` names the head."""
        inputs = self.facts.inputs
        for name, wanted, present in (("layer", inputs.layer, plan.layers), ("pool", inputs.pool, plan.pool_names)):
            if wanted not in present:
                raise SettingsError(f"{where} reads the {name} {wanted}; there is {', '.join(present) or 'none'} here.")
        if absent := [strand for strand in inputs.strands if strand not in strands]:
            raise SettingsError(f"{where} reads the {absent[0]} strand, which is not read here.")

    def num_training_sites(self, digests: np.ndarray) -> int:
        """How many of the sites with these digests trained it."""
        return int(np.isin(np.unique(digests), self.training_sites).sum())


def apply_head(
    head: Head, ref: Mapping[str, np.ndarray], delta: Mapping[str, np.ndarray], rows: Mapping[str, Column] | None = None
) -> np.ndarray:
    """(P,) float64 log-odds from (P, D) pooled states of WT and differences by strand; NaN where a state is NaN.

    Args:
        rows: the columns that the head reads beside states (see ``HeadInputs.columns``).

    Raises:
        SettingsError: the states have another number of numbers than those that trained it.
    """
    inputs = head.facts.inputs
    refuse_width(inputs, delta[inputs.strands[0]].shape[1])
    num_rows = len(delta[inputs.strands[0]])
    others = inputs.of_columns(rows) if inputs.columns and rows is not None else np.empty((num_rows, 0), np.float32)
    log_odds = np.empty(num_rows)
    step = max(_CELLS_AT_ONCE // inputs.num_features, 1)
    for start in range(0, num_rows, step):
        some = slice(start, start + step)
        states = inputs.of_states(*({strand: part[some] for strand, part in kind.items()} for kind in (ref, delta)))
        features = np.concatenate([states, others[some]], axis=1, dtype=np.float64)
        log_odds[some] = ((features - head.centre) / head.scale * head.weight).sum(axis=1) + head.intercept
    return log_odds


def refuse_width(inputs: HeadInputs, width: int) -> None:
    """SettingsError where states have another number of numbers than those that a head reads."""
    if width != inputs.width:
        raise SettingsError(
            f"The head was trained on states of {inputs.width:,} numbers; these have {width:,}, another model's or a projection's."
        )


def head_columns(
    heads: Mapping[str, Head], by_strand: Mapping[Any, PooledStates], rows: Mapping[str, Column] | None = None
) -> dict[str, pa.Array]:
    """The column of each head by its name: float64 log-odds, null where nothing was pooled.

    Args:
        heads: by the names of their columns.
        by_strand: pooled states of P rows by strand (``forward``, ``reverse``).
        rows: columns of the same rows, for heads that read some.
    """
    columns = {}
    for name, head in heads.items():
        inputs = head.facts.inputs
        place = (inputs.layer, inputs.pool)
        ref: dict[str, np.ndarray] = {strand: by_strand[strand].ref[place] for strand in inputs.strands}
        delta: dict[str, np.ndarray] = {strand: by_strand[strand].delta[place] for strand in inputs.strands}
        columns[name] = pa.array(apply_head(head, ref, delta, rows), pa.float64(), from_pandas=True)
    return columns


def heads_as_text(heads: Mapping[str, Head]) -> str:
    """Columns of heads and which heads these are, as a folder of scores names them; empty for none."""
    return ", ".join(f"{name} (head {head.digest})" for name, head in heads.items())


def site_digests(sites: Iterable[str]) -> np.ndarray:
    """(S,) uint64, eight bytes of the BLAKE2b of each site's name: a million sites take 8 MB, and two rarely share one."""
    digests = (hashlib.blake2b(site.encode(), digest_size=8).digest() for site in sites)
    return np.frombuffer(b"".join(digests), "<u8")
