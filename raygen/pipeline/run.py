"""One run from settings to a finished folder: check, ingest, score what is left, account for every allele."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from raygen.classes.calibration import summary
from raygen.errors import Interrupted, RaygenError, RunInterrupted, StoppedError
from raygen.model.cards import demo_warning
from raygen.model.loading import DEMO, NetworkDescription
from raygen.number_of import number_of
from raygen.pipeline.actor_scorer import ResidentScorer
from raygen.pipeline.build import build
from raygen.pipeline.chosen_window import choose_window
from raygen.pipeline.cluster import ActorPlan, in_our_words, plan_actors, remote_address, resources, session
from raygen.pipeline.events import EventLog
from raygen.pipeline.intake import take_input, where_workers_read
from raygen.pipeline.job import ActorScorer, Job
from raygen.pipeline.metrics import RunMetrics
from raygen.pipeline.pieces import Kept, forget_all, kept_in_pieces
from raygen.pipeline.progress import RunProgress, in_a_thread
from raygen.pipeline.resolve import (
    check_circular,
    check_identity,
    describe_model,
    job_of,
    off_label_warning,
    what_runs,
)
from raygen.pipeline.shards import Shard, plan_shards
from raygen.pipeline.stages import ShardSummary
from raygen.scoring.scorer import refuse_fork
from raygen.sequence.reference import Reference, staged_reference
from raygen.settings import Settings
from raygen.tables.iceberg import check_catalog, publish
from raygen.tables.layout import RunFolder, ScoreFile
from raygen.tables.manifest import Counts, Pace, add_counts, machine, versions

Say = Callable[[str], None]

SHARDS_A_WAVE = 8192
"""134 million rows: at the end of a wave actors wait for the last shards and are made again, minutes in days of work."""
_FEWEST_TRIED = 300  # rows: in a small input one bad row is a large share


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    run_id: str
    output: str
    manifest: str
    counts: Counts
    tokens: int
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
        reference = staged_reference(settings.input.reference) if settings.input.reference else None
        check_circular(settings, reference)
        connect = lambda: ray_session.enter_context(session(settings.cluster.address))  # noqa: E731
        if remote_address(settings.cluster.address):
            connect()
        model = describe_model(settings)
        if settings.scoring.method == "fork":
            refuse_fork(model.name, model.fork_refusal)
        window = choose_window(settings, model.context_length) if reference else None
        job = replace(job_of(settings, model, window, reference), make_scorer=make_scorer, open_folder=open_folder)
        files = folder.score_files()
        check_identity(folder, job, model, files)
        say(what_runs(job, model))
        for remark in model.remarks:
            say(remark)
        if job.calibration:
            say(f"classes by the calibration {settings.classes.calibration}, with probability and evidence")
        if model.name == DEMO and settings.input.domain is not None:  # else it is a warning
            say(
                "The demo's model is small and knows animal mitochondria only: it is for trying the software, not for patients."
            )
        run = _Run(settings, folder, job, model, say)
        run.take_input(reference, files)
        if run.shards:
            connect()
            run.score()
        else:
            say(run.nothing_left())
        run.publish()
    return run.finish(time.monotonic() - began)


class _Run:
    """The steps of a run and what they count."""

    def __init__(self, settings: Settings, folder: RunFolder, job: Job, model: NetworkDescription, say: Say) -> None:
        self._settings, self._folder, self._job, self._model, self._say = settings, folder, job, model, say
        self._counts = Counts()
        self._started = datetime.now(UTC)
        self._timings: dict[str, float] = {}
        self._tokens = self._tokens_before = self._tokens_by_two_passes = 0
        self._halvings = 0
        self._rescored = 0
        self._pace = Pace()
        self._num_failed = self._num_tried = 0
        self._warnings: list[str] = []
        self.shards: list[Shard] = []
        self._names: set[str] = set()
        self._taken: dict[str, Any] = {}
        self._actors: ActorPlan | None = None
        self._metrics, self._log = RunMetrics(job.run_id), EventLog(job.run_id)
        if job.off_label:
            self._warn(off_label_warning(settings, model))
        if warning := demo_warning(model.name, settings.input.domain):
            self._warn(warning)

    def nothing_left(self) -> str:
        """Why there is nothing to score."""
        if self._counts.alleles_in:
            return "Nothing is left to score."
        return f"The input has no {'pairs' if self._settings.input.pairs else 'variants'}."

    def take_input(self, reference: Reference | None, files: Sequence[ScoreFile]) -> None:
        """Find or make the ingested input, and see which of its shards are among the committed ``files``."""
        began = time.monotonic()
        taken = take_input(self._settings, self._folder, reference, self._model.context_length)
        for warning in taken.warnings:
            self._warn(warning)
        self._counts.alleles_in = taken.num_alleles
        self._counts.rejected = dict(taken.rejects)
        read_at = where_workers_read(self._settings, self._folder, taken)
        shards = plan_shards(Path(taken.variants_dir), taken.digest, read_at)
        self._taken = {"digest": taken.digest, "alleles": taken.num_alleles, "variants": taken.num_variants}
        self._taken["rejects"] = list(taken.reject_names)
        if shards:
            self._taken |= {"stem": shards[0].name.rpartition("-")[0], "num_shards": len(shards)}
        self._leave_out_committed(shards, files)
        self._refuse_many_failed()
        self._timings["ingest"] = time.monotonic() - began

    def _leave_out_committed(self, shards: Sequence[Shard], files: Sequence[ScoreFile]) -> None:
        names = self._names = {shard.name for shard in shards}
        committed = self._folder.committed_shards(files) & names
        failed = self._folder.rejects_of(committed)
        rows = sum(shard.num_rows for shard in shards if shard.name in committed)
        self._counts.already_scored = rows - sum(failed.values())
        self._num_failed, self._num_tried = sum(failed.values()), rows
        add_counts(self._counts.rejected, failed)
        earlier: dict[str | None, tuple[str, ...]] = {}
        for file in files:
            if file.shard not in names:
                earlier[file.chrom] = (*earlier.get(file.chrom, ()), file.path)
        self._job = replace(self._job, earlier_files=earlier)
        self.shards = [shard for shard in shards if shard.name not in committed]

    def score(self) -> None:
        """Stream the shards that are left through the actors, and count what is committed."""
        began = time.monotonic()
        self._pace.start()
        there, cluster = resources(), self._settings.cluster
        self._actors = plan_actors(
            cluster.actors,
            cluster.gpus_per_actor,
            self._job.device,
            there.cpus,
            there.gpus,
            len(self.shards),
            self._model.num_parameters * 4,
            there.memory,
            can_grow=remote_address(cluster.address) is not None,
        )
        self._job = replace(self._job, threads=self._actors.threads)
        self._write_manifest("running")
        num_left = sum(shard.num_rows for shard in self.shards)
        self._metrics.start(num_left, self._counts.rejected)
        self._log.write("scoring", variants=num_left, shards=len(self.shards), actors=asdict(self._actors))
        with RunProgress(num_left, in_pieces=lambda: sum(kept_in_pieces(self._folder).values(), Kept())) as progress:
            self._stream(progress, self._actors)
        self._timings["score"] = time.monotonic() - began

    def _stream(self, progress: RunProgress, actors: ActorPlan) -> None:
        def look() -> None:
            progress.look()
            self._metrics.refresh()

        try:
            for summary in in_a_thread(self._while_few_fail(_summaries(self.shards, self._job, actors)), look):
                self._count(summary)
                self._metrics.count(summary)
                self._log.write("shard_committed", **asdict(summary))
                progress.advance(summary.num_rows, summary.tokens)
        except (KeyboardInterrupt, Interrupted):
            self._write_manifest("stopped")
            raise RunInterrupted(f"Stopped. {self._so_far()} The same command goes on from there.") from None
        except (RayError, RaygenError) as error:
            self._write_manifest("failed")
            raise in_our_words(error, self._so_far()) from error

    def _count(self, summary: ShardSummary) -> None:
        self._counts.scored += summary.scored
        self._counts.already_scored += summary.already_scored
        self._counts.abstained += summary.abstained
        if summary.failed:
            add_counts(self._counts.rejected, {"scoring_failed": summary.failed})
        add_counts(self._counts.classes, summary.classes)
        add_counts(self._counts.flags, summary.flags)
        self._tokens += summary.tokens
        self._tokens_before += summary.tokens_before
        self._tokens_by_two_passes += summary.tokens_by_two_passes
        self._halvings = max(self._halvings, summary.halvings)
        self._rescored += summary.rescored
        self._pace.add(summary.scored, summary.tokens)

    def _while_few_fail(self, summaries: Generator[ShardSummary, None, None]) -> Iterator[ShardSummary]:
        """The summaries; stops Ray's work and raises when too many rows could not be scored."""
        with closing(summaries):
            for summary in summaries:
                yield summary
                self._num_failed += summary.failed
                self._num_tried += summary.num_rows
                self._refuse_many_failed()

    def _refuse_many_failed(self) -> None:
        """Raise when more rows than allowed could not be scored, those of earlier runs of the same command included."""
        share = self._settings.scoring.max_failed_share
        if self._num_failed > share * max(self._num_tried, _FEWEST_TRIED):
            raise StoppedError(
                f"{self._num_failed:,} of {self._num_tried:,} rows tried could not be scored (scoring_failed, with "
                f"the reason in {self._folder.path}/rejects), more than scoring.max_failed_share ({share:g}) allows. "
                "Where the rows are at fault, raise it and run the same command again; where the model or the "
                "machine is, score into a new folder."
            )

    def _warn(self, warning: str) -> None:
        self._warnings.append(warning)
        self._log.write("warning", message=warning)
        self._say(f"warning: {warning}")

    def _so_far(self) -> str:
        """What is kept, by listing: more may be than the driver has heard of."""
        committed = self._folder.committed_shards()
        done = sum(shard.num_rows for shard in self.shards if shard.name in committed)
        pieces = sum(kept.rows for shard, kept in kept_in_pieces(self._folder).items() if shard not in committed)
        in_pieces = f", and {pieces:,} of shards that are not whole yet" if pieces else ""
        return f"{done:,} of {sum(shard.num_rows for shard in self.shards):,} rows are scored and kept{in_pieces}."

    def publish(self) -> None:
        """Add what is new to the Iceberg table, when there is to be one."""
        output = self._settings.output
        if output.table_format == "iceberg":
            self._counts.check_conservation()
            done = publish(self._folder, self._job.identity.fingerprint, output.catalog)
            if done:
                self._say(f"Iceberg: {number_of(done.num_rows, 'row')} into {done.table}, snapshot {done.snapshot_id}")

    def finish(self, seconds: float) -> RunResult:
        """Check conservation, write the manifest, say what came of it."""
        self._timings["total"] = seconds
        try:
            self._counts.check_conservation()
        except StoppedError:
            self._write_manifest("failed")
            raise
        forget_all(self._folder, self._names)
        if self._rescored:
            were = "was" if self._rescored == 1 else "were"
            pairs = f"{number_of(self._rescored, 'pair of sequences', 'pairs of sequences')} {were}"
            self._warn(f"{pairs} not finite in {self._job.dtype} and scored again in float32.")
        manifest = self._write_manifest("done")
        scoring = self._timings.get("score", 0.0)
        return RunResult(
            self._job.run_id,
            self._folder.path,
            manifest,
            self._counts,
            self._tokens,
            scoring,
            seconds,
            tuple(self._warnings),
        )

    def _write_manifest(self, status: str) -> str:
        self._log.write(status, **asdict(self._counts), tokens=self._tokens)
        return self._folder.write_manifest(
            self._job.run_id,
            {
                "run_id": self._job.run_id,
                "status": status,
                "started": self._started.isoformat(timespec="seconds"),
                "written": datetime.now(UTC).isoformat(timespec="seconds"),
                "fingerprint": self._job.identity.fingerprint,
                "model": asdict(self._model),
                "input": self._taken,
                "calibration": summary(self._job.calibration) if self._job.calibration else None,
                "settings": self._settings.model_dump(mode="json"),
                "resolved": self._job.as_plain(),
                "actors": asdict(self._actors) if self._actors else None,
                "counts": {**asdict(self._counts), "num_rejected": self._counts.num_rejected},
                "tokens": {
                    "computed": self._tokens,
                    "by_earlier_tries": self._tokens_before,
                    "by_two_passes": self._tokens_by_two_passes,
                    "saved": self._tokens_by_two_passes - self._tokens,
                },
                "rescored_in_float32": self._rescored,
                "out_of_memory_halvings": self._halvings,
                "metrics": self._metrics.as_manifest(),
                "warnings": self._warnings,
                "seconds": {name: round(value, 3) for name, value in self._timings.items()},
                "versions": versions(),
                "machine": machine(),
                "pace": self._pace.points,
            },
        )


def _summaries(shards: Sequence[Shard], job: Job, actors: ActorPlan) -> Generator[ShardSummary, None, None]:
    """What each committed shard held, as it comes. Ray holds something for each shard from the start, so they go in waves."""
    for start in range(0, len(shards), SHARDS_A_WAVE):
        dataset = build(shards[start : start + SHARDS_A_WAVE], job, actors)
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from ShardSummary.from_table(batch)
