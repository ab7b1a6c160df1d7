"""What a run would cost in tokens, before it is run: its variants are read and planned, no weights are loaded.

Windows and walks are planned exactly as the scorers will plan them, for all shards or, in a large input, for some that
are spread evenly over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raygen.errors import SettingsError
from raygen.model.loading import NetworkDescription, describe_network
from raygen.pipeline.intake import take_input
from raygen.pipeline.run import choose_window
from raygen.pipeline.shards import Shard, plan_shards
from raygen.scoring.fork import SHAPES, plan_pairs
from raygen.scoring.plan import plan_windows, strands_read, token_pairs, window_keys
from raygen.scoring.prefix_plan import pair_tokens
from raygen.sequence.reference import Reference, open_reference
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.layout import RunFolder

SAMPLED_SHARDS = 64


@dataclass(frozen=True)
class Estimate:
    """Tokens a run would read. They are of ``num_planned`` variants, scaled to ``num_variants``."""

    num_variants: int
    num_planned: int
    window: Window
    strand: str
    method: str
    pair_tokens: int
    fork_tokens: int

    @property
    def times_fewer(self) -> float:
        """Tokens of two passes for each token of the fork engine."""
        return self.pair_tokens / max(self.fork_tokens, 1)


def estimate(settings: Settings) -> Estimate:
    """Plan a run over variants.

    Raises:
        SettingsError: the settings name pairs, or the window does not fit the model.
        InputError: as a run's.
    """
    if not settings.input.variants or not settings.input.reference:
        raise SettingsError(
            "raygen plan counts what variants share; pairs cost two passes each unless their WTs are the same."
        )
    folder = RunFolder(str(settings.output.path))
    folder.prepare()
    reference = open_reference(settings.input.reference)
    named = settings.model
    model = describe_network(
        named.name,
        revision=named.revision,
        device=named.device,
        dtype=named.dtype,
        allow_unvalidated=named.allow_unvalidated,
    )
    window = choose_window(settings, model.context_length)
    taken = take_input(settings, folder, reference, model.context_length)
    shards = plan_shards(Path(taken.variants_dir), taken.digest)
    sampled = shards[:: max(len(shards) // SAMPLED_SHARDS, 1)]
    pair, fork = _tokens(sampled, settings, reference, window, model)
    num_variants, num_planned = (sum(shard.num_rows for shard in some) for some in (shards, sampled))
    scale = num_variants / max(num_planned, 1)
    strand, method = settings.window.strand, settings.scoring.method
    return Estimate(num_variants, num_planned, window, strand, method, round(pair * scale), round(fork * scale))


def _tokens(
    shards: Sequence[Shard], settings: Settings, reference: Reference, window: Window, model: NetworkDescription
) -> tuple[int, int]:
    """Tokens by two passes and by the fork engine."""
    has_bos = model.bos_id is not None
    pair, fork = 0, 0
    for shard in shards:
        planned = plan_windows(shard.read(), reference, window, settings.window.strand, settings.input.circular)
        for strand in strands_read(settings.window.strand):
            pairs = token_pairs(planned, strand, reference, settings.input.circular)
            walks = plan_pairs(pairs, window_keys(planned, strand), has_bos, *SHAPES[model.device.partition(":")[0]])
            pair += pair_tokens([wt for wt, _ in pairs], [mut for _, mut in pairs], has_bos)
            fork += sum(walk.num_tokens for walk in walks)
    return pair, fork
