"""One run from settings to a finished folder: check, ingest, score what is left, account for every allele."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raygen.errors import Interrupted, RaygenError, RunInterrupted, StoppedError
from raygen.number_of import number_of
from raygen.pipeline.actor_scorer import ResidentScorer
from raygen.pipeline.cluster import ActorPlan, in_our_words, plan_actors, remote_address, resources, session
from raygen.pipeline.intake import source_types, take_input, where_workers_read
from raygen.pipeline.job import ActorScorer, Job
from raygen.pipeline.pieces import Kept, forget_all, kept_in_pieces
from raygen.pipeline.progress import RunProgress, in_a_thread
from raygen.pipeline.record import FailureLimit, RunRecord
from raygen.pipeline.resolve import Resolved, resolve
from raygen.pipeline.shards import Shard, ShardToScore, plan_shards
from raygen.pipeline.stages import ShardSummary
from raygen.scoring.plan import strands_read
from raygen.sequence.reference import Reference
from raygen.settings import Settings
from raygen.tables.carried_types import types_as_text
from raygen.tables.iceberg import check_catalog, publish, refuse_types
from raygen.tables.layout import RunFolder, ScoreFile
from raygen.tables.manifest import Counts, add_counts
from raygen.tables.widen import widen
from raygen.variants.ingest import IngestResult

if TYPE_CHECKING:
    from raygen.pipeline.build import Stages

Say = Callable[[str], None]

_CPU_FLOPS, _CPU_TOKENS = 1e11, 15_000
"""Floating-point operations and tokens a second of one core in small batches: large models are bound by the first, the demo's by the second."""
_EMBEDDINGS_OF_A_SHARD = 1 << 28
SHARDS_A_WAVE = 8192
"""134 million rows: at the end of a wave actors wait for the last shards and are made again, minutes in days of work."""


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        tokens: that models read, padding included.
        looked_up: a position table was looked into first.
        seconds: of the whole run; ``scoring_seconds`` of them from the start of the actors on.
    """

    run_id: str
    output: str
    manifest: str
    counts: Counts
    tokens: int
    looked_up: bool
    scoring_seconds: float
    seconds: float
    warnings: tuple[str, ...]


def run_score(
    settings: Settings,
    say: Say = print,
    make_scorer: Callable[[Job], ActorScorer] = ResidentScorer,
    open_folder: Callable[[str], RunFolder] = RunFolder,
) -> RunResult:
    """Score what the settings name and return what came of it.

    Args:
        say: is told one line at a time what will run.
        make_scorer, open_folder: what an actor scores with and how a stage reaches the output.

    Raises:
        SettingsError, InputError, StoppedError: see their exit codes.
    """
    began = time.monotonic()
    folder = RunFolder(str(settings.output.path))
    folder.prepare()
    if settings.output.table_format == "iceberg":
        check_catalog(folder, settings.output.catalog)
    with folder.locked(), ExitStack() as ray_session:
        connect = lambda: ray_session.enter_context(session(settings.cluster.address))  # noqa: E731
        resolved = resolve(settings, folder, connect)
        for remark in resolved.remarks:
            say(remark)
        job = replace(resolved.job, make_scorer=make_scorer, open_folder=open_folder)
        run = _VariantRun(settings, folder, replace(resolved, job=job), say)
        run.take_input(resolved.reference, resolved.files)
        if run.shards:
            connect()
            run.score()
        else:
            say(run.nothing_left())
        run.publish()
    return run.finish(time.monotonic() - began)


class ShardRun:
    """The steps of a run that all kinds have in common: shards through actors, counted, written down.

    Attributes:
        shards: that are not committed yet.
        alleles_a_row: alleles that a row of a shard stands for, as the actors score it.
        units: what progress counts, in a word, and ``kept_units`` what is said to be kept.
    """

    alleles_a_row = 1
    units = "variants"
    kept_units = "rows"

    def __init__(self, settings: Settings, folder: RunFolder, resolved: Resolved, say: Say) -> None:
        self._settings, self._folder, self._say = settings, folder, say
        self._job, self._model = resolved.job, resolved.model
        self._record = RunRecord(settings, folder, resolved)
        self._failures = FailureLimit(settings, folder)
        self.shards: Sequence[ShardToScore] = []
        self._names: set[str] = set()
        for warning in resolved.warnings:
            self._warn(warning)

    def _leave_out(self, shards: Sequence[ShardToScore], files: Sequence[ScoreFile]) -> None:
        """See which shards are among the committed ``files``, and count those."""
        self._names = {shard.name for shard in shards}
        committed = self._folder.committed_shards(files) & self._names
        self.shards = [shard for shard in shards if shard.name not in committed]
        self._count_committed([shard for shard in shards if shard.name in committed])

    def _count_committed(self, committed: Sequence[ShardToScore]) -> None:
        failed = self._folder.rejects_of({shard.name for shard in committed})
        rows = sum(shard.num_rows for shard in committed)
        counts = self._record.totals.counts
        counts.already_scored = rows - sum(failed.values())
        add_counts(counts.rejected, failed)
        self._failures.add(sum(failed.values()), rows)

    def score(self) -> None:
        """Stream the shards that are left through the actors, and count what is committed."""
        began = time.monotonic()
        self._record.totals.pace.start()
        num_left = sum(shard.num_rows for shard in self.shards)
        self._record.start_counting(num_left)
        with RunProgress(num_left, in_pieces=self._kept_in_pieces, units=self.units) as progress:
            if self._job.prescored:
                self._record.write("running", self._job)
                self._stream(progress, _without_actors(self.shards, self._job))
                committed = self._folder.committed_shards()
                self.shards = [shard for shard in self.shards if shard.name not in committed]
            if self.shards:
                actors = self._record.actors = self._plan_actors()
                self._job = replace(self._job, threads=actors.threads)
                self._record.write("running", self._job)
                self._record.start_actors(sum(shard.num_rows for shard in self.shards), len(self.shards), actors)
                self._stream(progress, _through_actors(self.shards, self._job, actors, self._stages()))
        self._record.seconds["score"] = time.monotonic() - began

    def _stages(self) -> Stages:
        from raygen.pipeline.build import OF_VARIANTS  # and Ray Data, which a run that finds nothing left does not need

        return OF_VARIANTS

    def _plan_actors(self) -> ActorPlan:
        total, cluster = resources(), self._settings.cluster
        return plan_actors(
            cluster.actors,
            cluster.gpus_per_actor,
            self._job.device,
            total.cpus,
            total.gpus,
            len(self.shards),
            self._model.num_parameters * 4,
            total.memory,
            can_grow=remote_address(cluster.address) is not None,
            work_seconds=self._work_seconds(),
        )

    def _work_seconds(self) -> float:
        """Seconds of one CPU for what is left, roughly; endless where nothing says how long the sequences are."""
        if self._job.window is None:
            return math.inf
        tokens = sum(shard.num_rows for shard in self.shards) * self._job.window.length
        strands = 2 if self._job.strand == "both" else 1
        passes = 2 if self._job.method == "pair" else 1
        return tokens * strands * passes * max(2 * self._model.num_parameters / _CPU_FLOPS, 1 / _CPU_TOKENS)

    def _stream(self, progress: RunProgress, summaries: Generator[ShardSummary, None, None]) -> None:
        from ray.exceptions import RayError

        def look() -> None:
            progress.look()
            self._record.refresh()

        try:
            for summary in in_a_thread(self._while_few_fail(summaries), look):
                self._record.add(summary)
                progress.advance(summary.num_rows, summary.tokens)
        except (KeyboardInterrupt, Interrupted):
            self._record.write("stopped", self._job)
            raise RunInterrupted(f"Stopped. {self._so_far()} The same command goes on from there.") from None
        except (RayError, RaygenError) as error:
            self._record.write("failed", self._job)
            raise in_our_words(error, self._so_far()) from error

    def _while_few_fail(self, summaries: Generator[ShardSummary, None, None]) -> Iterator[ShardSummary]:
        """The summaries; stops Ray's work and raises when too many rows could not be scored."""
        with closing(summaries):
            for summary in summaries:
                yield summary
                self._failures.add(summary.failed, summary.num_rows)

    def _kept_in_pieces(self, but_for: Collection[str] = ()) -> Kept:
        """What is scored of shards that are not committed, but for those of some names."""
        pieces = [kept for shard, kept in kept_in_pieces(self._folder).items() if shard not in but_for]
        kept = sum(pieces, Kept())
        return replace(kept, rows=kept.rows * self.alleles_a_row)

    def _warn(self, warning: str) -> None:
        self._record.warn(warning)
        self._say(f"warning: {warning}")

    def _so_far(self) -> str:
        """What is kept, by listing: more may be than the driver has heard of."""
        committed = self._folder.committed_shards()
        num_scored = sum(shard.num_rows for shard in self.shards if shard.name in committed)
        pieces = self._kept_in_pieces(but_for=committed).rows
        in_pieces = f", and {pieces:,} of shards that are not whole yet" if pieces else ""
        return f"{num_scored:,} of {sum(shard.num_rows for shard in self.shards):,} {self.kept_units} are scored and kept{in_pieces}."

    def finish(self, seconds: float) -> RunResult:
        """Check conservation, write the manifest, say what came of it."""
        record, totals = self._record, self._record.totals
        record.seconds["total"] = seconds
        try:
            totals.counts.check_conservation()
        except StoppedError:
            record.write("failed", self._job)
            raise
        forget_all(self._folder, self._names)
        if totals.rescored:
            were = "was" if totals.rescored == 1 else "were"
            pairs = f"{number_of(totals.rescored, 'pair of sequences', 'pairs of sequences')} {were}"
            self._warn(f"{pairs} not finite in {self._job.dtype} and scored again in float32.")
        return RunResult(
            run_id=self._job.run_id,
            output=self._folder.path,
            manifest=record.write("done", self._job),
            counts=totals.counts,
            tokens=totals.tokens,
            looked_up=self._job.prescored is not None,
            scoring_seconds=record.seconds.get("score", 0.0),
            seconds=seconds,
            warnings=tuple(record.warnings),
        )


class _VariantRun(ShardRun):
    """The steps of a run over variants or pairs."""

    def nothing_left(self) -> str:
        """Why there is nothing to score."""
        if self._record.totals.counts.alleles_in:
            return "Nothing is left to score."
        return f"The input has no {'pairs' if self._settings.input.pairs else 'variants'}."

    def take_input(self, reference: Reference | None, files: Sequence[ScoreFile]) -> None:
        """Find or make the ingested input, and see which of its shards are among the committed ``files``."""
        began = time.monotonic()
        table_types = self._folder.carried_types(files)
        ingested = take_input(self._settings, self._folder, reference, self._model.context_length, table_types)
        for warning in ingested.warnings:
            self._warn(warning)
        counts = self._record.totals.counts
        counts.alleles_in, counts.rejected = ingested.num_alleles, dict(ingested.rejects)
        read_at = where_workers_read(self._settings, self._folder, ingested)
        shards = plan_shards(Path(ingested.variants_dir), ingested.digest, read_at, self._most_rows())
        self._record.input = _as_manifest(ingested, shards)
        self._leave_out(shards, files)
        files = self._declare(source_types(ingested.variants_dir, self._job.source_columns), table_types, files)
        self._job = replace(
            self._job, earlier_files=files_by_contig(file for file in files if file.shard not in self._names)
        )
        self._record.seconds["ingest"] = time.monotonic() - began

    def _most_rows(self) -> int | None:
        """Rows of a shard whose embeddings take some 256 MB; None where there are none. A shard is in memory as a whole."""
        embed, size = self._job.embed, self._model.hidden_size
        if not embed or not size:
            return None
        return max(_EMBEDDINGS_OF_A_SHARD // max(embed.bytes_a_variant(size, strands_read(self._job.strand)), 1), 1)

    def _declare(
        self,
        input_types: Mapping[str, pa.DataType],
        table_types: Mapping[str, pa.DataType],
        files: Sequence[ScoreFile],
    ) -> Sequence[ScoreFile]:
        """Settle the types of the source columns, before a model is loaded: those of the input, which are as wide as the
        table's. Where they are wider the table's files are written again with them, unless there is nothing to add.

        Returns:
            The table's files, which are others once they were written again.
        """
        types = input_types if self.shards or not table_types else table_types
        if self._settings.output.table_format == "iceberg":
            refuse_types(self._folder, self._job.identity.fingerprint, self._settings.output.catalog, types)
        if table_types and (wider := types_as_text(types)) != (before := types_as_text(table_types)):
            num_files = widen(self._folder, types)
            self._say(f"source columns become {wider}; they were {before}: {number_of(num_files, 'file')} rewritten")
            files = self._folder.score_files()
        self._job = replace(self._job, identity=replace(self._job.identity, column_types=types_as_text(types)))
        return files

    def publish(self) -> None:
        """Add what is new to the Iceberg table, when there is to be one."""
        output = self._settings.output
        if output.table_format == "iceberg":
            self._record.totals.counts.check_conservation()
            snapshot = publish(self._folder, self._job.identity.fingerprint, output.catalog)
            if snapshot:
                self._say(
                    f"Iceberg: {number_of(snapshot.num_rows, 'row')} into {snapshot.table}, "
                    f"snapshot {snapshot.snapshot_id}"
                )


def _as_manifest(ingested: IngestResult, shards: Sequence[Shard]) -> dict[str, Any]:
    """What a manifest says of the ingested input."""
    described = {"digest": ingested.digest, "alleles": ingested.num_alleles, "variants": ingested.num_variants}
    described["rejects"] = list(ingested.reject_names)
    if shards:
        described |= {"stem": shards[0].name.rpartition("-")[0], "num_shards": len(shards)}
    return described


def files_by_contig(files: Iterable[ScoreFile]) -> dict[str | None, tuple[str, ...]]:
    """The paths of score files by contig."""
    paths: dict[str | None, list[str]] = {}
    for file in files:
        paths.setdefault(file.chrom, []).append(file.path)
    return {chrom: tuple(of_contig) for chrom, of_contig in paths.items()}


def _through_actors(
    shards: Sequence[ShardToScore], job: Job, actors: ActorPlan, stages: Stages
) -> Generator[ShardSummary, None, None]:
    """What each committed shard held, as it comes. Ray holds something for each shard from the start, so they go in waves."""
    from raygen.pipeline.build import build  # and Ray Data, which a run that finds nothing left does not need

    for start in range(0, len(shards), SHARDS_A_WAVE):
        dataset = build(shards[start : start + SHARDS_A_WAVE], job, actors, stages)
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from ShardSummary.from_table(batch)


def _without_actors(shards: Sequence[ShardToScore], job: Job) -> Generator[ShardSummary, None, None]:
    """What each shard held of which no row needs a model; the others are left as they are."""
    from raygen.pipeline.build import build_without_actors

    for start in range(0, len(shards), SHARDS_A_WAVE):
        dataset = build_without_actors(shards[start : start + SHARDS_A_WAVE], job)
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from ShardSummary.from_table(batch)
