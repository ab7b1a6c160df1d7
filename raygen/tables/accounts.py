"""What manifests of runs and records of nights say is in a table, held against what is there: conservation after the fact.

In: manifests, records of nights, rows by run, names of committed shards, rejects by file. Out: sentences about what is missing.

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
from raygen.tables.schemas import Reason

DONE, ROLLED_BACK = "done", "rolled back"
RECLASSIFIED = "reclassified"
"""``kind`` of a copy with other classes: its rows keep the runs that scored them, which are elsewhere."""
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
        """Whether its numbers are its last word, and hold."""
        return self.status == DONE

    @property
    def is_copy(self) -> bool:
        """Whether it copied rows and scored none."""
        return self.manifest.get("kind") == RECLASSIFIED

    @property
    def digest(self) -> str | None:
        """Of the input's content."""
        return (self.manifest.get("input") or {}).get("digest")

    @property
    def shards(self) -> tuple[str, int] | None:
        """The stem of the input's shards and their number, where the manifest says them."""
        given = self.manifest.get("input") or {}
        return (given["stem"], given["num_shards"]) if {"stem", "num_shards"} <= given.keys() else None

    @property
    def vcf_names(self) -> frozenset[str]:
        """Names of the input's files, where all are VCF files: then rejects say which of them they came from."""
        given = (self.manifest.get("settings") or {}).get("input") or {}
        paths = given.get("variants") or []
        names = frozenset(str(path).partition("?")[0].rpartition("/")[2] for path in paths)
        return names if names and all(name.endswith(_VCF) for name in names) else frozenset()

    def uneven(self) -> str | None:
        """The sentence where what came out is not what went in."""
        out = self.scored + self.already_scored + sum(self.rejected.values())
        return None if out == self.alleles_in else f"{self.alleles_in:,} alleles went in, {out:,} came out"


def read_account(name: str, content: bytes) -> Account | str:
    """What a manifest or a night's record says, or what is wrong with it."""
    try:
        said = json.loads(content)
    except ValueError:
        return "is not JSON"
    try:
        counts = said["counts"]
        alleles_in, scored, already = (int(counts[key]) for key in ("alleles_in", "scored", "already_scored"))
        rejected = {str(reason): int(number) for reason, number in counts["rejected"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return "does not say what came of the input (counts), so nothing can be checked against it"
    if not all(isinstance(said.get(part) or {}, dict) for part in ("input", "settings")):
        return "does not say what went in (input, settings), so nothing can be checked against it"
    return Account(name, str(said.get("status", DONE)), alleles_in, scored, already, rejected, said)


@dataclass
class Shards:
    """The committed shards of a table, and the runs whose rows lie in the shards of one stem: one input's, in one size."""

    names: set[str] = field(default_factory=set)
    runs_of_stem: dict[str, set[str]] = field(default_factory=dict)

    def add(self, by_run: Mapping[str, Sequence[str]]) -> None:
        """The shards of a file by the run that wrote them; those without rows under an empty name."""
        for run, names in by_run.items():
            self.names.update(names)
            for name in names:
                if run and (parts := _SHARD.fullmatch(name)):
                    self.runs_of_stem.setdefault(parts[1], set()).add(run)


class Accounts:
    """The accounts of a table's runs, and what is there to compare them with."""

    def __init__(
        self,
        runs: Mapping[str, Account],
        rows_of: Mapping[str, int],
        shards: Shards,
        rejects: Mapping[RejectsIn, Counter[str]],
    ) -> None:
        self._runs, self._rows_of, self._shards, self._rejects = runs, rows_of, shards, rejects
        self._ended = [run for _, run in sorted(runs.items()) if run.ended]

    def faults(self) -> Iterator[tuple[str, str]]:
        """Where something is missing or too much, and what."""
        for name, run in self._runs.items():
            yield from ((f"run {name}", what) for what in self._of_run(run))
        told: set[str | None] = set()
        for run in self._ended:
            if run.digest not in told and (what := self._missing_rows(run)):
                told.add(run.digest)
                yield f"run {run.name}", what
        yield from self._gaps()

    def of_night(self, night: Account) -> Iterator[str]:
        """What a night's record counts and what its files of rejects hold; rows that could not be scored are its run's."""
        if what := night.uneven():
            yield what
        key = night.manifest.get("key")
        there = self._count(lambda one: key is None or one.file.startswith(f"night-{key}-"))
        yield from _too_few("its record", {**night.rejected, _FAILED: 0}, there)

    def _of_run(self, run: Account) -> Iterator[str]:
        rows = self._rows_of.get(run.name, 0)
        if run.status == ROLLED_BACK and rows:
            yield f"was rolled back, but {number_of(rows, 'row')} of it are there"
        if not run.ended:
            return  # its manifest was written before its last rows were
        if what := run.uneven():
            yield what
        if run.is_copy:  # a later one may have copied more
            rows = min(sum(self._rows_of.values()), run.scored)
        if rows != run.scored:
            yield f"its manifest counts {run.scored:,} scored rows, there are {rows:,}"
        yield from self._missing_rejects(run)

    def _missing_rows(self, run: Account) -> str | None:
        """Rows that were there when the run ended. Of another run that ended its own count is taken: where rows of that one are
        missing it is said there.
        """
        if run.is_copy:
            return None
        until = [one for name, one in self._runs.items() if _not_after(name, run.name) and one.status != ROLLED_BACK]
        unknown = [name for name in self._rows_of if name not in self._runs and _not_after(name, run.name)]
        there = sum(one.scored if one.ended else self._rows_of.get(one.name, 0) for one in until)
        there += sum(self._rows_of[name] for name in unknown)
        expected = run.scored + run.already_scored
        if there >= expected:
            return None
        return (
            f"when it ended the table held {number_of(expected, 'row')} of its input ({run.scored:,} scored by it, "
            f"{run.already_scored:,} before it); of all runs until then there are {there:,}"
        )

    def _gaps(self) -> Iterator[tuple[str, str]]:
        """Of the shards that runs which ended say there are; where they do not say it, up to the last that is there."""
        said = dict(run.shards for run in self._ended if run.shards and not run.is_copy)
        for stem in sorted({*said, *filter(self._is_whole, self._shards.runs_of_stem)}):
            numbers = {int(name[-6:]) for name in self._shards.names if name.startswith(f"{stem}-")}
            most = said.get(stem, max(numbers, default=-1) + 1)
            missing = [f"{stem}-{number:06d}" for number in range(most) if number not in numbers]
            if missing:
                shown = ", ".join(missing[:_SHOWN])
                least = "" if stem in said else "at least "
                yield f"shards {stem}", f"{len(missing):,} of {least}{most:,} are missing ({shown})"

    def _is_whole(self, stem: str) -> bool:
        """Whether a run ended over the shards of this stem: it wrote into them, or its input has no others."""
        runs = self._shards.runs_of_stem[stem]
        if any(run.name in runs for run in self._ended):
            return True
        digests = self._digests(stem)
        others = [one for one in self._shards.runs_of_stem if one != stem and self._digests(one) & digests]
        return not others and any(run.digest in digests for run in self._ended)

    def _digests(self, stem: str) -> set[str]:
        runs = [self._runs[name] for name in self._shards.runs_of_stem[stem] if name in self._runs]
        return {run.digest for run in runs if run.digest is not None}

    def _missing_rejects(self, run: Account) -> Iterator[str]:
        """Rejects of the input lie in files of their own, and name its file; rows that failed lie beside its shards."""
        names = run.vcf_names

        def of_input(one: RejectsIn) -> bool:
            return run.is_copy or not names or (not one.file.startswith("night-") and _base(one.source) in names)

        there = self._count(of_input)
        there[_FAILED] = self._count(lambda one: not self._of_other_input(one.file, run))[_FAILED]
        yield from _too_few("its manifest", run.rejected, there)

    def _of_other_input(self, file: str, run: Account) -> bool:
        parts = _SHARD.fullmatch(file)
        digests = self._digests(parts[1]) if parts and parts[1] in self._shards.runs_of_stem else set()
        return run.digest is not None and bool(digests) and run.digest not in digests

    def _count(self, wanted: Callable[[RejectsIn], bool]) -> Counter[str]:
        found: Counter[str] = Counter()
        for one, reasons in self._rejects.items():
            if wanted(one):
                found.update(reasons)
        return found


def _too_few(who: str, counted: Mapping[str, int], there: Mapping[str, int]) -> Iterator[str]:
    for reason, number in counted.items():
        if there.get(reason, 0) < number:
            yield f"{who} counts {number_of(number, 'reject')} {reason}, there are {there.get(reason, 0):,}"


def _base(source: str) -> str:
    return source.rpartition("/")[2]


def _not_after(run: str, other: str) -> bool:
    """Runs of one second are taken for one time: what follows the time in a name is chance."""
    return run.partition("-")[0] <= other.partition("-")[0]
