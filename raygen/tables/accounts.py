"""What manifests of runs and records of nights say is in a table, held against what is there: conservation after the fact.

In: manifests, records of nights, rows by run (of a position table the single-base changes in them, which its manifests count), names of
committed shards, rejects by file. Out: sentences about what is missing.

A run that ended says how many rows of its input the table then held, those of earlier runs included: scored + already scored.
Runs that were killed or stopped never came to count their own rows, so the next run over the same input is what vouches
for them, in two ways: its sum, and the names of its shards, which are numbered from 0 without a gap. Rows of other inputs can
hide a loss from the sum, never a gap from the numbers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from raygen.number_of import number_of
from raygen.tables.schemas import COUNTED_ONLY, Reason

DONE, ROLLED_BACK = "done", "rolled back"
RECLASSIFIED = "reclassified"
"""``kind`` in the manifest of a copy with other classes: its rows keep the runs that scored them elsewhere."""
_SHARD = re.compile(r"([0-9a-f]{12})-(\d{6})")
_VCF = (".vcf", ".vcf.gz", ".vcf.bgz", ".bcf")
_FAILED = Reason.SCORING_FAILED.value
_SHOWN = 3


class RejectsIn(NamedTuple):
    """Where rejects lie: the name of their file in ``rejects/``, and the file they came from."""

    file: str
    source: str


@dataclass(frozen=True)
class Account:
    """What a run or a night says came of its input."""

    name: str
    status: str
    alleles_in: int
    scored: int
    already_scored: int
    rejected: Mapping[str, int]
    manifest: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the run or night ended, so that its counts are final."""
        return self.status == DONE

    @property
    def is_copy(self) -> bool:
        """Whether the run copied the rows of another folder and scored none."""
        return self.manifest.get("kind") == RECLASSIFIED

    @property
    def digest(self) -> str | None:
        """The digest of the input's content; None where the manifest does not say it."""
        return (self.manifest.get("input") or {}).get("digest")

    @property
    def shards(self) -> tuple[str, int] | None:
        """The stem of the names of the input's shards, and their number; None where the manifest does not say it."""
        input_entry = self.manifest.get("input") or {}
        return (
            (input_entry["stem"], input_entry["num_shards"]) if {"stem", "num_shards"} <= input_entry.keys() else None
        )

    @property
    def vcf_names(self) -> frozenset[str]:
        """Names of the input's files, where all are VCF files: then rejects say which of them they came from."""
        input_settings = (self.manifest.get("settings") or {}).get("input") or {}
        paths = input_settings.get("variants") or []
        names = frozenset(str(path).partition("?")[0].rpartition("/")[2] for path in paths)
        return names if names and all(name.endswith(_VCF) for name in names) else frozenset()

    def uneven(self) -> str | None:
        """A sentence where the alleles that came out are not as many as went in; None where they are."""
        out = self.scored + self.already_scored + sum(self.rejected.values())
        return None if out == self.alleles_in else f"{self.alleles_in:,} alleles went in, {out:,} came out"


def read_account(name: str, content: bytes) -> Account | str:
    """The account that a manifest or a night's record gives, or what is wrong with it as the end of a sentence."""
    try:
        manifest = json.loads(content)
    except ValueError:
        return "is not JSON"
    try:
        counts = manifest["counts"]
        alleles_in, scored, already = (int(counts[key]) for key in ("alleles_in", "scored", "already_scored"))
        rejected = {str(reason): int(number) for reason, number in counts["rejected"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return "does not say what came of the input (counts), so nothing can be checked against it"
    if not all(isinstance(manifest.get(part) or {}, dict) for part in ("input", "settings")):
        return "does not say what went in (input, settings), so nothing can be checked against it"
    return Account(name, str(manifest.get("status", DONE)), alleles_in, scored, already, rejected, manifest)


@dataclass
class Shards:
    """The committed shards of a table, and the runs whose rows lie in the shards of one stem: one input's, in one size."""

    names: set[str] = field(default_factory=set)
    runs_of_stem: dict[str, set[str]] = field(default_factory=dict)

    def add(self, by_run: Mapping[str, Sequence[str]]) -> None:
        """Take in the shards of one file by the run that wrote them; under an empty name those of which it is not
        known.
        """
        for run, names in by_run.items():
            self.names.update(names)
            for name in names:
                if run and (parts := _SHARD.fullmatch(name)):
                    self.runs_of_stem.setdefault(parts[1], set()).add(run)


class Accounts:
    """The accounts of a table's runs, and the rows, shards and rejects in the table to compare them with; ``unit`` is what they
    count.
    """

    def __init__(
        self,
        runs: Mapping[str, Account],
        rows_of: Mapping[str, int],
        shards: Shards,
        rejects: Mapping[RejectsIn, Counter[str]],
        unit: str = "row",
    ) -> None:
        self._runs, self._rows_of, self._shards, self._rejects = runs, rows_of, shards, rejects
        self._unit = unit
        self._ended = [run for _, run in sorted(runs.items()) if run.ended]

    def faults(self) -> Iterator[tuple[str, str]]:
        """Each fault of rows, shards or rejects: the run or the shards it is about, and a sentence."""
        for name, run in self._runs.items():
            yield from ((f"run {name}", fault) for fault in self._of_run(run))
        reported_digests: set[str | None] = set()
        for run in self._ended:
            if run.digest not in reported_digests and (missing := self._missing_rows(run)):
                reported_digests.add(run.digest)
                yield f"run {run.name}", missing
        yield from self._gaps()

    def of_night(self, night: Account) -> Iterator[str]:
        """Sentences where a night's record does not add up or counts more rejects than its files hold; rows that
        could not be scored are counted by the night's run.
        """
        if uneven := night.uneven():
            yield uneven
        key = night.manifest.get("key")
        in_files = self._count(lambda origin: key is None or origin.file.startswith(f"night-{key}-"))
        yield from _too_few("its record", {**night.rejected, _FAILED: 0}, in_files)

    def _of_run(self, run: Account) -> Iterator[str]:
        rows = self._rows_of.get(run.name, 0)
        if run.status == ROLLED_BACK and rows:
            yield f"was rolled back, but {number_of(rows, self._unit)} of it are there"
        if not run.ended:
            return  # its manifest was written before its last rows were
        if uneven := run.uneven():
            yield uneven
        if run.is_copy:  # a later one may have copied more
            rows = min(sum(self._rows_of.values()), run.scored)
        if rows != run.scored:
            yield f"its manifest counts {run.scored:,} scored {self._unit}s, there are {rows:,}"
        yield from self._missing_rejects(run)

    def _missing_rows(self, run: Account) -> str | None:
        """A sentence where the table lacks rows that it held when the run ended. Another run that ended is taken at
        its own count: where rows of that one are missing, its own sentence says it.
        """
        if run.is_copy:
            return None
        earlier_runs = [
            earlier
            for name, earlier in self._runs.items()
            if _not_after(name, run.name) and earlier.status != ROLLED_BACK
        ]
        unknown = [name for name in self._rows_of if name not in self._runs and _not_after(name, run.name)]
        rows_in_table = sum(
            earlier.scored if earlier.ended else self._rows_of.get(earlier.name, 0) for earlier in earlier_runs
        )
        rows_in_table += sum(self._rows_of[name] for name in unknown)
        expected = run.scored + run.already_scored
        if rows_in_table >= expected:
            return None
        return (
            f"when it ended the table held {number_of(expected, self._unit)} of its input ({run.scored:,} scored by it, "
            f"{run.already_scored:,} before it); of all runs until then there are {rows_in_table:,}"
        )

    def _gaps(self) -> Iterator[tuple[str, str]]:
        """The numbers that are missing among an input's shards, where a run over it ended: of as many as its manifest
        says, else up to the last shard in the table.
        """
        num_shards_of_stem = dict(run.shards for run in self._ended if run.shards and not run.is_copy)
        for stem in sorted({*num_shards_of_stem, *filter(self._is_whole, self._shards.runs_of_stem)}):
            numbers = {int(name[-6:]) for name in self._shards.names if name.startswith(f"{stem}-")}
            most = num_shards_of_stem.get(stem, max(numbers, default=-1) + 1)
            missing = [f"{stem}-{number:06d}" for number in range(most) if number not in numbers]
            if missing:
                shown = ", ".join(missing[:_SHOWN])
                least = "" if stem in num_shards_of_stem else "at least "
                yield f"shards {stem}", f"{len(missing):,} of {least}{most:,} are missing ({shown})"

    def _is_whole(self, stem: str) -> bool:
        """Whether a run ended over the shards of this stem: it wrote into them, or its input has no others."""
        runs = self._shards.runs_of_stem[stem]
        if any(run.name in runs for run in self._ended):
            return True
        digests = self._digests(stem)
        others = [
            other_stem
            for other_stem in self._shards.runs_of_stem
            if other_stem != stem and self._digests(other_stem) & digests
        ]
        return not others and any(run.digest in digests for run in self._ended)

    def _digests(self, stem: str) -> set[str]:
        runs = [self._runs[name] for name in self._shards.runs_of_stem[stem] if name in self._runs]
        return {run.digest for run in runs if run.digest is not None}

    def _missing_rejects(self, run: Account) -> Iterator[str]:
        """Sentences where a run's manifest counts more rejects than files hold. Those of the input lie in files of
        their own and name its file; rows that could not be scored lie beside its shards.
        """
        names = run.vcf_names

        def of_input(origin: RejectsIn) -> bool:
            return run.is_copy or not names or (not origin.file.startswith("night-") and _base(origin.source) in names)

        in_files = self._count(of_input)
        in_files[_FAILED] = self._count(lambda origin: not self._of_other_input(origin.file, run))[_FAILED]
        yield from _too_few("its manifest", run.rejected, in_files)

    def _of_other_input(self, file: str, run: Account) -> bool:
        parts = _SHARD.fullmatch(file)
        digests = self._digests(parts[1]) if parts and parts[1] in self._shards.runs_of_stem else set()
        return run.digest is not None and bool(digests) and run.digest not in digests

    def _count(self, is_counted: Callable[[RejectsIn], bool]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for origin, reasons in self._rejects.items():
            if is_counted(origin):
                counts.update(reasons)
        return counts


def _too_few(who: str, counted: Mapping[str, int], in_files: Mapping[str, int]) -> Iterator[str]:
    for reason, number in counted.items():
        if reason not in COUNTED_ONLY and in_files.get(reason, 0) < number:
            yield f"{who} counts {number_of(number, 'reject')} {reason}, there are {in_files.get(reason, 0):,}"


def _base(source: str) -> str:
    return source.rpartition("/")[2]


def _not_after(run: str, other: str) -> bool:
    """Whether a run began no later than another, to the second: what follows the second in a name is chance."""
    return run.partition("-")[0] <= other.partition("-")[0]
