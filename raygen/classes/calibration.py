"""A calibration: what a score of one fingerprint means, learnt from labelled variants. One JSON file.

It gives each score a ``probability`` of being positive at a stated prior, and a strength of ``evidence`` (PP3 or BP4, see
``raygen.classes.evidence``), and replaces the cut points of the five classes by strengths of evidence:

    pathogenic          PP3 strong or very strong
    likely_pathogenic   PP3 supporting or moderate
    vus                 neither
    benign              BP4 supporting or more
    gain_of_function    not given: labels of pathogenic and benign say nothing about it

A class that no score reaches has its cut at infinity. The bounds behind the strengths are conservative, the probability is not: a score
can have a high probability and no evidence where few labelled variants are near it.

A calibration holds for its fingerprint alone: another model, precision, window or strand is refused. This file needs numpy only;
the fit is in ``raygen.evaluation.calibration_fit``.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from raygen.classes.evidence import STRENGTHS, posterior
from raygen.errors import InputError, SettingsError

KIND = "raygen calibration"
_LATER_FIELDS = ("grouping", "tuned_on")
CALIBRATED_COLUMNS = ("probability", "evidence")
"""The columns that a calibration adds behind those of SCORES."""

INDETERMINATE = "indeterminate"
APPLIES_TO = "delta_llr"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Curve(_Part):
    """Score to share of positives among the labelled: points to interpolate (isotonic), or a logistic function."""

    method: Literal["isotonic", "logistic"]
    scores: tuple[float, ...] = Field((), description="ascending")
    shares: tuple[float, ...] = ()
    intercept: float = 0.0
    slope: float = 0.0
    least: float = Field(gt=0, lt=0.5, description="no share is below this or above one minus this: so few were seen")

    @model_validator(mode="after")
    def _fits_together(self) -> Curve:
        if self.method == "isotonic" and not (len(self.scores) == len(self.shares) > 0):
            raise ValueError("an isotonic curve needs as many shares as scores")
        if list(self.scores) != sorted(self.scores):
            raise ValueError("the scores of the curve must ascend")
        return self

    def shares_of(self, scores: np.ndarray) -> np.ndarray:
        """(R,) scores to (R,) shares of positives among the labelled; NaN stays NaN."""
        if self.method == "isotonic":
            shares = np.interp(scores, self.scores, self.shares)
        else:
            shares = 1 / (1 + np.exp(-np.clip(self.intercept + self.slope * scores, -700, 700)))
        return np.clip(np.where(np.isnan(scores), np.nan, shares), self.least, 1 - self.least)


class Strengths(_Part):
    """The score at which each strength of evidence begins, towards the extreme; None where no score reaches it."""

    supporting: float | None = None
    moderate: float | None = None
    strong: float | None = None
    very_strong: float | None = None

    def of(self, strength: str) -> float | None:
        """The score at which ``strength``, one of ``STRENGTHS``, begins; None where no score reaches it."""
        score: float | None = getattr(self, strength)
        return score


class ReliabilityBin(_Part):
    """Labelled variants with about one predicted share (by folds that did not hold them), and what they turned out to be."""

    predicted: float
    observed: float
    num_variants: int


class EvidencePoint(_Part):
    """The local likelihood ratio at a score, with its one-sided 95% bounds."""

    score: float
    ratio: float
    lower: float
    upper: float


class LabelSet(_Part):
    """The labelled variants that a calibration was learnt from. ``source`` is the name of a file, no path."""

    source: str
    label: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    num_positive: int
    num_negative: int
    left_out: dict[str, int]


class Quality(_Part):
    """How well predictions fit on held-out folds, but for ``auroc``, which is of the score itself on all labelled variants.

    ``brier_of_share`` is the Brier score of always saying the share of positives.
    """

    auroc: float
    brier: float
    brier_of_share: float
    log_loss: float
    folds: int
    seed: int


class Grouping(_Part):
    """What the folds did not part and the bounds were drawn by, and how many of the labelled rows are independent.

    ``num_sites`` is null where the rows had no coordinates; ``why_not_larger`` says in words why larger clusters were not taken, and
    ``why_fewer_folds`` why there are fewer folds than were asked for.
    """

    level: str
    num_clusters: int
    num_rows: int
    num_sites: int | None
    why_not_larger: str | None
    why_fewer_folds: str | None


class Calibration(_Part):
    """What a score of one fingerprint means: probability, strength of evidence and the cut points of the classes."""

    kind: Literal["raygen calibration"] = "raygen calibration"
    version: Literal[1] = 1
    raygen: str
    fingerprint: str | None = Field(
        description="of the scores; null for scores of other tools, which cannot be applied to"
    )
    model: str | None
    score_column: str
    higher_is_positive: bool
    prior: float = Field(gt=0, lt=1, description="probability of being pathogenic before the score is known")
    curve: Curve
    odds: dict[str, float] = Field(description="likelihood ratio of each strength at this prior")
    pathogenic: Strengths = Field(description="PP3: this score or one further out")
    benign: Strengths = Field(description="BP4: this score or one further out")
    min_window: int
    labels: LabelSet
    quality: Quality
    reliability: tuple[ReliabilityBin, ...]
    local_evidence: tuple[EvidencePoint, ...]
    grouping: Grouping | None = Field(None, description="null in files of raygen before 0.2, whose folds parted sites")
    tuned_on: str | None = Field(None, description="what these same labels also chose, such as the model or the window")

    @property
    def digest(self) -> str:
        """Digest of the calibration: the first 16 hexadecimal digits of the SHA-256 of its JSON.

        Fields that came later are left out where they are null, so that an older file keeps its digest.
        """
        return hashlib.sha256(self.model_dump_json(exclude=self._unset_later_fields).encode()).hexdigest()[:16]

    @property
    def _unset_later_fields(self) -> set[str]:
        return {name for name in _LATER_FIELDS if getattr(self, name) is None}

    @property
    def tuning_warning(self) -> str | None:
        """A sentence where the labels were also used to choose; None where nobody said so."""
        if self.tuned_on is None:
            return None
        return (
            f"these labels also chose {self.tuned_on}: the quality and the bounds of this calibration flatter it; calibrate on labels "
            "that chose nothing"
        )

    @property
    def cuts(self) -> tuple[float, float, float, float]:
        """The five-class cut points on ``delta_llr``, ascending; infinite where a class is never given.

        A cut belongs to the class above it, so where evidence reaches to a score the cut is the next number after it.
        """
        never = -math.inf
        strong, supporting = self.pathogenic.strong, self.pathogenic.supporting
        upper = self.benign.supporting
        return (
            never if strong is None else math.nextafter(strong, math.inf),
            never if supporting is None else math.nextafter(supporting, math.inf),
            math.inf if upper is None else upper,
            math.inf,
        )

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """(R,) scores to (R,) probabilities of being positive at the stated prior; NaN stays NaN."""
        share = self.curve.shares_of(scores)
        labelled = self.labels.num_positive / self.labels.num_negative
        return posterior(share / (1 - share) / labelled, self.prior)

    def evidence(self, scores: np.ndarray) -> list[str]:
        """(R,) scores to ``PP3_<strength>``, ``BP4_<strength>`` or ``indeterminate``, the strongest that is reached."""
        sign = 1.0 if self.higher_is_positive else -1.0
        strongest = np.full(len(scores), INDETERMINATE, dtype=object)
        for strength in STRENGTHS:
            for criterion, side, turned in (("PP3", self.pathogenic, sign), ("BP4", self.benign, -sign)):
                limit = side.of(strength)
                if limit is not None:
                    strongest[turned * scores >= turned * limit] = f"{criterion}_{strength}"
        return strongest.tolist()

    def append_columns(self, scored: pa.Table) -> pa.Table:
        """Append the columns ``probability`` (float64) and ``evidence`` (string) to rows with ``delta_llr``."""
        scores = scored[APPLIES_TO].to_numpy()
        probability = pa.array(self.probability(scores), pa.float64(), from_pandas=True)
        evidence = pa.array(self.evidence(scores), pa.string())
        return scored.append_column(CALIBRATED_COLUMNS[0], probability).append_column(CALIBRATED_COLUMNS[1], evidence)

    def refuse_other(self, fingerprint: str, where: str) -> None:
        """Hold the calibration to scores of its own fingerprint; ``where`` names it in the error.

        Raises:
            SettingsError: the calibration is of another fingerprint, or of a score that is not ``delta_llr``.
        """
        if self.score_column != APPLIES_TO or self.higher_is_positive:
            turned = ", higher meaning positive" if self.higher_is_positive else ""
            raise SettingsError(f"{where} calibrates {self.score_column}{turned}; classes are made from {APPLIES_TO}.")
        if self.fingerprint != fingerprint:
            raise SettingsError(
                f"{where} was made with scores of the fingerprint {self.fingerprint or '(none)'}; these are "
                f"{fingerprint} (another model, precision, window or strand). Calibrate on scores of this one."
            )


def parse_calibration(text: str, where: str) -> Calibration:
    """A calibration from its JSON; ``where`` names the source in the error.

    Raises:
        InputError: the text is no calibration.
    """
    try:
        return Calibration.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{where} is no calibration that raygen wrote: {place}: {first['msg']}.") from error


def load_calibration(path: str) -> Calibration:
    """Read a calibration file.

    Raises:
        InputError: the file cannot be read, or it is no calibration.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The calibration {path} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from error
    return parse_calibration(text, path)


def summary(text: str) -> dict[str, Any]:
    """What a manifest keeps of a calibration's JSON: all but the tables and the curve."""
    calibration = parse_calibration(text, "the calibration")
    tables = {"curve", "reliability", "local_evidence"}
    kept = calibration.model_dump(exclude=tables | calibration._unset_later_fields)
    return {"digest": calibration.digest, "method": calibration.curve.method, **kept}
