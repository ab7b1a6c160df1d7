"""``raygen background``: what a score is ranked against, from finished scores.

In: position tables, folders of runs and backgrounds made before, all of one fingerprint. Out: a background. Rows are read a window at a time, so
memory does not grow with their number. Rows in which WT and MUT are the same sequence say nothing and are left out.

Shapes: R rows of scores, or bases of a position table
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from raygen.classes.background import Background, BackgroundFacts, added_backgrounds, snv_contexts
from raygen.classes.background_file import read_background
from raygen.classes.contexts import ContextSums, context_codes
from raygen.classes.score_counts import MOST_PENDING, CountsBuilder
from raygen.classes.variant_groups import SNV, rows_by_group, variant_groups
from raygen.errors import InputError, RaygenError, SettingsError
from raygen.finished.run_facts import RunFacts, TableByPlace, run_facts
from raygen.finished.score_lookup import reference_for
from raygen.number_of import number_of
from raygen.remote import exists, is_remote, kind_of
from raygen.sequence.reference import Reference, staged_reference
from raygen.tables.columns import flat_column, has_item
from raygen.tables.folder_kinds import holds_positions
from raygen.tables.position_rows import PositionRows
from raygen.tables.position_table import BASES, delta_columns, deltas_of
from raygen.tables.score_index import LAST_POS, ScoreIndex
from raygen.variants.region_kinds import ELSEWHERE, RegionKinds, read_region_kinds, read_regions
from raygen.version import __version__

ALL = "all"
"""``neutral`` where every single-base change serves for one that matters to nobody."""
MOST_GROUPS = 1000
USUAL_RANK_ERROR, FEW = 1e-4, 10
_ROWS_AT_ONCE = 1 << 20
_SAME = "same_sequence"


@dataclass(frozen=True)
class BackgroundRequest:
    """What a background is made of; the names are those of the options.

    Attributes:
        sources: position tables, folders of runs, files of backgrounds.
        by: a column of runs by which variants are grouped besides.
        kinds: a BED file whose fourth column is the kind of a region, by which they are grouped besides.
        regions: a BED file; what lies elsewhere does not count.
        neutral: where context is learnt from: a BED file, ``all``, or ``COLUMN=VALUE`` of runs (several values with commas).
        reference: the FASTA of the scores, where the runs' manifests do not say where it is.
    """

    sources: Sequence[str]
    by: str | None = None
    kinds: str | None = None
    regions: str | None = None
    neutral: str | None = None
    reference: str | None = None


@dataclass
class MadeBackground:
    """A background, and sentences about how it was made."""

    background: Background
    remarks: list[str] = field(default_factory=list)


def make_background(request: BackgroundRequest, on_progress: Callable[[int], None] | None = None) -> MadeBackground:
    """Make a background.

    Args:
        on_progress: is told how many scores were counted since it was last.

    Raises:
        InputError: a source has no scores in the regions, they are all one number, or a file cannot be read.
        SettingsError: the sources do not belong together, or lack what the request names.
    """
    remarks: list[str] = []
    are_files = [kind_of(source) == fs.FileType.File for source in request.sources]
    _refuse_repeats(request.sources)
    _refuse_options_of_files(request, are_files)
    made = [
        read_background(source) if is_file else _of_table(source, request, remarks, on_progress)
        for source, is_file in zip(request.sources, are_files, strict=True)
    ]
    background = added_backgrounds(made, request.sources)
    _refuse_nothing_to_rank(background)
    if background.every.rank_error > max(USUAL_RANK_ERROR, FEW / background.every.num_scores):
        remarks.append(
            f"one step of the counts holds {background.every.rank_error:.2%} of the scores: a percentile can be too large by as much "
            "where they are not all equal there."
        )
    if background.contexts and not background.contexts.num_changes:
        raise InputError(
            f"No single-base change is among the neutral ones ({request.neutral}): there is nothing to learn context from."
        )
    return MadeBackground(background, list(dict.fromkeys(remarks)))


def refuse_unreadable_regions(reference: str, kinds: str | None, neutral: str | None) -> None:
    """InputError where a BED file cannot be read or is not of the reference: said before what takes long."""
    fasta = staged_reference(reference)
    if kinds:
        read_region_kinds(kinds, fasta)
    if neutral:
        read_regions(neutral, fasta, "neutral")


def _refuse_repeats(sources: Sequence[str]) -> None:
    paths = [source if is_remote(source) else str(Path(source).resolve()) for source in sources]
    if repeated := next((source for number, source in enumerate(sources) if paths[number] in paths[:number]), None):
        raise SettingsError(f"{repeated} is given twice: its scores would count twice.")


def _refuse_options_of_files(request: BackgroundRequest, are_files: Sequence[bool]) -> None:
    """SettingsError where a background that is made already is to be made in another way."""
    options = {
        "--by": request.by,
        "--kinds": request.kinds,
        "--regions": request.regions,
        "--neutral": request.neutral,
        "--reference": request.reference,
    }
    named = [name for name, value in options.items() if value]
    if named and any(are_files):
        source = request.sources[are_files.index(True)]
        raise SettingsError(
            f"{source} is a background that is made already: {', '.join(named)} is for tables and runs. Leave one of them out."
        )


def _refuse_nothing_to_rank(background: Background) -> None:
    every = background.every
    if len(every.steps) == 1:
        value = every.score_at(1.0)
        raise InputError(
            f"All {number_of(every.num_scores, 'score')} are about {value:.4g}: nothing can be ranked against one value."
        )


def _of_table(
    source: str, request: BackgroundRequest, remarks: list[str], on_progress: Callable[[int], None] | None
) -> Background:
    table: TableByPlace = PositionRows(source) if holds_positions(source) else ScoreIndex(source)
    facts = run_facts(table)
    reference = _reference(table, facts, request)
    counting = _Counting(table, facts, request, reference, remarks)
    for num_counted in counting.count():
        if on_progress:
            on_progress(num_counted)
    return counting.background()


class _Counting:
    """Counts the scores of one table."""

    def __init__(
        self,
        table: TableByPlace,
        facts: RunFacts,
        request: BackgroundRequest,
        reference: Reference | None,
        remarks: list[str],
    ) -> None:
        self._table, self._facts, self._request, self._reference = table, facts, request, reference
        self._is_positions = isinstance(table, PositionRows)
        self._refuse_unknown_column(request.by, "--by")
        self._builders: dict[str, CountsBuilder] = defaultdict(CountsBuilder)
        self._contexts = ContextSums.sum_of([])
        self._num_by_group: Counter[str] = Counter()
        self._num_same = 0
        self._kinds, self._regions = self._read(read_region_kinds, request.kinds, remarks), None
        if request.regions:
            self._regions = self._read(lambda path, of: read_regions(path, of, "region"), request.regions, remarks)
        self._neutral_column, self._neutral_values = self._neutral_rows(request.neutral)
        self._neutral: RegionKinds | None = None
        if request.neutral and request.neutral != ALL and not self._neutral_column:
            self._neutral = self._read(lambda path, of: read_regions(path, of, "neutral"), request.neutral, remarks)
        self._remarks = remarks

    def count(self) -> Iterator[int]:
        """Count all scores in the regions; says after each window how many it held."""
        for chrom in self._table.contigs:
            stretches = self._stretches(chrom)
            if not stretches:
                continue
            starts, ends = (np.array(side) for side in zip(*stretches, strict=True))
            for first, last in self._table.windows(chrom, _ROWS_AT_ONCE, int(starts[0]), int(ends[-1])):
                if np.searchsorted(starts, last, side="right") > np.searchsorted(ends, first, side="left"):
                    yield (
                        self._count_bases(chrom, first, last)
                        if self._is_positions
                        else self._count_rows(chrom, first, last)
                    )
                    self._settle()

    def _settle(self) -> None:
        """Add up what waits in all groups, where that is much."""
        if sum(builder.num_pending for builder in self._builders.values()) > MOST_PENDING:
            for builder in self._builders.values():
                builder.counts()

    def background(self) -> Background:
        """What was counted.

        Raises:
            InputError: nothing was.
        """
        num_scores = sum(self._num_by_group.values())
        if not num_scores:
            where = f" in {self._request.regions}" if self._request.regions else ""
            raise InputError(f"{self._table.path} has no scores{where}.")
        if self._num_same:
            self._remarks.append(f"{number_of(self._num_same, 'row')} with the same WT and MUT left out.")
        reference = self._reference
        return Background(
            BackgroundFacts(
                raygen=__version__,
                fingerprint=self._facts.fingerprint,
                model=self._facts.model,
                reference_digest=self._table.identity.reference_digest,
                contig_lengths=dict(reference.lengths) if reference else {},
                circular=tuple(name for name in self._circular if self._request.neutral),
                group_column=self._request.by,
                neutral=self._neutral_in_words(),
                sources=(f"{Path(self._table.path).name}: {number_of(num_scores, 'score')}",),
                runs=self._facts.runs,
            ),
            {name: builder.counts() for name, builder in sorted(self._builders.items())},
            self._contexts if self._request.neutral else None,
            self._kinds,
        )

    @cached_property
    def _circular(self) -> tuple[str, ...]:
        manifests = self._table.folder.manifests()
        return tuple((manifests[-1].get("resolved") or {}).get("circular") or ()) if manifests else ()

    def _stretches(self, chrom: str | None) -> list[tuple[int, int]]:
        if self._regions is None:
            return [(1, LAST_POS)]
        return self._regions.stretches(chrom) if chrom else []

    def _count_rows(self, chrom: str | None, first: int, last: int) -> int:
        more = [name for name in (self._request.by, self._neutral_column) if name]
        columns = list(dict.fromkeys(["chrom", "pos", "ref", "alt", "delta_llr", "flags", *more]))
        rows = self._table.rows_between(chrom, first, last, columns)
        rows = rows.filter(pa.array(self._is_in_regions(chrom, rows["pos"])))
        is_same = has_item(rows["flags"], _SAME)
        self._num_same += int(is_same.sum())
        rows = rows.filter(pa.array(~is_same)).combine_chunks()
        deltas = rows["delta_llr"].to_numpy()
        names, group = variant_groups(rows, rows[self._request.by] if self._request.by else None, self._kinds)
        for name, of_group in rows_by_group(names, group):
            self._add(name, deltas[of_group])
        if self._request.neutral and self._reference and chrom:
            codes = snv_contexts(rows, self._reference.bases, self._circular)
            is_neutral = self._is_neutral(chrom, rows["pos"].to_numpy())
            if self._neutral_column:
                values = flat_column(rows[self._neutral_column]).cast(pa.string())
                is_neutral = pc.fill_null(pc.is_in(values, value_set=pa.array(self._neutral_values)), False)
                is_neutral = np.asarray(is_neutral.to_pylist(), bool)
            self._learn(codes[is_neutral], deltas[is_neutral])
        return len(deltas)

    def _count_bases(self, chrom: str | None, first: int, last: int) -> int:
        assert chrom is not None
        rows = self._table.rows_between(chrom, first, last, ["pos", *delta_columns(both_strands=False)])
        rows = rows.filter(pa.array(self._is_in_regions(chrom, rows["pos"])))
        pos, deltas = rows["pos"].to_numpy(), deltas_of(rows)
        is_change = ~np.isnan(deltas)
        if self._kinds is None:
            self._add(SNV, deltas[is_change])
        else:
            for name, of_kind in rows_by_group(self._kinds.names, self._kinds.at(chrom, pos)):
                self._add(f"{SNV}, {name}", deltas[of_kind][is_change[of_kind]])
        if self._request.neutral and self._reference:
            self._add_contexts(self._reference.bases(chrom), chrom, pos, deltas)
        return int(is_change.sum())

    def _add_contexts(self, bases: np.ndarray, chrom: str, pos: np.ndarray, deltas: np.ndarray) -> None:
        is_neutral = self._is_neutral(chrom, pos)
        pos, deltas = pos[is_neutral], deltas[is_neutral]
        for column, base in enumerate(BASES):
            codes = context_codes(bases, pos, np.full(len(pos), ord(base), np.uint8), chrom in self._circular)
            is_change = ~np.isnan(deltas[:, column])
            self._learn(codes[is_change], deltas[is_change, column])

    def _learn(self, codes: np.ndarray, deltas: np.ndarray) -> None:
        self._contexts = ContextSums.sum_of([self._contexts, ContextSums.of(codes, deltas)])

    def _is_in_regions(self, chrom: str | None, pos: pa.ChunkedArray) -> np.ndarray:
        if self._regions is None:
            return np.ones(len(pos), bool)
        return self._regions.at(chrom, pos.to_numpy()) != self._regions.names.index(ELSEWHERE)

    def _is_neutral(self, chrom: str, pos: np.ndarray) -> np.ndarray:
        if self._neutral is None:
            return np.ones(len(pos), bool)
        return self._neutral.at(chrom, pos) != self._neutral.names.index(ELSEWHERE)

    def _add(self, group: str, deltas: np.ndarray) -> None:
        self._builders[group].add(deltas)
        self._num_by_group[group] += len(deltas)
        if len(self._builders) > MOST_GROUPS:
            raise SettingsError(
                f"--by {self._request.by}: more than {MOST_GROUPS:,} groups of variants. Take a column with fewer values, such as the consequence."
            )

    def _refuse_unknown_column(self, name: str | None, option: str) -> None:
        if name is None:
            return
        if self._is_positions:
            raise SettingsError(
                f"{option} {name}: {self._table.path} is a position table, which has no columns of variants. Use --kinds, a BED."
            )
        if name not in self._carried:
            raise SettingsError(
                f"{option} {name}: {self._table.path} has no such column of its variants; it has {', '.join(self._carried) or 'none'}."
            )

    @property
    def _carried(self) -> list[str]:
        return self._table.identity.source_columns.split(", ") if self._table.identity.source_columns else []

    def _neutral_rows(self, neutral: str | None) -> tuple[str | None, list[str]]:
        """The column and the values that say which rows are neutral, where it is written so."""
        name, equals, values = (neutral or "").partition("=")
        if not equals or (name not in self._carried and ("/" in name or exists(str(neutral)[:200]))):
            return None, []
        self._refuse_unknown_column(name, "--neutral")
        return name, values.split(",")

    def _neutral_in_words(self) -> str | None:
        neutral = self._request.neutral
        if not neutral:
            return None
        if neutral == ALL:
            return "all changes of the background"
        if self._neutral_column:
            return neutral
        return f"{Path(neutral).name} (SHA-256 {hashlib.sha256(Path(neutral).read_bytes()).hexdigest()[:8]})"

    def _read(
        self,
        reader: Callable[[str, Reference], tuple[RegionKinds, list[str]]],
        path: str | None,
        remarks: list[str],
    ) -> RegionKinds | None:
        if path is None:
            return None
        assert self._reference is not None
        kinds, said = reader(path, self._reference)
        remarks += said
        return kinds


def _reference(table: TableByPlace, facts: RunFacts, request: BackgroundRequest) -> Reference | None:
    """The FASTA of a table's scores; None where it is not at hand and nothing needs it.

    Raises:
        SettingsError: pairs lie on no contig.
        InputError: as ``reference_for``, where it is needed or named.
    """
    needing = [name for name in ("kinds", "regions", "neutral") if getattr(request, name)]
    if needing and list(table.contigs) == [None]:
        raise SettingsError(f"{table.path} holds scores of pairs, which lie on no contig: leave out --{needing[0]}.")
    if request.reference or needing:
        return reference_for(table, facts, request.reference)
    if is_remote(facts.reference):
        return None
    try:
        return reference_for(table, facts, None)
    except RaygenError:
        return None
