"""One night: what is new in the landing folder is ingested, scored and committed, and nothing else.

    look      files that are whole and that no earlier night of this fingerprint took        landing.py
    ingest    into OUT/<fingerprint>/.nights/<key>; a file that cannot be read is set aside   variants/ingest.py
    leave out what the table holds already                                                   variants/leave_out.py
    score     the rest, as any other run does                                                run.py
    record    OUT/<fingerprint>/nights/<run_id>.json, and only now are its files taken

A night that stops leaves its folder in ``.nights``; the next one finishes it first, shard by shard, and then takes what has
come since. Were the records lost, the files would be read again and add nothing, because the table itself is looked at.
Nothing is ever taken away from the landing folder.

The pages of a night: a report on its run, and a diff against the table before, where a new fingerprint began one.

Within one fingerprint a night only adds rows, and its record counts them; a diff says something where a table stands beside
an older one. The scores are whole without their pages, so what goes wrong here is said and fails nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from raygen.cache import cache_folder
from raygen.disk_errors import disk_errors
from raygen.errors import InputError, RaygenError
from raygen.nights.landing import LandedFile, as_input, changed_since, look_at
from raygen.nights.leave_out import leave_out_scored
from raygen.number_of import number_of
from raygen.pipeline.cluster import remote_address, session
from raygen.pipeline.resolve import fingerprint_and_window
from raygen.pipeline.run import RunResult, Say, run_score
from raygen.remote import shown
from raygen.sequence.reference import Reference, staged_reference
from raygen.sequence.windows import Window
from raygen.settings import LandingSettings, Settings
from raygen.tables.fingerprints import FingerprintTables, nights_of, write_night
from raygen.tables.generations import begin
from raygen.tables.iceberg import check_catalog
from raygen.tables.layout import RunFolder
from raygen.tables.locks import night_lock
from raygen.tables.manifest import Counts, add_counts, new_run_id
from raygen.tables.place import make_folder, write_text
from raygen.tables.schemas import HAPLOTYPE_MEMBERS
from raygen.variants.alleles import AlleleReader
from raygen.variants.ingest import ingest
from raygen.variants.ingested_folder import REJECTS_FOLDER, VARIANTS_FOLDER
from raygen.variants.inputs import DeclaredColumns, InputFile, agree_on_columns, open_readers

_PLAN = "plan.json"
_CHANGED = "it changed while it was being read; the next night reads it again"


@dataclass(frozen=True)
class NightResult:
    """What a night did.

    Attributes:
        counts: of the alleles in ``files``; ``already_scored`` are those that the table held.
        run: None where nothing was left to score.
        num_rows: rows of the table after the night.
        set_aside: files that could not be read, with the reason; they are tried again by the next night.
        settling: files that may still be written, which wait.
        pages: paths of the pages, by ``report`` and ``diff``.
    """

    table: str
    fingerprint: str
    counts: Counts
    run: RunResult | None = None
    num_rows: int = 0
    files: Sequence[str] = ()
    set_aside: Mapping[str, str] = field(default_factory=dict)
    settling: Sequence[str] = ()
    pages: Mapping[str, str] = field(default_factory=dict)
    record: str | None = None


def run_nights(settings: Settings, say: Say = print) -> Iterator[NightResult]:
    """Finish a night that stopped, if there is one, then run this one; a result each.

    Raises:
        StoppedError: another night is at work, or as ``run_score``. SettingsError, InputError: as ``run_score``.
    """
    tables = FingerprintTables(str(settings.output.path))
    reference = staged_reference(str(settings.input.reference))
    with ExitStack() as exit_stack:
        if tables.local_root is None:
            exit_stack.enter_context(tables.locked())
        elif died := exit_stack.enter_context(night_lock(tables.local_root)):
            say(died)
        if remote_address(settings.cluster.address):
            exit_stack.enter_context(session(settings.cluster.address))
        night = _Night(settings, tables, reference, *fingerprint_and_window(settings), say)
        for plan in night.stopped():
            say(f"A night over {number_of(len(plan.files), 'file')} had stopped; it is finished first.")
            yield night.finish(plan)
        yield night.tonight()


@dataclass(frozen=True)
class _Plan:
    """What is known of a night once its files are ingested: enough to finish it without them."""

    folder: Path
    key: str
    wanted: str
    files: Sequence[Mapping[str, Any]]
    num_alleles: int
    num_left_out: int
    num_new: int
    rejects: Mapping[str, int]

    @property
    def new(self) -> Path:
        """What is left to score, ingested; named for the night, because object storage keeps a copy under this name."""
        return self.folder / f"new-{self.key}"

    def write(self) -> None:
        write_text(self.folder / _PLAN, json.dumps({**vars(self), "folder": None}, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> _Plan | None:
        try:
            return cls(**{**json.loads((folder / _PLAN).read_text(encoding="utf-8")), "folder": folder})
        except FileNotFoundError:
            return None


class _Night:
    """The steps of a night into one table."""

    def __init__(
        self,
        settings: Settings,
        tables: FingerprintTables,
        reference: Reference,
        fingerprint: str,
        window: Window,
        say: Say,
    ) -> None:
        self._settings, self._tables, self._reference, self._say = settings, tables, reference, say
        self._fingerprint, self._window = fingerprint, window
        self._table = tables.table(fingerprint)
        self._table.prepare()
        if self._table.local_root is not None:
            begin(self._table.local_root)
        if settings.output.table_format == "iceberg":
            check_catalog(self._table, settings.output.catalog)
        self._work = _work_folder(self._table)
        input_settings = settings.input
        depends_on = (
            reference.digest,
            input_settings.max_allele_length,
            input_settings.source_columns,
            input_settings.haplotype_column,
            *filter(None, [input_settings.table_columns]),
        )
        self._wanted = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:16]

    def stopped(self) -> list[_Plan]:
        """Nights that stopped after their files were ingested; what is left of others is taken away."""
        plans = []
        for folder in sorted(self._work.glob("*")):
            plan = _Plan.read(folder)
            if plan is None or plan.wanted != self._wanted:
                shutil.rmtree(folder)
            else:
                plans.append(plan)
        return plans

    def tonight(self) -> NightResult:
        """Score what is new in the landing folder."""
        folder = str(self._settings.landing.folder)
        earlier_files = [file for record in nights_of(self._table) for file in record["files"]]
        landing = look_at(folder, self._settings.landing.settle_seconds, earlier_files)
        self._say(
            f"{shown(folder)}: {len(landing.new):,} new, {len(landing.known):,} taken before, "
            f"{len(landing.settling):,} that may still be written"
        )
        for remark in landing.passed_over:
            self._say(remark)
        set_aside = dict(landing.unreadable)
        plan = self._prepare(folder, landing.new, set_aside)
        left_files: dict[str, Any] = {"set_aside": set_aside, "settling": landing.settling}
        if plan is None:
            return NightResult(self._table.path, self._fingerprint, Counts(), num_rows=self._num_rows(), **left_files)
        return self.finish(plan, **left_files)

    def finish(self, plan: _Plan, **left_files: Any) -> NightResult:
        """Score what a plan names, record the night, write its pages."""
        for number, path in enumerate(sorted((plan.folder / REJECTS_FOLDER).glob("part-*.parquet"))):
            self._table.commit_rejects(f"night-{plan.key}-{number:05d}", pq.read_table(path))
        run = run_score(self._of_the_night(plan), self._say) if plan.num_new else None
        counts = _counted(plan, run)
        counts.check_conservation()
        run_id = run.run_id if run else new_run_id()
        pages = write_pages(self._table.uri, run_id, self._older(), self._say) if run else {}
        result = NightResult(
            table=self._table.path,
            fingerprint=self._fingerprint,
            counts=counts,
            run=run,
            num_rows=self._num_rows(),
            files=[str(file["name"]) for file in plan.files],
            pages=pages,
            record=self._record(plan, counts, run_id),
            **left_files,
        )
        self._tables.point_to(self._fingerprint)
        shutil.rmtree(plan.folder)
        return result

    def _older(self) -> str | None:
        """The table of another fingerprint whose place this night's table takes; None where there is none."""
        now = self._tables.current()
        return self._tables.table(now.fingerprint).uri if now and now.fingerprint != self._fingerprint else None

    def _num_rows(self) -> int:
        return int(self._table.scores_dataset().count_rows())

    def _record(self, plan: _Plan, counts: Counts, run_id: str) -> str:
        return write_night(
            self._table,
            {
                "run_id": run_id,
                "ended": datetime.now(UTC).isoformat(timespec="seconds"),
                "key": plan.key,
                "fingerprint": self._fingerprint,
                "files": plan.files,
                "counts": {**vars(counts), "num_rejected": counts.num_rejected},
                "left_out": plan.num_left_out,
            },
        )

    def _of_the_night(self, plan: _Plan) -> Settings:
        """The settings of the run that scores what a night has left to score."""
        new = self._settings.input.model_copy(update={"variants": [str(plan.new)]})
        out = self._settings.output.model_copy(update={"path": self._table.uri})
        return self._settings.model_copy(update={"input": new, "output": out, "landing": LandingSettings()})

    def _prepare(self, folder: str, files: Sequence[LandedFile], set_aside: dict[str, str]) -> _Plan | None:
        """Ingest the files and leave out what is scored; None where no file is left."""
        while files:
            key = hashlib.sha256(repr((self._wanted, [file.sha256 for file in files])).encode()).hexdigest()[:16]
            work = self._work / key
            shutil.rmtree(work, ignore_errors=True)
            make_folder(work)
            try:
                ingested = self._ingest([as_input(folder, file.name) for file in files], work / "all")
            except InputError:
                faults = self._faults(folder, files, work)
                if not faults:
                    raise
            else:
                faults = dict.fromkeys(changed_since(folder, files), _CHANGED)
            if faults:
                set_aside |= faults
                files = [file for file in files if file.name not in faults]
                shutil.rmtree(work)
                continue
            for warning in ingested.warnings:
                self._say(f"warning: {warning}")
            with disk_errors(work):
                left = leave_out_scored(work / "all", work / f"new-{key}", self._scored(), self._table.filesystem)
            (work / "all" / REJECTS_FOLDER).rename(work / REJECTS_FOLDER)
            shutil.rmtree(work / "all" / VARIANTS_FOLDER)
            plain = [file.as_plain() for file in files]
            num_new = left.num_variants - left.num_left_out
            plan = _Plan(
                work, key, self._wanted, plain, ingested.num_alleles, left.num_left_out, num_new, ingested.rejects
            )
            plan.write()
            return plan
        return None

    def _ingest(self, files: Sequence[InputFile], out: Path) -> Any:
        return ingest(
            files,
            self._reference,
            out,
            max_haplotype_span=self._window.right,
            declared=DeclaredColumns(f"the scores in {self._table.path}", self._table.carried_types()),
            **self._settings.input.ingest_options,
        )

    def _faults(self, folder: str, files: Sequence[LandedFile], work: Path) -> dict[str, str]:
        """Which of the files cannot be read by themselves, and why."""
        faults = {}
        for number, file in enumerate(files):
            try:
                self._ingest([as_input(folder, file.name)], work / f"alone-{number}")
            except InputError as error:
                faults[file.name] = str(error)
            shutil.rmtree(work / f"alone-{number}", ignore_errors=True)
        return faults or self._disagreeing(folder, files)

    def _disagreeing(self, folder: str, files: Sequence[LandedFile]) -> dict[str, str]:
        """Which of the files, each of them readable, have source columns of another type than those before them."""
        faults: dict[str, str] = {}
        agreeing: list[AlleleReader] = []
        carried = [name for name in self._settings.input.carried_columns if name != HAPLOTYPE_MEMBERS]
        for file in files:
            readers = [*agreeing, *open_readers([as_input(folder, file.name)], self._settings.input.table_columns)]
            present = [name for name in carried if any(name in reader.columns for reader in readers)]
            try:
                agree_on_columns(readers, present)
            except InputError as error:
                faults[file.name] = str(error)
            else:
                agreeing = readers
        return faults

    def _scored(self) -> dict[str | None, list[str]]:
        paths_by_contig: dict[str | None, list[str]] = {}
        for file in self._table.score_files():
            paths_by_contig.setdefault(file.chrom, []).append(file.path)
        return paths_by_contig


def _work_folder(table: RunFolder) -> Path:
    """Where unfinished nights lie: beside the scores, or with what is ingested for a table on object storage, which workers
    elsewhere read from a copy there.
    """
    if table.local_root is not None:
        return table.local_root / ".nights"
    return cache_folder("ingest", "nights", hashlib.sha256(table.uri.encode()).hexdigest()[:16])


def _counted(plan: _Plan, run: RunResult | None) -> Counts:
    """The alleles of the landing files: those of the run, and what never came to it."""
    counts = Counts(alleles_in=plan.num_alleles, already_scored=plan.num_left_out, rejected=dict(plan.rejects))
    if run:
        counts.scored = run.counts.scored
        counts.already_scored += run.counts.already_scored
        counts.prescored = run.counts.prescored
        counts.abstained = run.counts.abstained
        counts.classes, counts.flags = dict(run.counts.classes), dict(run.counts.flags)
        add_counts(counts.rejected, run.counts.rejected)
    return counts


def write_pages(table: str, run_id: str, older: str | None, say: Callable[[str], None]) -> dict[str, str]:
    """Write the pages of a night and return their paths by ``report`` and ``diff``.

    Args:
        older: the table of the fingerprint before, if there is one.
    """
    pages = {}
    writers: list[tuple[str, Callable[[], str]]] = [("report", lambda: _report(table, run_id))]
    if older:
        writers.append(("diff", lambda: _diff(older, table, run_id)))
    for name, write in writers:
        try:
            pages[name] = write()
        except (RaygenError, OSError, ValueError) as error:
            say(f"warning: the {name} of the night was not written: {error}")
    return pages


def _report(table: str, run_id: str) -> str:
    from raygen.pages.report import write_report

    return write_report(table, run_id)


def _diff(older: str, table: str, run_id: str) -> str:
    from raygen.finished.diff import compare_scores
    from raygen.pages.diff_page import as_page

    return RunFolder(table).write_run_file(run_id, "diff.html", as_page(compare_scores(older, table)).encode())
