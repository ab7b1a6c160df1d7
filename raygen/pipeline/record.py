"""What a run counts and writes down: its totals, its warnings and times, and the manifest that holds them.

In: the summary of each committed shard, and what the steps of a run find out. Out: ``manifest.json``, the event log, metrics. A
manifest is written three times, when scoring starts, when it ends and when it is done, so that a run that was killed left one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from raygen.classes.calibration import summary as calibration_summary
from raygen.errors import StoppedError
from raygen.pipeline.cluster import ActorPlan
from raygen.pipeline.events import EventLog
from raygen.pipeline.job import Job
from raygen.pipeline.metrics import RunMetrics
from raygen.pipeline.resolve import Resolved
from raygen.pipeline.stages import ShardSummary
from raygen.settings import Settings
from raygen.tables.layout import RunFolder
from raygen.tables.manifest import Counts, Pace, add_counts, machine, versions

_FEWEST_TRIED = 300  # rows: in a small input one bad row is a large share


@dataclass
class RunTotals:
    """What the committed shards of a run held, added up; the fields are those of ``ShardSummary``."""

    counts: Counts = field(default_factory=Counts)
    tokens: int = 0
    tokens_before: int = 0
    tokens_by_two_passes: int = 0
    rescored: int = 0
    halvings: int = 0
    pace: Pace = field(default_factory=Pace)

    def add(self, summary: ShardSummary) -> None:
        """Count a committed shard."""
        counts = self.counts
        counts.scored += summary.scored
        counts.already_scored += summary.already_scored
        counts.prescored += summary.prescored
        counts.abstained += summary.abstained
        if summary.failed:
            add_counts(counts.rejected, {"scoring_failed": summary.failed})
        add_counts(counts.classes, summary.classes)
        add_counts(counts.flags, summary.flags)
        self.tokens += summary.tokens
        self.tokens_before += summary.tokens_before
        self.tokens_by_two_passes += summary.tokens_by_two_passes
        self.rescored += summary.rescored
        self.halvings = max(self.halvings, summary.halvings)
        self.pace.add(summary.scored, summary.tokens)

    def as_manifest(self) -> dict[str, Any]:
        """The totals as a manifest says them, without the pace."""
        return {
            "counts": {**asdict(self.counts), "num_rejected": self.counts.num_rejected},
            "tokens": {
                "computed": self.tokens,
                "by_earlier_tries": self.tokens_before,
                "by_two_passes": self.tokens_by_two_passes,
                "saved": self.tokens_by_two_passes - self.tokens,
            },
            "rescored_in_float32": self.rescored,
            "out_of_memory_halvings": self.halvings,
        }


class FailureLimit:
    """Stops a run in which more rows than allowed cannot be scored, those of earlier runs of the same command included."""

    def __init__(self, settings: Settings, folder: RunFolder) -> None:
        self._share, self._place = settings.scoring.max_failed_share, folder.path
        self._num_failed = self._num_tried = 0

    def add(self, num_failed: int, num_tried: int) -> None:
        """Count rows that were tried.

        Raises:
            StoppedError: too many of all could not be scored.
        """
        self._num_failed += num_failed
        self._num_tried += num_tried
        if self._num_failed > self._share * max(self._num_tried, _FEWEST_TRIED):
            raise StoppedError(
                f"{self._num_failed:,} of {self._num_tried:,} rows tried could not be scored (scoring_failed, with "
                f"the reason in {self._place}/rejects), more than scoring.max_failed_share ({self._share:g}) allows. "
                "Where the rows are at fault, raise it and run the same command again; where the model or the "
                "machine is, score into a new folder."
            )


class RunRecord:
    """What a run has found out so far.

    Attributes:
        input: the ingested input, as the manifest says it.
        actors: None before scoring starts.
        kind: of the table, where it is another one than scores.
        seconds: by step of the run.
    """

    def __init__(self, settings: Settings, folder: RunFolder, resolved: Resolved) -> None:
        self._settings, self._folder, self._model = settings, folder, resolved.model
        self._started = datetime.now(UTC)
        self._metrics, self._log = RunMetrics(resolved.job.run_id), EventLog(resolved.job.run_id)
        self.totals = RunTotals()
        self.warnings: list[str] = []
        self.input: dict[str, Any] = {}
        self.actors: ActorPlan | None = None
        self.kind: str | None = None
        self.seconds: dict[str, float] = {}

    def warn(self, warning: str) -> None:
        """Keep a warning for the manifest and the event log."""
        self.warnings.append(warning)
        self._log.write("warning", message=warning)

    def start_counting(self, num_rows: int) -> None:
        """Note that rows are scored from now on."""
        self._metrics.start(num_rows, self.totals.counts.rejected)

    def start_actors(self, num_rows: int, num_shards: int, actors: ActorPlan) -> None:
        """Note that the actors start now, and how much is left to them."""
        self._log.write("scoring", variants=num_rows, shards=num_shards, actors=asdict(actors))

    def add(self, summary: ShardSummary) -> None:
        """Count a committed shard."""
        self.totals.add(summary)
        self._metrics.count(summary)
        self._log.write("shard_committed", **asdict(summary))

    def refresh(self) -> None:
        """Keep the gauges alive while nothing is committed."""
        self._metrics.refresh()

    def write(self, status: str, job: Job) -> str:
        """Write the manifest as it stands and return its path."""
        totals = self.totals
        self._log.write(status, **asdict(totals.counts), tokens=totals.tokens)
        return self._folder.write_manifest(
            job.run_id,
            {
                "run_id": job.run_id,
                "status": status,
                **({"kind": self.kind} if self.kind else {}),
                "started": self._started.isoformat(timespec="seconds"),
                "written": datetime.now(UTC).isoformat(timespec="seconds"),
                "fingerprint": job.identity.fingerprint,
                "model": asdict(self._model),
                "input": self.input,
                "calibration": calibration_summary(job.calibration) if job.calibration else None,
                "background": job.background.summary if job.background else None,
                **({"heads": {name: dict(head.summary) for name, head in job.heads.items()}} if job.heads else {}),
                "settings": self._settings.model_dump(mode="json"),
                "resolved": job.as_plain(),
                "actors": asdict(self.actors) if self.actors else None,
                **totals.as_manifest(),
                "metrics": self._metrics.as_manifest(),
                "warnings": self.warnings,
                "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
                "versions": versions(),
                "machine": machine(),
                "pace": totals.pace.points,
            },
        )
