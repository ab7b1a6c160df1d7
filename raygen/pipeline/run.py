"""One run from settings to a finished folder: check, ingest, score what is left, account for every allele."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError

from raygen.errors import InputError, Interrupted, RaygenError, RunInterrupted, SettingsError, StoppedError
from raygen.model.cards import OFF_LABEL_DOMAIN, is_off_label
from raygen.model.loading import DEMO, NetworkDescription, describe_network
from raygen.pipeline.background import in_a_thread
from raygen.pipeline.build import build
from raygen.pipeline.cluster import ActorPlan, plan_actors, remote_address, resources, session
from raygen.pipeline.intake import take_input
from raygen.pipeline.job import Job
from raygen.pipeline.progress import RunProgress
from raygen.pipeline.shards import Shard, plan_shards
from raygen.pipeline.stages import ShardSummary
from raygen.scoring.fingerprint import fingerprint
from raygen.sequence.reference import Reference, open_reference
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.iceberg import publish
from raygen.tables.layout import Identity, RunFolder
from raygen.tables.manifest import Counts, add_counts, machine, new_run_id, versions

Say = Callable[[str], None]

_OWN_ERROR = re.compile(r"\braygen\.errors\.(\w+): (.+)")
_ANY_ERROR = re.compile(r"(?!ray\.exceptions)[\w.]*(Error|Exception|Exit)\b.*")


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


def run_score(settings: Settings, say: Say = print) -> RunResult:
    """Score what the settings name and return what came of it.

    Args:
        say: is told one line at a time what will run.

    Raises:
        SettingsError, InputError, StoppedError: see their exit codes.
    """
    began = time.monotonic()
    folder = RunFolder(str(settings.output.path))
    folder.prepare()
    with folder.locked(), ExitStack() as ray_session:
        reference = open_reference(settings.input.reference) if settings.input.reference else None
        _check_circular(settings, reference)
        connect = lambda: ray_session.enter_context(session(settings.cluster.address))  # noqa: E731
        if remote_address(settings.cluster.address):
            connect()
        model = _describe(settings)
        window = choose_window(settings, model.context_length) if reference else None
        job = _job(settings, model, window, reference)
        _check_identity(folder, job)
        say(_what_runs(job, model))
        for remark in model.remarks:
            say(remark)
        if model.name == DEMO:
            say("The demo's model is random: it shows how the software runs, and its scores mean nothing.")
        run = _Run(settings, folder, job, model, say)
        run.take_input(reference)
        if run.shards:
            connect()
            run.score()
        else:
            say("Nothing is left to score.")
        run.publish()
    return run.finish(time.monotonic() - began)


class _Run:
    """The steps of a run and what they count."""

    def __init__(self, settings: Settings, folder: RunFolder, job: Job, model: NetworkDescription, say: Say) -> None:
        self._settings, self._folder, self._job, self._model, self._say = settings, folder, job, model, say
        self._counts = Counts()
        self._started = datetime.now(UTC)
        self._timings: dict[str, float] = {}
        self._tokens = self._tokens_by_two_passes = 0
        self._halvings = 0
        self._rescored = 0
        self._warnings: list[str] = []
        self.shards: list[Shard] = []
        self._taken: dict[str, Any] = {}
        self._actors: ActorPlan | None = None
        if job.off_label:
            self._warn(_off_label(settings, model))

    def take_input(self, reference: Reference | None) -> None:
        """Find or make the ingested input, and see which of its shards are committed already."""
        began = time.monotonic()
        taken = take_input(self._settings, self._folder, reference, self._model.context_length)
        for warning in taken.warnings:
            self._warn(warning)
        self._counts.alleles_in = taken.num_alleles
        self._counts.rejected = dict(taken.rejects)
        shards = plan_shards(Path(taken.variants_dir), taken.digest)
        self._taken = {"digest": taken.digest, "alleles": taken.num_alleles, "variants": taken.num_variants}
        self._leave_out_committed(shards)
        self._timings["ingest"] = time.monotonic() - began

    def _leave_out_committed(self, shards: Sequence[Shard]) -> None:
        names = {shard.name for shard in shards}
        files = self._folder.score_files()
        committed = self._folder.committed_shards() & names
        failed = self._folder.rejects_of(committed)
        rows = sum(shard.num_rows for shard in shards if shard.name in committed)
        self._counts.already_scored = rows - sum(failed.values())
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
        )
        self._job = replace(self._job, threads=self._actors.threads)
        self._write_manifest("running")
        with RunProgress(sum(shard.num_rows for shard in self.shards)) as progress:
            self._stream(progress, self._actors)
        self._timings["score"] = time.monotonic() - began

    def _stream(self, progress: RunProgress, actors: ActorPlan) -> None:
        try:
            for summary in in_a_thread(_summaries(build(self.shards, self._job, actors))):
                self._count(summary)
                progress.advance(summary.num_rows, summary.tokens)
        except (KeyboardInterrupt, Interrupted):
            self._write_manifest("stopped")
            raise RunInterrupted(f"Stopped. {self._so_far()} The same command goes on from there.") from None
        except (RayError, RaygenError) as error:
            self._write_manifest("failed")
            raise _in_our_words(error, self._so_far()) from error

    def _count(self, summary: ShardSummary) -> None:
        self._counts.scored += summary.scored
        self._counts.already_scored += summary.already_scored
        self._counts.abstained += summary.abstained
        if summary.failed:
            add_counts(self._counts.rejected, {"scoring_failed": summary.failed})
        add_counts(self._counts.classes, summary.classes)
        add_counts(self._counts.flags, summary.flags)
        self._tokens += summary.tokens
        self._tokens_by_two_passes += summary.tokens_by_two_passes
        self._halvings = max(self._halvings, summary.halvings)
        self._rescored += summary.rescored

    def _warn(self, warning: str) -> None:
        self._warnings.append(warning)
        self._say(f"warning: {warning}")

    def _so_far(self) -> str:
        """What is committed, by listing: more may be than the driver has heard of."""
        committed = self._folder.committed_shards()
        done = sum(shard.num_rows for shard in self.shards if shard.name in committed)
        return f"{done:,} of {sum(shard.num_rows for shard in self.shards):,} rows are scored and kept."

    def publish(self) -> None:
        """Add what is new to the Iceberg table, when there is to be one."""
        output = self._settings.output
        if output.table_format == "iceberg":
            self._counts.check_conservation()
            done = publish(self._folder, self._job.identity.fingerprint, output.catalog)
            if done:
                self._say(f"Iceberg: {done.num_rows:,} rows into {done.table}, snapshot {done.snapshot_id}")

    def finish(self, seconds: float) -> RunResult:
        """Check conservation, write the manifest, say what came of it."""
        self._timings["total"] = seconds
        try:
            self._counts.check_conservation()
        except StoppedError:
            self._write_manifest("failed")
            raise
        if self._rescored:
            pairs = f"{self._rescored:,} pairs of sequences were"
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
        job = asdict(self._job)
        job.pop("earlier_files")
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
                "settings": self._settings.model_dump(mode="json"),
                "resolved": job,
                "actors": asdict(self._actors) if self._actors else None,
                "counts": {**asdict(self._counts), "num_rejected": self._counts.num_rejected},
                "tokens": {
                    "computed": self._tokens,
                    "by_two_passes": self._tokens_by_two_passes,
                    "saved": self._tokens_by_two_passes - self._tokens,
                },
                "rescored_in_float32": self._rescored,
                "out_of_memory_halvings": self._halvings,
                "warnings": self._warnings,
                "seconds": {name: round(value, 3) for name, value in self._timings.items()},
                "versions": versions(),
                "machine": machine(),
            },
        )


def _summaries(dataset: ray.data.Dataset) -> Iterator[ShardSummary]:
    """Run the dataset; what each committed shard held, as it comes."""
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from ShardSummary.from_table(batch)


def _describe(settings: Settings) -> NetworkDescription:
    """The model as the actors will see it: looked at here, or on a machine with a GPU of the cluster that is connected."""
    model = settings.model
    look = partial(describe_network, model.name, revision=model.revision, device=model.device, dtype=model.dtype)
    if not ray.is_initialized() or model.device == "cpu" or not resources().gpus:
        return look()
    ask = ray.remote(lambda: look()).options(num_gpus=settings.cluster.gpus_per_actor, num_cpus=0)
    try:
        return ray.get(ask.remote())
    except RayError as error:
        raise _in_our_words(error, "Nothing was scored yet.") from error


def fingerprint_and_window(settings: Settings) -> tuple[str, Window]:
    """What a run over variants with these settings would have. A cluster must be connected already.

    Raises:
        SettingsError, InputError: the model cannot be used, or the window does not fit it.
    """
    model = _describe(settings)
    window = choose_window(settings, model.context_length)
    return fingerprint(model, window, settings.window.strand, tuple(settings.input.circular)), window


def choose_window(settings: Settings, context_length: int) -> Window:
    """The window of a run: half of the context on each side where nothing else is said, less a grid's stride.

    Raises:
        SettingsError: it does not fit the model.
    """
    usual = max((context_length - (settings.window.stride or 0)) // 2, 1)
    left = settings.window.left if settings.window.left is not None else usual
    right = settings.window.right if settings.window.right is not None else usual
    window = Window(left, right, settings.window.anchor, settings.window.stride)
    if window.longest > context_length:
        raise SettingsError(
            f"window.left + window.right{' + window.stride' if window.stride else ''} is {window.longest:,} bases, "
            f"but {settings.model.name} reads {context_length:,}. "
            "Use a smaller window or a model with a longer context."
        )
    return window


def _job(settings: Settings, model: NetworkDescription, window: Window | None, reference: Reference | None) -> Job:
    strand = settings.window.strand if reference else "forward"
    circular = tuple(settings.input.circular)
    batch_tokens, state_memory = settings.scoring.max_batch_tokens, settings.scoring.state_memory
    output = str(settings.output.path)
    return Job(
        run_id=new_run_id(),
        output=output if "://" in output else str(Path(output).absolute()),
        reference=str(Path(reference.path).absolute()) if reference else None,
        circular=circular,
        window=window,
        strand=strand,
        cuts=settings.classes.cuts,
        source_columns=tuple(settings.input.carried_columns),
        model=settings.model.name,
        model_source=_absolute_folder(settings.model.name),
        revision=settings.model.revision,
        device=model.device,
        dtype=model.dtype,
        off_label=is_off_label(settings.input.domain, model.domains),
        method=settings.scoring.method,
        max_batch_tokens=None if batch_tokens == "auto" else batch_tokens,
        state_memory=None if state_memory == "auto" else state_memory,
        threads=1,
        identity=Identity(
            fingerprint=fingerprint(model, window, strand, circular),
            reference_digest=reference.digest if reference else "",
            cuts=", ".join(f"{cut:g}" for cut in settings.classes.cuts),
            source_columns=", ".join(settings.input.carried_columns),
        ),
        earlier_files={},
    )


def _absolute_folder(model: str) -> str:
    """A model folder by its whole path, for actors elsewhere; other names as they are."""
    return str(Path(model).absolute()) if model != DEMO and Path(model).is_dir() else model


def _check_circular(settings: Settings, reference: Reference | None) -> None:
    unknown = [name for name in settings.input.circular if reference and name not in reference.lengths]
    if unknown:
        raise SettingsError(
            f"input.circular names {', '.join(unknown)}, which {settings.input.reference} does not have."
        )


def _check_identity(folder: RunFolder, job: Job) -> None:
    found = folder.identity()
    if found is None or found == job.identity:
        return
    if found.fingerprint != job.identity.fingerprint:
        raise SettingsError(
            f"{folder.path} holds scores with the fingerprint {found.fingerprint}; this run's is "
            f"{job.identity.fingerprint} (another model, precision, window or strand). Give another output folder."
        )
    if found.reference_digest != job.identity.reference_digest:
        raise SettingsError(f"{folder.path} holds scores on another reference. Give another output folder.")
    if found.cuts != job.identity.cuts:
        raise SettingsError(
            f"{folder.path} holds classes with the cut points {found.cuts}; this run's are {job.identity.cuts}. "
            "Give another output folder."
        )
    raise SettingsError(
        f"{folder.path} holds scores with the source columns {found.source_columns or '(none)'}; this run's are "
        f"{job.identity.source_columns or '(none)'}. Give another output folder."
    )


def _what_runs(job: Job, model: NetworkDescription) -> str:
    window = f"window {job.window.left:,}+{job.window.right:,} bases" if job.window else "pairs as they are"
    if job.window and job.window.stride:
        window += f" on a grid of {job.window.stride:,}"
    return (
        f"model {model.name} ({model.dtype} on {model.device}), {window}, strand {job.strand}, method {job.method}, "
        f"fingerprint {job.identity.fingerprint}"
    )


def _off_label(settings: Settings, model: NetworkDescription) -> str:
    trained_on = ", ".join(model.domains or ()) or "nothing"
    return (
        f"input.domain is {settings.input.domain}, but {model.name} was trained on {trained_on}: "
        f"its scores may mean nothing here, and every row has the flag {OFF_LABEL_DOMAIN}."
    )


def _in_our_words(error: BaseException, so_far: str) -> RaygenError:
    """The error that a stage raised, without Ray's layers around it.

    An error travels from a worker as text; its own line names its class.
    """
    if isinstance(error, RaygenError):
        return error
    lines = [line.strip() for line in str(error).splitlines()]
    own = [found for line in lines if (found := _OWN_ERROR.search(line))]
    if own:
        kind = {one.__name__: one for one in (SettingsError, InputError, StoppedError)}.get(own[-1][1], StoppedError)
        return kind(f"{own[-1][2]} {so_far}")
    other = [line for line in lines if _ANY_ERROR.match(line)]
    what = other[-1].rstrip(".") if other else type(error).__name__
    return StoppedError(f"The run stopped on an error that it did not expect: {what}. {so_far}")
