"""Is the input from the assembly of this reference?

A few REF alleles that differ are rejects. Many of them mean that the input, or one contig of it, is from another assembly, and a
table of rejects would only hide that: of four alleles on a wrong sequence one agrees by chance and would be scored. So each
contig of each file is judged by itself, and the ingest stops with an InputError. It stops, too, where the reference lacks the
contigs of many of a file's alleles. What is too little to stop is a warning.

A file is judged as it would be alone: a right file beside a wrong one hides nothing, and files that pass alone pass together.

Where scores are looked up for a file, it may be the one that was scored, whatever share was let through then, so contigs are not
judged: only a file of which most REF alleles differ, and more than the runs let, is an error. Contigs that an ingest would have
stopped at are warnings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from raygen.errors import InputError
from raygen.tables.schemas import Reason
from raygen.variants.alleles import AlleleReader
from raygen.variants.check import RefTally, Tallies

EARLY_LOOK = 100_000  # REF alleles checked before the first decision: a wrong genome-wide file stops within seconds
LEAST_MISMATCHES = 3  # fewer say nothing
MAX_MISMATCH_SHARE = 0.1
"""Of the REF alleles of a contig of a file. On the right assembly fewer than 1 in 100 differ; at this share up to 1 in 30 agree by chance."""
MAX_UNKNOWN_SHARE = 0.1
"""Of the alleles of a file. Decoys, patches and alternate loci hold less of one; chromosomes under other names hold more."""
_ENOUGH = 10  # of fewer only most can be too many: a short list may have slips of the pen
_MOST = 0.5
_WORTH_A_WARNING = 0.01
_SWAPPED = 0.75  # on another assembly ALT is what the reference has in about 1 of 3 mismatches
_MOST_NAMED = 3
_WHOLE_FILE = ""  # beside names of contigs


class AssemblyWatch:
    """Looks at the tally of an ``AlleleChecker`` for the signs of another assembly.

    Args:
        readers: the files, in the order in which they are read.
        max_mismatch_share: of a file's REF alleles on a contig; more that differ are an error. Without it contigs are not judged.
        max_unknown_share: of a file's alleles; more on contigs that the reference lacks are an error.
        max_whole_share: of all REF alleles of a file; more that differ are an error, where they are most.
    """

    def __init__(
        self,
        checker: Tallies,
        readers: Sequence[AlleleReader],
        max_mismatch_share: float | None = None,
        max_unknown_share: float = 1.0,
        max_whole_share: float = _MOST,
    ) -> None:
        self._checker = checker
        self._unfinished = list(readers)
        self._has_several_files = len(readers) > 1
        self._max_mismatch_share = max_mismatch_share
        self._max_unknown_share = max_unknown_share
        self._max_whole_share = max(_MOST, max_whole_share, max_mismatch_share or 0)
        self._reference_name = Path(checker.reference.path).name
        self._looked_early: set[str] = set()
        self._finished_tallies: dict[str, RefTally] = {}
        self._length_warnings: list[str] = []
        self._unknown: Counter[str] = Counter()

    def after_batch(self) -> None:
        """InputError where the first ``EARLY_LOOK`` alleles, of a file or of one of its contigs, hold too many mismatches."""
        tallies = {name: self._checker.ref_tallies[name] for name in self._checker.batch_contigs}
        tallies[_WHOLE_FILE] = self._checker.file_tally
        ripe = {name for name, tally in tallies.items() if tally.checked >= EARLY_LOOK} - self._looked_early
        if ripe:
            self._looked_early |= ripe
            self._raise_if_many_mismatches(ripe - {_WHOLE_FILE})

    def after_file(self, reader: AlleleReader | None = None) -> None:
        """InputError where too many REF alleles differ, or where the reference lacks the contigs of too many alleles.

        Args:
            reader: of the file that has been read to its end; None for a table that none of ``readers`` is of.
        """
        self._raise_if_many_mismatches(self._checker.ref_tallies)
        if reader is not None:
            self._length_warnings += self._length_warning(reader)
            self._unfinished = [other for other in self._unfinished if other is not reader]
        for name, tally in self._checker.ref_tallies.items():
            self._finished_tallies.setdefault(name, RefTally()).add(tally)
        tallies = self._checker.name_tallies
        unknown = Counter({name: tallies[name].alleles for name in tallies if self._checker.seen_contigs[name] is None})
        self._unknown += unknown
        num_alleles = sum(tally.alleles for tally in tallies.values())
        self._looked_early = set()
        self._checker.start_file()
        self._raise_if_many_unknown(reader.name if reader else "the table", unknown, num_alleles)

    def _raise_if_many_unknown(self, name: str, unknown: Counter[str], num_alleles: int) -> None:
        is_for_the_end = not self._has_several_files and not any(self._checker.seen_contigs.values())
        if is_for_the_end or not _too_many(unknown.total(), num_alleles, self._max_unknown_share):
            return
        contigs = _some(list(self._checker.reference.lengths))
        raise InputError(
            f"{unknown.total():,} of {num_alleles:,} alleles of {name} are on contigs that {self._reference_name} does not have: "
            f"{_counted(unknown)}; it has {contigs}. Is it the reference of the input's assembly? To score the rest alone, set "
            f"input.max_unknown_share (now {self._max_unknown_share:g}). Nothing was written."
        )

    def at_end(self, rejects: Mapping[Reason, int]) -> None:
        """InputError where no contig of the inputs is in the reference."""
        seen_contigs = self._checker.seen_contigs
        if rejects.get(Reason.UNKNOWN_CONTIG) and not any(seen_contigs.values()):
            raise InputError(
                f"No contig of the input is in {self._reference_name}: the input has "
                f"{_some(list(seen_contigs))}, the reference has {_some(list(self._checker.reference.lengths))}. "
                "Nothing was written."
            )

    def warnings(self) -> list[str]:
        """Sentences about what differs and is too little to stop: lengths of contigs, contigs, REF alleles."""
        warnings = self._all_length_warnings()
        if self._unknown:
            warnings.append(
                f"{self._reference_name} does not have the contigs of {self._unknown.total():,} alleles: {_counted(self._unknown)}."
            )
        tallies = self._finished_tallies
        return warnings + self._mismatch_warning(
            [name for name in tallies if tallies[name].mismatches > _WORTH_A_WARNING * tallies[name].checked]
        )

    def doubtful_contigs(self) -> list[str]:
        """A sentence where more REF alleles of contigs differ than an ingest lets through by default."""
        return self._mismatch_warning(
            [
                name
                for name, tally in self._finished_tallies.items()
                if _too_many(tally.mismatches, tally.checked, MAX_MISMATCH_SHARE)
            ]
        )

    def _mismatch_warning(self, contigs: Sequence[str]) -> list[str]:
        tallies = self._finished_tallies
        if not contigs:
            return []
        return [" ".join([self._mismatches(tallies, contigs), *_swap_hint(tallies[name] for name in contigs)])]

    def _all_length_warnings(self) -> list[str]:
        unfinished = [warning for reader in self._unfinished for warning in self._length_warning(reader)]
        return [*self._length_warnings, *unfinished]

    def _length_warning(self, reader: AlleleReader) -> list[str]:
        """A sentence where a file's header gives contigs in use another length than the reference has."""
        differing = self._differing_lengths(reader)
        if not differing:
            return []
        more = f" (and {len(differing) - _MOST_NAMED} more)" if len(differing) > _MOST_NAMED else ""
        return [f"The header of {reader.name} says {'; '.join(differing[:_MOST_NAMED])}{more}."]

    def _differing_lengths(self, reader: AlleleReader) -> list[str]:
        lengths, tallies = self._checker.reference.lengths, self._checker.name_tallies
        return [
            f"{contig} has {declared:,} bases, the reference has {lengths[name]:,}"
            for contig, declared in reader.contig_lengths.items()
            if (name := self._checker.seen_contigs.get(contig)) is not None
            and lengths[name] != declared
            # PLINK 1.9 knows no lengths and writes the last position and one
            and not (contig in tallies and declared == tallies[contig].last_pos + 1 < lengths[name])
        ]

    def _raise_if_many_mismatches(self, contigs: Iterable[str]) -> None:
        limit = self._max_mismatch_share or 0
        whole, tallies = self._checker.file_tally, self._checker.ref_tallies
        judged_contigs = [] if self._max_mismatch_share is None else contigs
        too_many = [
            name for name in judged_contigs if _too_many(tallies[name].mismatches, tallies[name].checked, limit)
        ]
        mostly = whole.mismatches >= LEAST_MISMATCHES and whole.mismatches > self._max_whole_share * whole.checked
        if not too_many and not mostly:
            return
        if mostly:
            sentences = [
                f"{_counts(whole)} REF alleles differ from {self._reference_name} (first: {whole.first_mismatch})."
            ]
            judged, subject = [whole], "input"
        else:
            sentences = [self._mismatches(tallies, too_many)]
            judged, subject = [tallies[name] for name in too_many], "contig" if len(too_many) == 1 else "input"
            sentences.append(f"More than input.max_mismatch_share ({limit:g}) on a contig stop a run.")
        if self._has_several_files:
            sentences[0] = f"{self._unfinished[0].name}: {sentences[0]}"
        sentences += self._all_length_warnings()[:1]
        sentences += _swap_hint(judged) or [f"Is the {subject} from another assembly?"]
        raise InputError(" ".join([*sentences, "Nothing was written."]))

    def _mismatches(self, tallies: Mapping[str, RefTally], contigs: Sequence[str]) -> str:
        """A sentence on the contigs with mismatches, the worst first."""
        worst = sorted(contigs, key=lambda name: tallies[name].mismatches, reverse=True)
        first, *others = worst[:_MOST_NAMED]
        more = f" and on {len(worst) - _MOST_NAMED:,} more contigs" if len(worst) > _MOST_NAMED else ""
        counts = [f"{_counts(tallies[first])} REF alleles on {first}"]
        counts += [f"{_counts(tallies[name])} on {name}" for name in others]
        return (
            f"{', '.join(counts)}{more} differ from {self._reference_name} (first: {tallies[worst[0]].first_mismatch})."
        )


def _too_many(count: int, total: int, limit: float) -> bool:
    """Whether ``count`` of ``total`` are more than the share ``limit``; few are so only where they are most."""
    return (count >= _ENOUGH and count > limit * total) or (
        count >= LEAST_MISMATCHES and count > max(_MOST, limit) * total
    )


def _swap_hint(tallies: Iterable[RefTally]) -> list[str]:
    """A sentence where the reference has ALT in most places in which it lacks REF."""
    tallies = list(tallies)
    mismatches, swapped = sum(tally.mismatches for tally in tallies), sum(tally.swapped for tally in tallies)
    if swapped < _SWAPPED * mismatches:
        return []
    return [
        f"In {swapped:,} of {mismatches:,} ALT is what the reference has: REF and ALT are swapped, as PLINK 1.9 writes them. "
        "`plink2 --fa REFERENCE --ref-from-fa force` or `bcftools norm --check-ref s` puts them right."
    ]


def _counts(tally: RefTally) -> str:
    return f"{tally.mismatches:,} of {tally.checked:,}"


def _counted(unknown: Counter[str]) -> str:
    named = [f"{name} ({count:,})" for name, count in unknown.most_common(_MOST_NAMED)]
    return ", ".join(named) + (f" and {len(unknown) - _MOST_NAMED:,} more" if len(unknown) > _MOST_NAMED else "")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else shown
