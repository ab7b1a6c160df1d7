"""A background: what a score is ranked against. One file, made by ``raygen background`` for one fingerprint.

``delta_llr`` in nats means nothing beside another model's, window's or gene's; its place among the deltas of the same model does:

    percentile            share of the background that is as harmful (as low) or more
    phred                 -10 log10 of it, as CADD scales: 20 is the most harmful hundredth, 30 the most harmful thousandth
    percentile_in_group   the same among the background's variants of the row's ``background_group``; null where it has none of them
    delta_context         ``delta_llr`` less what its context alone makes likely (``raygen.classes.contexts``), where the background knows that

A score below all of the background counts as the lowest of it: no share is below 1 / its number.

Two backgrounds of one fingerprint are added by adding their numbers; ``background_file`` reads and writes them.

Shapes: R rows
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from raygen.classes.contexts import NO_CONTEXT, ContextSums, context_codes
from raygen.classes.score_counts import ScoreCounts, ends_of
from raygen.classes.variant_groups import rows_by_group, variant_groups
from raygen.errors import SettingsError
from raygen.tables.columns import Column
from raygen.variants.alleles import first_bytes
from raygen.variants.contig_names import resolve_contig
from raygen.variants.region_kinds import RegionKinds

RANK_COLUMNS = ("percentile", "phred", "percentile_in_group", "background_group")
DELTA_CONTEXT = "delta_context"
BACKGROUND_COLUMNS = (*RANK_COLUMNS, DELTA_CONTEXT)
"""The columns that a background adds behind those of SCORES; the last only where it knows contexts."""


class BackgroundFacts(BaseModel):
    """Where a background comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["raygen background"] = "raygen background"
    version: Literal[1] = 1
    raygen: str
    fingerprint: str
    model: str
    reference_digest: str = Field(description="of the FASTA that was scored; empty for pairs")
    contig_lengths: dict[str, int] = Field(description="bases of its contigs, where the FASTA was at hand")
    circular: tuple[str, ...] = ()
    group_column: str | None = Field(None, description="column by which variants are grouped besides")
    neutral: str | None = Field(None, description="in words: which changes the contexts were learnt from")
    sources: tuple[str, ...] = Field(description="in words: tables and runs, and how many scores of each")
    runs: tuple[str, ...] = Field((), description="ids of the runs whose scores were counted")


@dataclass(frozen=True)
class Background:
    """Counts of scores by group, and what contexts make likely.

    Attributes:
        groups: the spread of scores of each group; together they are the background.
        contexts: sums by context; None where the background knows none.
        kinds: kinds of regions by which variants are grouped; None for none.
    """

    facts: BackgroundFacts
    groups: Mapping[str, ScoreCounts]
    contexts: ContextSums | None = None
    kinds: RegionKinds | None = None

    @cached_property
    def every(self) -> ScoreCounts:
        """The spread of all scores."""
        return ScoreCounts.sum_of(self.groups.values())

    @cached_property
    def digest(self) -> str:
        """Digest of what it says of scores: the first 16 hexadecimal digits of its SHA-256. Where its numbers come from is not in it."""
        facts = self.facts
        described = (facts.version, facts.fingerprint, sorted(facts.circular), facts.group_column, facts.neutral)
        hashed = hashlib.sha256(repr(described).encode())
        for name, counts in sorted(self.groups.items()):
            hashed.update(name.encode() + b"\0" + counts.steps.tobytes() + counts.counts.tobytes())
        if self.contexts:
            hashed.update(b"".join(sums.tobytes() for sums in self.contexts.arrays))
        if self.kinds:
            hashed.update(repr(self.kinds.to_table().to_pydict()).encode())
        return hashed.hexdigest()[:16]

    @property
    def summary(self) -> dict[str, Any]:
        """What a manifest says of it: where it comes from and the number of scores of each group."""
        numbers = {"num_scores": self.every.num_scores, "rank_error": self.every.rank_error}
        groups = {name: counts.num_scores for name, counts in self.groups.items()}
        learnt = {"num_neutral": self.contexts.num_changes} if self.contexts else {}
        described = self.facts.model_dump(mode="json", exclude={"kind", "version", "contig_lengths"})
        return {"digest": self.digest, **described, **numbers, **learnt, "groups": groups}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it adds."""
        return BACKGROUND_COLUMNS if self.contexts else RANK_COLUMNS

    def phred(self, deltas: np.ndarray) -> np.ndarray:
        """(R,) deltas in nats to (R,) PHRED."""
        return phred_of(self.every.shares(deltas))

    def cuts_of_phred(self, cuts: Sequence[float]) -> tuple[float, float, float, float]:
        """Cut points on ``delta_llr`` that part the same variants as four ascending cut points in PHRED.

        A PHRED cut belongs to the more harmful class: from the highest on is the first class, below the lowest the last.
        """
        lowest, *others = cuts
        supporting, strong, strongest = (self._begin_below(cut) for cut in others)
        last = self._begin_below(lowest)
        return strongest, strong, supporting, last if math.isinf(last) else math.nextafter(last, -math.inf)

    def expected(self, rows: pa.Table, bases: Callable[[str], np.ndarray]) -> np.ndarray:
        """(R,) nats that the context alone makes likely of rows of one contig; NaN where it is no single-base change of a known context.

        Args:
            rows: with ``chrom, pos, ref, alt``.
            bases: gives the bases of a contig, as ``Reference.bases``.
        """
        assert self.contexts is not None
        codes = snv_contexts(rows, bases, self.facts.circular)
        return self.contexts.expected_of(codes)

    def append_columns(
        self, rows: pa.Table, group_column: Column | None, bases: Callable[[str], np.ndarray] | None
    ) -> pa.Table:
        """Append the columns of the background to rows of one contig, or of pairs.

        Args:
            rows: with ``chrom, pos, ref, alt, delta_llr``.
            group_column: (R,) the values of the column ``facts.group_column``; None where there is none.
            bases: gives the bases of a contig; needed where contexts are known.
        """
        deltas = rows["delta_llr"].to_numpy()
        share = self.every.shares(deltas)
        names, group = variant_groups(rows, group_column, self.kinds)
        in_group = np.full(len(rows), np.nan)
        for name, of_group in rows_by_group(names, group):
            if counts := self.groups.get(name):
                in_group[of_group] = counts.shares(deltas[of_group])
        added = {
            "percentile": pa.array(share, from_pandas=True),
            "phred": pa.array(phred_of(share), from_pandas=True),
            "percentile_in_group": pa.array(in_group, from_pandas=True),
            "background_group": pa.array(names, pa.string()).take(pa.array(group)),
        }
        if self.contexts:
            assert bases is not None
            added[DELTA_CONTEXT] = pa.array(deltas - self.expected(rows, bases), from_pandas=True)
        for name, column in added.items():
            rows = rows.append_column(name, column)
        return rows

    def refuse_other(self, fingerprint: str, reference_digest: str, lengths: Mapping[str, int], where: str) -> None:
        """Hold the background to scores of its own fingerprint and assembly; ``where`` names it in the error.

        Args:
            reference_digest, lengths: of the FASTA of the scores; ``lengths`` is empty where that is not at hand.

        Raises:
            SettingsError: it is of another fingerprint, or of another assembly.
        """
        facts = self.facts
        if facts.fingerprint != fingerprint:
            raise SettingsError(
                f"{where} is the background of the fingerprint {facts.fingerprint} (model {facts.model}); these scores are "
                f"{fingerprint} (another model, precision, window or strand). Make one of scores of this fingerprint."
            )
        if facts.reference_digest == reference_digest:
            return
        for name, length in lengths.items():
            own_name = resolve_contig(name, facts.contig_lengths)
            if own_name is not None and facts.contig_lengths[own_name] != length:
                raise SettingsError(
                    f"{where} is the background of another assembly: its {own_name} has {facts.contig_lengths[own_name]:,} bases, "
                    f"{name} of these scores {length:,}."
                )

    def _begin_below(self, phred: float) -> float:
        """The delta below which PHRED is ``phred`` or more: halfway between the last float32 for which it is and the next."""
        up_to = np.cumsum(self.every.counts)
        most = 10 ** (-phred / 10) * self.every.num_scores * (1 + 1e-12)
        place = int(np.searchsorted(up_to, most, side="right"))
        if most < 1:
            return -np.inf
        if place == len(up_to):
            return np.inf
        last = ends_of(self.every.steps[[place]] - 1)[0]
        return (float(last) + float(np.nextafter(last, np.float32(np.inf)))) / 2


def phred_of(shares: np.ndarray) -> np.ndarray:
    """(R,) shares to (R,) PHRED: -10 log10."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(shares) + 0.0  # no -0


def snv_contexts(rows: pa.Table, bases: Callable[[str], np.ndarray], circular: Sequence[str] = ()) -> np.ndarray:
    """(R,) context codes of rows of one contig (``chrom, pos, ref, alt``); ``NO_CONTEXT`` of what is no single-base change."""
    codes = np.full(len(rows), NO_CONTEXT, np.int64)
    chrom = rows["chrom"][0].as_py() if len(rows) else None
    if chrom is None:
        return codes
    (_, ref_length), (letters, alt_length) = (first_bytes(rows[name].combine_chunks()) for name in ("ref", "alt"))
    snvs = np.flatnonzero((ref_length == 1) & (alt_length == 1))
    codes[snvs] = context_codes(bases(chrom), rows["pos"].to_numpy()[snvs], letters[snvs], chrom in circular)
    return codes


def added_backgrounds(backgrounds: Sequence[Background], names: Sequence[str]) -> Background:
    """All backgrounds of one fingerprint together, in any order the same; ``names`` are theirs in errors.

    Raises:
        SettingsError: they are of several fingerprints or assemblies, grouped in different ways, or of one run.
    """
    for number, other in enumerate(backgrounds[1:], 1):
        for one, name in zip(backgrounds[:number], names, strict=False):
            _refuse_unlike(one, other, f"{name} and {names[number]}", name)
    first = min(backgrounds, key=lambda background: background.digest)
    every_group = sorted({name for background in backgrounds for name in background.groups})
    groups = {
        name: ScoreCounts.sum_of(of.groups[name] for of in backgrounds if name in of.groups) for name in every_group
    }
    contexts = [background.contexts for background in backgrounds if background.contexts]
    every_facts = [background.facts for background in backgrounds]
    facts = first.facts.model_copy(
        update={
            "reference_digest": min(facts.reference_digest for facts in every_facts),
            "contig_lengths": dict(
                sorted({name: length for facts in every_facts for name, length in facts.contig_lengths.items()}.items())
            ),
            "circular": tuple(sorted({name for facts in every_facts for name in facts.circular})),
            "sources": tuple(sorted(source for facts in every_facts for source in facts.sources)),
            "runs": tuple(sorted(run for facts in every_facts for run in facts.runs)),
        }
    )
    return Background(facts, groups, ContextSums.sum_of(contexts) if contexts else None, first.kinds)


def _refuse_unlike(one: Background, other: Background, both: str, name: str) -> None:
    """SettingsError where two backgrounds cannot be added; ``both`` and ``name`` (of the first) are theirs in errors."""
    one.refuse_other(other.facts.fingerprint, other.facts.reference_digest, other.facts.contig_lengths, name)
    if shared := set(one.facts.runs) & set(other.facts.runs):
        raise SettingsError(f"{both} hold scores of the same run, {min(shared)}: they would count twice.")
    kinds = [None if of.kinds is None else of.kinds.to_table() for of in (one, other)]
    ways = [(of.facts.group_column, of.facts.neutral) for of in (one, other)]
    if ways[0] != ways[1] or not _same_kinds(*kinds):
        raise SettingsError(
            f"{both} are grouped in different ways, or know contexts of different changes: they cannot be added."
        )


def _same_kinds(one: pa.Table | None, other: pa.Table | None) -> bool:
    return one is other if one is None or other is None else one.equals(other)
