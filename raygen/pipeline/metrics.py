"""What a run counts, for Prometheus through Ray and for the manifest: one list of names, one place that adds up.

Stages measure themselves and put what they measured into the shard's table; it reaches the driver with the shard's summary and
is counted there. So a shard counts once, when it is committed, whatever was tried before. Ray exports each name with ``ray_``
before it and, where it counts, ``_total`` behind it; the dashboard and the alert rules in ``infra/monitoring`` use those
names, and a test holds them together. A counter is exported from its first count on (Ray refuses to count 0), gauges from the
start, and the rules reckon with that. Ray exports nothing without ``ray[default]``; the manifest has the numbers all the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raygen.tables.columns import constant

if TYPE_CHECKING:
    from ray.util.metrics import Counter, Gauge

    from raygen.pipeline.stages import ShardSummary  # which measures itself by what is here

STAGES = ("read", "prepare", "score", "write")
_SECONDS = "_seconds"
_SECONDS_BETWEEN_GAUGES = 5.0


@dataclass(frozen=True)
class Metric:
    """A number that a run exports. ``labels``: what it is split by, beside ``run``."""

    name: str
    says: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The metric's name as Prometheus sees it."""
        return f"ray_{self.name}" if self in GAUGES else f"ray_{self.name}_total"


VARIANTS = Metric("raygen_variants", "variants scored and committed")
TOKENS = Metric("raygen_tokens", "tokens that models read, padding included")
SHARDS = Metric("raygen_shards", "shards committed")
BATCHES = Metric("raygen_batches", "passes through a model")
REJECTS = Metric("raygen_rejects", "alleles rejected", ("reason",))
RETRIES = Metric("raygen_retries", "actors that started again after their process died")
MEMORY_SPLITS = Metric("raygen_memory_splits", "times a batch did not fit the memory and was made smaller")
SECONDS = Metric("raygen_stage_seconds", "seconds of work, over all tasks and actors", ("stage",))
VARIANTS_LEFT = Metric("raygen_variants_left", "variants that are not committed yet")
GPU_MEMORY = Metric("raygen_gpu_memory_bytes", "most memory that an actor's GPU held at once, over all actors")
HOST_MEMORY = Metric("raygen_host_memory_bytes", "most host memory that an actor held at once, mapped files included")

COUNTERS = (VARIANTS, TOKENS, SHARDS, BATCHES, REJECTS, RETRIES, MEMORY_SPLITS, SECONDS)
GAUGES = (VARIANTS_LEFT, GPU_MEMORY, HOST_MEMORY)


class RunMetrics:
    """Adds up one run, in the driver."""

    def __init__(self, run_id: str) -> None:
        self._run = {"run": run_id}
        self._totals: dict[str, float] = {}
        self._by_label: dict[str, dict[str, float]] = {REJECTS.name: {}, SECONDS.name: {}}
        self._told = -math.inf
        # Made when first used: without a running Ray there is nobody to tell.
        self._made: dict[str, Counter | Gauge] = {}

    def start(self, num_variants: int, rejects: Mapping[str, int]) -> None:
        """Set what is known once Ray runs: how many variants are to be scored, and how many alleles were rejected
        before.
        """
        self._set(VARIANTS_LEFT, num_variants)
        for reason, number in rejects.items():
            self._add(REJECTS, number, reason=reason)

    def count(self, shard: ShardSummary) -> None:
        """Count a committed shard."""
        added = {
            VARIANTS: shard.scored,
            TOKENS: shard.tokens,
            SHARDS: 1,
            BATCHES: shard.batches,
            RETRIES: shard.restarts,
            MEMORY_SPLITS: shard.splits,
        }
        for metric, number in added.items():
            self._add(metric, number)
        if shard.failed:
            self._add(REJECTS, shard.failed, reason="scoring_failed")
        for stage, seconds in shard.stage_seconds.items():
            self._add(SECONDS, seconds, stage=stage)
        self._set(VARIANTS_LEFT, self._totals.get(VARIANTS_LEFT.name, 0) - shard.num_rows)
        for metric, num_bytes in ((GPU_MEMORY, shard.gpu_memory), (HOST_MEMORY, shard.host_memory)):
            self._set(metric, max(self._totals.get(metric.name, 0), num_bytes))

    def refresh(self) -> None:
        """Tell the gauges again now and then: Ray stops exporting one that was not set for about 20 seconds."""
        if time.monotonic() - self._told >= _SECONDS_BETWEEN_GAUGES:
            for metric in GAUGES:
                self._set(metric, self._totals.get(metric.name, 0))

    def as_manifest(self) -> dict[str, Any]:
        """All numbers for the manifest, under the names that Ray gets; those with a label as a dictionary by label."""
        rounded = {name: _plain(number) for name, number in self._totals.items()}
        split = {name: {key: _plain(number) for key, number in by.items()} for name, by in self._by_label.items()}
        return {**rounded, **split}

    def _add(self, metric: Metric, number: float, **labels: str) -> None:
        if labels:
            label_totals = self._by_label[metric.name]
            (label,) = labels.values()
            label_totals[label] = label_totals.get(label, 0) + number
        else:
            self._totals[metric.name] = self._totals.get(metric.name, 0) + number
        counter = self._of(metric)
        if number:
            counter.inc(number, tags={**self._run, **labels})

    def _set(self, metric: Metric, number: float) -> None:
        self._told = time.monotonic()
        self._totals[metric.name] = number
        self._of(metric).set(number, tags=self._run)

    def _of(self, metric: Metric) -> Any:
        if metric.name not in self._made:
            from ray.util import metrics

            kind = metrics.Gauge if metric in GAUGES else metrics.Counter
            self._made[metric.name] = kind(metric.name, metric.says, tag_keys=("run", *metric.labels))
        return self._made[metric.name]


def _plain(number: float) -> float:
    return round(number, 3) if isinstance(number, float) else number


def with_seconds(stage: str, work: Callable[[], pa.Table]) -> pa.Table:
    """What ``work`` returns, with the seconds that it took in a column that travels with the rows."""
    began = time.perf_counter()
    table = work()
    return table.append_column(stage + _SECONDS, constant(time.perf_counter() - began, len(table)))


def seconds_of(table: pa.Table) -> dict[str, float]:
    """Seconds of work on a shard by stage, from the columns that ``with_seconds`` appended."""
    return {stage: table[stage + _SECONDS][0].as_py() for stage in STAGES if stage + _SECONDS in table.column_names}


class PassCount:
    """How often a model was run: every pass looks its tokens up once, in any model that transformers knows."""

    def __init__(self, network: Any) -> None:
        self.passes = 0
        network.get_input_embeddings().register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.passes += 1
