"""What a position table would cost is what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygen.errors import SettingsError
from raygen.pipeline.position_shards import plan_position_shards
from raygen.pipeline.tabulate import Parts, with_positions_window
from raygen.planning import position_estimate
from raygen.planning.position_estimate import TokenCounter, estimate_positions
from raygen.scoring.likelihood import load_model
from raygen.scoring.positions import PositionScorer, plan_bases
from raygen.sequence.reference import open_reference
from raygen.sequence.windows import Window
from raygen.settings import load_settings
from raygen.variants.region import Region
from tests.builders import InMemoryReference, fasta, random_bases

CONTIGS = {
    "long": ({"1": random_bases(450, 1)}, 48),
    "in parts by N": ({"1": random_bases(130, 2) + "N" * 700 + random_bases(70, 3) + "NNN" + random_bases(90, 4)}, 48),
    "shorter than a window": ({"1": random_bases(110, 5)}, 120),
    "longer than a window by little": ({"1": random_bases(150, 6)}, 120),
    "circular": ({"M": random_bases(250, 7)}, 48),
    "circular and shorter than a window": ({"M": random_bases(70, 8)}, 120),
    "short ones beside a long one": (
        {"1": random_bases(250, 9), "s20": random_bases(20), "s50": random_bases(50)},
        64,
    ),
}


def settings(folder, contigs: Mapping[str, str], left: int, **more):
    given = {"input.reference": str(fasta(folder, contigs)), "model.name": "demo", "model.device": "cpu"}
    given |= {"input.circular": [name for name in contigs if name == "M"], "window.left": left, "window.stride": left}
    return load_settings(None, given={**given, **more}, complete=False)


def computed(chosen) -> int:
    """Tokens that the model computes for every base of the settings' reference, tile by tile."""
    reference, values = open_reference(chosen.input.reference), with_positions_window(chosen, 8192).window
    window, strand = Window(values.left, values.right, values.anchor, values.stride), values.strand
    model, circular = load_model("demo", device="cpu"), chosen.input.circular
    scorer = PositionScorer(model, reference, window, strand, circular, chosen.scoring.method)
    whole = [Region(chrom, 1, length) for chrom, length in reference.lengths.items()]
    for shard in plan_position_shards(reference, whole, window, "", reference.path):
        first = shard.first(reference.bases(shard.chrom))
        scorer.score(plan_bases(shard.chrom, first, reference, window, strand, shard.chrom in circular))
    return model.num_tokens_computed


@pytest.mark.parametrize("right", [1, 16])
@pytest.mark.parametrize("kind", CONTIGS)
def test_as_many_tokens_are_computed_as_were_planned_within_a_fifth(tmp_path, kind, right):
    chosen = settings(tmp_path, *CONTIGS[kind], **{"window.right": right, "window.strand": "both"})
    assert estimate_positions(chosen, Parts()).fork_tokens == pytest.approx(computed(chosen), rel=0.2)


def test_two_passes_for_each_change_are_planned_as_they_are_computed(tmp_path):
    chosen = settings(tmp_path, {"1": random_bases(120, 1) + "NN"}, 32, **{"scoring.method": "pair"})
    assert estimate_positions(chosen, Parts()).pair_tokens == pytest.approx(computed(chosen), rel=0.2)


def test_bases_are_counted_and_no_other_letters(tmp_path):
    chosen = settings(tmp_path, {"1": random_bases(300) + "N" * 500 + "R", "2": "ACGT"}, 64)
    planned = estimate_positions(chosen, Parts())
    assert (planned.num_variants, planned.num_planned, planned.unit) == (304, 304, "base")


def test_a_circular_contig_that_there_is_not_is_refused_as_by_the_run(tmp_path):
    chosen = settings(tmp_path, {"1": "ACGT"}, 64, **{"input.circular": ["3"]})
    with pytest.raises(SettingsError, match=r"input\.circular names 3"):
        estimate_positions(chosen, Parts())


def test_some_tiles_stand_for_all_of_a_long_contig_and_short_ones_for_themselves(tmp_path, monkeypatch):
    contigs = {"1": random_bases(3000, 9), **{f"s{number}": random_bases(number) for number in (20, 50, 90)}}
    chosen = settings(tmp_path, contigs, 100, **{"window.right": 16})
    whole = estimate_positions(chosen, Parts())
    monkeypatch.setattr(position_estimate, "MOST_COUNTED", 700)
    some = estimate_positions(chosen, Parts())
    assert some.num_planned < whole.num_planned == some.num_variants
    assert some.fork_tokens == pytest.approx(whole.fork_tokens, rel=0.1)


@cache
def one_contig() -> InMemoryReference:
    return InMemoryReference({"1": random_bases(210)})


@given(
    left=st.integers(0, 30),
    stride=st.integers(1, 20),
    start=st.integers(0, 120),
    length=st.integers(1, 90),
)
def test_tokens_of_an_interval_are_those_of_its_windows(left: int, stride: int, start: int, length: int) -> None:
    window = Window(left, 1, "grid", stride)
    shards = plan_position_shards(one_contig(), [Region("1", start + 1, start + length)], window, "", "")
    ends: dict[tuple[str, int], int] = {}  # of each window of a shard, by its start: the last base it is read to
    for shard in shards:
        for base in shard.first(one_contig().bases("1")).tolist():
            window_start = max((base - left) // stride * stride, 0)
            ends[shard.name, window_start] = base + 1
    tokens, num_counted = TokenCounter(one_contig(), window, "forward", (), 3.0).count(shards)
    assert tokens.fork == sum(end - window_start for (_, window_start), end in ends.items())
    assert num_counted == length


class Genome:
    """A reference of nothing but A that takes no room."""

    lengths: ClassVar = {"1": 248_956_422, "2": 242_193_529}

    def bases(self, contig: str) -> np.ndarray:
        return np.broadcast_to(np.uint8(ord("A")), self.lengths[contig])


def test_a_genome_costs_two_tokens_a_base_and_strand_where_the_stride_is_what_is_read_before(monkeypatch) -> None:
    monkeypatch.setattr(position_estimate, "MOST_COUNTED", 1 << 21)
    genome, num_bases = Genome(), sum(Genome.lengths.values())
    window = Window(4095, 1, "grid", 4095)
    whole = [Region(chrom, 1, length) for chrom, length in genome.lengths.items()]
    shards = plan_position_shards(genome, whole, window, "", "")
    assert sum(shard.num_bases for shard in shards) == num_bases
    tokens, num_counted = TokenCounter(genome, window, "both", (), 3.0).count(shards)
    assert num_counted < num_bases // 100
    assert tokens.fork / num_bases == pytest.approx(4, rel=0.02)  # 262,080 bases a tile: 1.2% at their edges
    tokens, _ = TokenCounter(genome, Window(4095, 1), "forward", (), 3.0).count(shards)
    assert tokens.fork / num_bases == pytest.approx(4096, rel=0.001)
