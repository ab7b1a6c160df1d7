"""What a run would cost, before it is run: tokens, memory, hours and money. No weights are loaded, nothing is written.

Windows and walks are planned exactly as the scorers will plan them, over all of a small input and over stretches of a large
one (``raygen.planning.sampling``), so the time this takes does not grow with the input.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import InputError, SettingsError
from raygen.finished.position_lookup import open_table
from raygen.model.facts import ModelFacts
from raygen.model.on_paper import model_on_paper, state_on_paper
from raygen.model.sizes import StateSize
from raygen.number_of import number_of
from raygen.pipeline.chosen_window import choose_window
from raygen.pipeline.intake import ingested_as_wanted
from raygen.pipeline.shards import Shard, plan_shards
from raygen.planning.embedding_size import embedding_remarks
from raygen.planning.hours import DeviceCost, Price, cost_on_devices
from raygen.planning.sampling import NUM_STRETCHES, STRETCH, STRETCH_RECORDS, sample_input
from raygen.planning.speeds import MeasuredSpeed
from raygen.remote import shown, stage
from raygen.scoring.passes import CPU_BATCH_TOKENS, CPU_STATE_MEMORY, ForkLimits, limits_of, plan_pairs, walk_passes
from raygen.scoring.plan import plan_windows, strands_read, token_pairs, window_keys
from raygen.scoring.prefix_plan import pair_tokens
from raygen.sequence.reference import Reference, refuse_unknown_contigs, staged_reference
from raygen.sequence.window_choices import cheaper_windows
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.schemas import VARIANTS
from raygen.variants.ingest import ingest
from raygen.variants.ingested_folder import VARIANTS_FOLDER, is_ingested
from raygen.variants.inputs import find_inputs

_PIECES_FOR_ALTERNATIVES = 16
_BATCH_TOKENS = {"cpu": CPU_BATCH_TOKENS, "cuda": 65_536}
"""Tokens of a batch by kind of device: about what ``scoring.max_batch_tokens: auto`` comes to; more changes little."""
_STATE_MEMORY = {"cpu": CPU_STATE_MEMORY, "cuda": 2**34}
"""Bytes by kind of device: about what ``scoring.state_memory: auto`` comes to: a quarter of what a model of 7e9
parameters leaves of 80 GB.
"""


UNKNOWN_SIZE = StateSize(fixed=0, per_token=0, in_place=True)
"""As if states took nothing."""


@dataclass(frozen=True)
class WindowTokens:
    """Tokens a run under one window would read, by two passes and by fork."""

    window: Window
    pair: int
    fork: int


@dataclass(frozen=True)
class Estimate:
    """What a run would cost.

    Attributes:
        num_variants: that would be scored; ``num_planned`` of them were planned, and the tokens scaled. ``unit``: what they are, where they
            are others than variants.
        counted: where the number comes from, in words.
        tokens: under the settings' window.
        alternatives: other windows that would be cheaper; each gives other scores.
        weights_bytes: of one model in half precision.
        state_bytes: of the state of a window that was read to its end; None where the model's config.json is not to be had.
        branch_bytes: of what leaves such a window for an allele, beside the window's own state; None likewise.
        costs: hours and money on some devices.
        warnings: sentences on the input, as its ingest says them. remarks: others.
    """

    num_variants: int
    num_planned: int
    counted: str
    strand: str
    method: str
    tokens: WindowTokens
    alternatives: tuple[WindowTokens, ...]
    model: ModelFacts
    weights_bytes: int
    state_bytes: int | None
    branch_bytes: int | None
    costs: tuple[DeviceCost, ...]
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unit: str = "variant"

    @property
    def window(self) -> Window:
        """The settings' window."""
        return self.tokens.window

    @property
    def pair_tokens(self) -> int:
        """Tokens that two full passes a pair (``pair``) would read under the settings' window."""
        return self.tokens.pair

    @property
    def fork_tokens(self) -> int:
        """Tokens that the fork engine (``fork``) would read under the settings' window."""
        return self.tokens.fork

    @property
    def times_fewer(self) -> float:
        """Tokens of two passes for each token of the fork engine."""
        return self.pair_tokens / max(self.fork_tokens, 1)

    def tokens_read(self, tokens: WindowTokens | None = None) -> int:
        """Tokens that the settings' method would read, under the settings' window or another one."""
        tokens = tokens or self.tokens
        return tokens.fork if self.method == "fork" else tokens.pair


@dataclass(frozen=True)
class PlannedInput:
    """Pieces of an input, each a table of consecutive variants of one contig, and what they stand for."""

    pieces: tuple[pa.Table, ...]
    num_variants: int
    counted: str
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def num_planned(self) -> int:
        """Variants in the pieces."""
        return sum(len(piece) for piece in self.pieces)


def estimate(settings: Settings, price: Price | None = None) -> Estimate:
    """Plan a run over variants.

    Args:
        price: what a device costs an hour, in place of the table's.

    Raises:
        SettingsError: the settings name pairs, or the window does not fit the model.
        InputError: the reference, the model or the variants cannot be read, as for ``run_score``.
    """
    reference, model, window = open_for_planning(settings)
    planned = without_prescored(read_input(settings, reference), settings.scoring.prescored)
    has_bos, strand, circular = model.bos_id is not None, settings.window.strand, settings.input.circular
    batch_tokens = settings.scoring.max_batch_tokens
    budget = _BATCH_TOKENS[model.device] if batch_tokens == "auto" else batch_tokens
    size = size_on_paper(model, "float16")
    own_size = size and size_on_paper(model, dtype_on_paper(settings, model))
    counter = _Counter(
        reference,
        strand,
        circular,
        has_bos,
        limits_on_paper(settings, model),
        budget,
        own_size or UNKNOWN_SIZE,
        reads_all=bool(settings.embed.layers or settings.classes.heads),
    )
    tokens = counter.count(window, planned)
    few = replace(planned, pieces=planned.pieces[:: max(len(planned.pieces) // _PIECES_FOR_ALTERNATIVES, 1)])
    here = counter.count(window, few)
    candidates = [counter.count(other, few) for other in cheaper_windows(window, model.context_length)]
    weights = model.num_parameters * 2
    state_bytes = size.prefix(window.longest) if size else None
    remarks, warnings = embedding_remarks(settings, model, planned.num_variants)
    uncosted = Estimate(
        num_variants=planned.num_variants,
        num_planned=planned.num_planned,
        counted=planned.counted,
        strand=strand,
        method=settings.scoring.method,
        tokens=tokens,
        alternatives=(),
        model=model,
        weights_bytes=weights,
        state_bytes=state_bytes,
        branch_bytes=size.branch(window.longest) if size else None,
        costs=(),
        warnings=(*planned.warnings, *warnings),
        remarks=(*planned.remarks, *remarks),
    )
    cheaper = tuple(other for other in candidates if uncosted.tokens_read(other) < uncosted.tokens_read(here))
    read = uncosted.tokens_read()
    return replace(
        uncosted,
        alternatives=cheaper,
        costs=tuple(cost_on_devices(read, model, uncosted.method, state_bytes or 0, price)),
    )


def without_prescored(planned: PlannedInput, table: str | None) -> PlannedInput:
    """The input without the single-base changes that a position table holds, which need no model."""
    if table is None:
        return planned
    held = open_table(table)
    left = tuple(
        piece.filter(pc.is_valid(held.lookup(piece.select(["chrom", "pos", "ref", "alt"]))["missing"]))
        for piece in planned.pieces
    )
    num_left = round(planned.num_variants * sum(map(len, left)) / max(planned.num_planned, 1))
    about = "" if planned.num_planned == planned.num_variants else "about "
    remark = f"{about}{planned.num_variants - num_left:,} of {number_of(planned.num_variants, 'variant')} are in {shown(table)} and need no model"
    return PlannedInput(left, num_left, planned.counted, planned.warnings, (remark,))


def size_on_paper(model: ModelFacts, dtype: str) -> StateSize | None:
    """Bytes of a state, None where the model's config.json is not to be had."""
    try:
        return state_on_paper(model, dtype)
    except InputError:
        return None


def dtype_on_paper(settings: Settings, model: ModelFacts) -> str:
    """The dtype of a run's states, as far as it decides their size: half precisions are alike."""
    if settings.model.dtype != "auto":
        return settings.model.dtype
    return "float32" if model.device == "cpu" else "float16"


def limits_on_paper(settings: Settings, model: ModelFacts) -> ForkLimits:
    """How the walks of a run would be shaped."""
    state_memory = settings.scoring.state_memory
    return limits_of(model.device, _STATE_MEMORY[model.device] if state_memory == "auto" else state_memory)


def measure_on_input(settings: Settings, say: Callable[[str], None]) -> MeasuredSpeed:
    """Time the settings' model on some of their input, on this machine, and keep the speed for later estimates.

    Raises:
        SettingsError, InputError: as ``estimate``, or the model cannot be loaded here.
    """
    from raygen.planning.measure_speed import measure_speed  # torch, for this alone

    reference, model, window = open_for_planning(settings)
    planned = read_input(settings, reference)
    most = max(planned.pieces, key=len, default=VARIANTS.empty_table())
    return measure_speed(settings, model, most, reference, window, say)


def open_for_planning(settings: Settings) -> tuple[Reference, ModelFacts, Window]:
    """Reference, model and window of a run over variants; see ``estimate`` for what it raises."""
    if not settings.input.variants or not settings.input.reference:
        raise SettingsError(
            "raygen plan counts what variants share; pairs cost two passes each unless their WTs are the same."
        )
    reference = staged_reference(settings.input.reference)
    refuse_unknown_contigs(settings.input.circular, reference, "input.circular", settings.input.reference)
    model_settings = settings.model
    model = model_on_paper(
        stage(model_settings.name), model_settings.revision, model_settings.device, model_settings.allow_unvalidated
    )
    return reference, model, choose_window(settings, model.context_length)


def read_input(settings: Settings, reference: Reference) -> PlannedInput:
    """The pieces to plan: the shards of a small or an ingested input, or stretches of a large one.

    An input elsewhere is fetched into the cache first, where the run will find it.
    """
    input_settings = settings.input
    inputs = [Path(stage(path)) for path in input_settings.variants or []]
    if (folder := ingested_as_wanted(inputs, settings, reference)) is not None:
        return _of_shards(plan_shards(folder / VARIANTS_FOLDER, ""), "counted in Parquet footers")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        paths = [path / VARIANTS_FOLDER if is_ingested(path) else path for path in inputs]
        found = find_inputs(paths)
        sample = sample_input(found, place, input_settings.table_columns)
        options = {**input_settings.ingest_options, "source_columns": []}
        if not sample.is_whole:  # only the run sees enough of each contig; a sample tells another assembly
            lenient = {"max_mismatch_share": max(input_settings.max_mismatch_share, 0.5), "max_unknown_share": 1}
            options |= {"source_columns": [STRETCH], **lenient}
        ingested = ingest(sample.files, reference, place / "ingested", **options)
        if sample.is_whole:
            whole = _of_shards(plan_shards(ingested.variants_dir, ""), sample.counted)
            return replace(whole, warnings=tuple(ingested.warnings))
        variants = pq.read_table(ingested.variants_dir)
        num_variants = round(sample.num_records * ingested.num_variants / max(ingested.num_records, 1))
        warnings = *found.remarks, *(f"In a sample of the input: {warning}" for warning in ingested.warnings)
        return PlannedInput(tuple(_stretches(variants)), num_variants, sample.counted, warnings)


def _of_shards(shards: Sequence[Shard], counted: str) -> PlannedInput:
    """The input as its shards: all of them, or of a large input as many rows of some as a stretch has."""
    num_variants = sum(shard.num_rows for shard in shards)
    if num_variants > NUM_STRETCHES * STRETCH_RECORDS:
        step = len(shards) / NUM_STRETCHES
        chosen = [shards[int(number * step)] for number in range(NUM_STRETCHES)] if step > 1 else shards
        shards = [replace(shard, num_rows=min(shard.num_rows, STRETCH_RECORDS)) for shard in chosen]
    return PlannedInput(tuple(shard.read().select(VARIANTS.names) for shard in shards), num_variants, counted)


def _stretches(variants: pa.Table) -> list[pa.Table]:
    """A sample's variants apart by contig and stretch, in the table's order."""
    number = pc.fill_null(
        pc.fill_null_forward(variants[STRETCH].combine_chunks()), 0
    )  # haplotypes have none of their own
    keys = pa.table({"chrom": variants["chrom"], "stretch": number}).group_by(["chrom", "stretch"]).aggregate([])
    return [
        variants.filter(pc.and_(pc.equal(variants["chrom"], key["chrom"]), pc.equal(number, key["stretch"])))
        for key in keys.to_pylist()
    ]


class _Counter:
    """Counts the tokens that scorers of one kind would read."""

    def __init__(
        self,
        reference: Reference,
        strand: str,
        circular: Sequence[str],
        has_bos: bool,
        limits: ForkLimits,
        budget: int,
        size: StateSize,
        reads_all: bool,
    ) -> None:
        self._reads_all = reads_all
        self._reference, self._strand, self._circular = reference, strand, circular
        self._has_bos, self._limits, self._budget = has_bos, limits, budget
        self._size = size

    def count(self, window: Window, planned: PlannedInput) -> WindowTokens:
        """Tokens that would be read under a window, counted on the pieces and scaled to the input."""
        pair, fork = 0, 0
        for piece in planned.pieces:
            placed = plan_windows(piece, self._reference, window, self._strand, self._circular)
            for strand in strands_read(self._strand):
                pairs = token_pairs(placed, strand, self._reference, self._circular)
                keys = window_keys(placed, strand, self._reference)
                walks = plan_pairs(pairs, keys, self._has_bos, self._limits, self._size, reads_all=self._reads_all)
                pair += pair_tokens([wt for wt, _ in pairs], [mut for _, mut in pairs], self._has_bos)
                pair += 2 * len(pairs) * self._reads_all
                fork += sum(
                    one_pass.num_tokens
                    for walk in walks
                    for one_pass in walk_passes(walk, self._budget, self._limits, self._size)
                )
        scale = planned.num_variants / max(planned.num_planned, 1)
        return WindowTokens(window, round(pair * scale), round(fork * scale))
