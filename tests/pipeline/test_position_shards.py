"""How a reference is cut: every base once, at the edges of windows, alike whatever part of it is asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygen.pipeline.position_shards import (
    MAX_TILE,
    letter_counts,
    merged_intervals,
    plan_position_shards,
    tile_length,
)
from raygen.sequence.reference import Reference, open_reference
from raygen.sequence.windows import Window
from raygen.variants.region import Region
from tests.builders import fasta, random_bases

CONTIGS = {"1": random_bases(1000, 1), "2": "N" * 200, "tiny": "NNACGRTY"}
WINDOW = Window(30, 1, "grid", 20)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Reference:
    return open_reference(str(fasta(tmp_path_factory.mktemp("reference"), CONTIGS)))


def shards_of(reference: Reference, regions: list[Region]):
    return plan_position_shards(reference, regions, WINDOW, "identity", reference.path)


def whole(reference: Reference) -> list[Region]:
    return [Region(chrom, 1, length) for chrom, length in reference.lengths.items()]


def test_every_base_once_and_in_order(reference) -> None:
    shards = shards_of(reference, whole(reference))
    places = {chrom: [] for chrom in CONTIGS}
    for shard in shards:
        rows = shard.read()
        assert len(rows) == shard.num_bases and shard.num_rows == 3 * shard.num_bases
        assert set(rows["shard"].to_pylist()) == {shard.name}
        places[shard.chrom] += rows["first"].to_pylist()
    assert places == {chrom: [i for i, base in enumerate(bases) if base in "ACGT"] for chrom, bases in CONTIGS.items()}
    assert len({shard.name for shard in shards}) == len(shards)


def test_edges_lie_where_windows_change(reference) -> None:
    starts = [shard.intervals[0][0] for shard in shards_of(reference, [Region("1", 1, 1000)])]
    assert starts[0] == 0 and len(starts) > 5
    assert all((start - WINDOW.left) % WINDOW.stride == 0 for start in starts[1:])


def test_a_contig_alone_is_cut_as_it_is_with_the_others(reference) -> None:
    alone = {shard.name for shard in shards_of(reference, [Region("1", 1, 1000)])}
    assert alone < {shard.name for shard in shards_of(reference, whole(reference))}


def test_a_part_of_a_tile_has_a_name_of_its_own(reference) -> None:
    (part,) = shards_of(reference, [Region("1", 11, 20), Region("1", 15, 24)])
    assert part.intervals == ((10, 24),)
    assert part.name not in {shard.name for shard in shards_of(reference, whole(reference))}
    (other,) = shards_of(reference, [Region("1", 11, 25)])
    assert other.name != part.name


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), max_size=12))
def test_merged_intervals_hold_each_base_once(spans) -> None:
    regions = [Region("1", start, start + more) for start, more in spans]
    intervals = merged_intervals(regions).get("1", ())
    bases = [place for start, end in intervals for place in range(start, end)]
    assert bases == sorted({place for region in regions for place in range(region.start - 1, region.end)})
    assert all(before[1] < after[0] for before, after in pairwise(intervals))


def test_other_letters_are_counted(reference) -> None:
    assert letter_counts(reference, merged_intervals(whole(reference))) == {"N": 202, "R": 1, "Y": 1}


@pytest.mark.parametrize(
    ("num_bases", "strides"),
    [(16_569, 4), (640_000, 4), (3_200_000, 24), (3_100_000_000, MAX_TILE // 2047)],
)
def test_tiles_grow_with_the_reference(num_bases: int, strides: int) -> None:
    """Four strides at least, a 64th of the reference, at most ``MAX_TILE``: 3,200,000 / 64 = 50,000 = 24.4 strides of 2,047."""
    assert tile_length(num_bases, Window(2047, 1, "grid", 2047)) == strides * 2047
