"""Is the input from the assembly of this reference?

A few REF alleles that differ are rejects. Most of them differing means another assembly, and a table of rejects would only hide
that: the ingest stops with an InputError. It stops, too, where the reference has none of the input's contigs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raygen.errors import InputError
from raygen.sequence.reference import reference_name
from raygen.tables.schemas import Reason
from raygen.variants.alleles import AlleleReader
from raygen.variants.check import AlleleChecker

EARLY_LOOK = 100_000  # REF alleles checked before the first decision: a wrong genome-wide file stops within seconds
LEAST_MISMATCHES = 3  # fewer say nothing
_MOST_NAMED = 3


class AssemblyWatch:
    """Looks at the tally of an ``AlleleChecker``, once early and once at the end, for the signs of another assembly."""

    def __init__(self, checker: AlleleChecker, readers: Sequence[AlleleReader]) -> None:
        self._checker = checker
        self._readers = readers
        self._looked_early = False

    def after_batch(self) -> None:
        """InputError where the first ``EARLY_LOOK`` alleles are mostly mismatches."""
        if not self._looked_early and self._checker.num_ref_checked >= EARLY_LOOK:
            self._looked_early = True
            self._raise_if_mostly_mismatches()

    def at_end(self, rejects: Mapping[Reason, int]) -> None:
        """InputError where most REF alleles differ, or where no contig of the inputs is in the reference."""
        self._raise_if_mostly_mismatches()
        seen_contigs = self._checker.seen_contigs
        if rejects.get(Reason.UNKNOWN_CONTIG) and not any(seen_contigs.values()):
            raise InputError(
                f"No contig of the input is in {reference_name(self._checker.reference)}: the input has "
                f"{_some(list(seen_contigs))}, the reference has {_some(list(self._checker.reference.lengths))}. "
                "Nothing was written."
            )

    def length_warnings(self) -> list[str]:
        """One sentence for each input whose header gives a contig in use another length than the reference has."""
        warnings = []
        for reader in self._readers:
            differing = self._differing_lengths(reader)
            if differing:
                more = f" (and {len(differing) - _MOST_NAMED} more)" if len(differing) > _MOST_NAMED else ""
                warnings.append(f"The header of {reader.name} says {'; '.join(differing[:_MOST_NAMED])}{more}.")
        return warnings

    def _differing_lengths(self, reader: AlleleReader) -> list[str]:
        lengths = self._checker.reference.lengths
        return [
            f"{contig} has {declared:,} bases, the reference has {lengths[name]:,}"
            for contig, declared in reader.contig_lengths.items()
            if (name := self._checker.seen_contigs.get(contig)) is not None and lengths[name] != declared
        ]

    def _raise_if_mostly_mismatches(self) -> None:
        checker = self._checker
        checked, mismatches = checker.num_ref_checked, checker.num_ref_mismatches
        if mismatches < LEAST_MISMATCHES or 2 * mismatches <= checked:
            return
        sentences = [
            f"{mismatches:,} of {checked:,} REF alleles differ from {reference_name(checker.reference)} "
            f"(first: {checker.first_mismatch}).",
            *self.length_warnings()[:1],
            "Is the input from another assembly? Nothing was written.",
        ]
        raise InputError(" ".join(sentences))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else shown
