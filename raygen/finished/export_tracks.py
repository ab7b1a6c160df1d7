"""Tracks for a genome browser out of a position table: one number a base, as bigWig or bedGraph.

    NAME.bw, NAME.bedgraph(.gz)      the mean of a base's three changes: how constrained it is
    NAME.A.bw .. NAME.T.bw           the change to one letter; a base that is that letter has no value

Values are float32 and in nats, negative where the change makes the sequence less likely. A base without a row has no value. A mean of float32
values is taken in float64, then rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pysam

from raygen.finished.bigwig import BIGWIG_SUFFIXES, Stretch, write_bigwig
from raygen.finished.export_parts import Part
from raygen.finished.export_vcf import TBI_LIMIT
from raygen.finished.run_facts import RunFacts, TableByPlace
from raygen.finished.text_lines import shortest, text_lines
from raygen.tables.place import put_in_place
from raygen.tables.position_table import BASES, deltas_of
from raygen.variants.vcf_stream import quiet_htslib

BEDGRAPH_SUFFIXES = tuple(f"{name}{end}" for end in (".gz", "") for name in (".bedgraph", ".bedGraph", ".bg"))
MEAN, ALL = "mean", "all"
TRACKS = (MEAN, *BASES, ALL)
Progress = Callable[[int], None]


def track_paths(to: str, track: str) -> dict[str, str]:
    """The tracks to write, each with its file: ``to``, and where all are wanted ``NAME.A.bw`` to ``NAME.T.bw`` beside it."""
    if track != ALL:
        return {track: to}
    end = next(end for end in (*BIGWIG_SUFFIXES, *BEDGRAPH_SUFFIXES) if to.endswith(end))
    return {MEAN: to, **{base: f"{to.removesuffix(end)}.{base}{end}" for base in BASES}}


def write_track(
    index: TableByPlace,
    parts: Sequence[Part],
    lengths: Mapping[str, int],
    to: str,
    track: str,
    facts: RunFacts,
    on_progress: Progress = lambda num_bases: None,
) -> tuple[int, str | None]:
    """Write one track to ``to``; returns how many bases have a value, and the index's path where the file has one.

    Args:
        lengths: bases of the contigs, for a bigWig.

    Raises:
        SettingsError: the library for bigWigs is not installed. InputError: a bigWig would be empty.
    """
    if not to.endswith(BIGWIG_SUFFIXES):
        return _write_bedgraph(index, parts, to, track, facts, on_progress)
    by_name = sorted(
        parts, key=lambda part: ((part.chrom or "").encode(), part.start)
    )  # as the format's tree of names is
    with put_in_place(to) as partial:
        num_bases = write_bigwig(partial, to, lengths, _stretches(index, by_name, track), on_progress)
    return num_bases, None


def _write_bedgraph(
    index: TableByPlace, parts: Sequence[Part], to: str, track: str, facts: RunFacts, on_progress: Progress
) -> tuple[int, str | None]:
    is_packed, num_bases, last = to.endswith(".gz"), 0, 0
    with quiet_htslib(), put_in_place(to, beside=(".tbi", ".csi")) as partial:
        file: IO[bytes] | Any = pysam.BGZFile(str(partial), "wb") if is_packed else partial.open("wb")
        with file:
            file.write(f"# raygen {facts.in_words}\n# {_meaning(track)}\n".encode())
            for chrom, start, value in _stretches(index, parts, track):
                starts, ends = (pa.array(places).cast(pa.string()) for places in (start, start + 1))
                file.write(text_lines(chrom, starts, ends, shortest(pa.array(value))))
                num_bases, last = num_bases + len(start), max(last, int(start[-1]) + 1)
                on_progress(num_bases)
        if not is_packed:
            return num_bases, None
        csi = last >= TBI_LIMIT
        pysam.tabix_index(str(partial), preset="bed", force=True, csi=csi)
    return num_bases, f"{to}{'.csi' if csi else '.tbi'}"


def _meaning(track: str) -> str:
    return f"{'mean delta_llr of the three changes' if track == MEAN else f'delta_llr of the change to {track}'}, nats"


def _stretches(index: TableByPlace, parts: Sequence[Part], track: str) -> Iterator[Stretch]:
    """The values of the parts, a window at a time; a base without any has no place in it."""
    bases = BASES if track == MEAN else (track,)
    for part in parts:
        for rows in part.tables(index, ["pos", *(f"delta_{base}" for base in bases)]):
            deltas = deltas_of(rows, bases=bases)
            has_value = ~np.isnan(deltas).all(axis=1)
            value = np.asarray(np.nanmean(deltas[has_value], axis=1, dtype=np.float64), np.float32)
            if len(value):
                yield part.chrom or "", rows["pos"].to_numpy()[has_value] - 1, value
