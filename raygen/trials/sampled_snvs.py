"""Single-base changes drawn from a reference and scored as any other run: what a background is made of where nothing was scored yet.

In: a reference, or regions of it, a number and a seed. Out: a folder of scores. Each base that is A, C, G or T has the same chance, and so has each of
its three changes; none is drawn twice. The same seed gives the same changes, so a run that was stopped goes on.

Shapes: N changes
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import InputError, SettingsError
from raygen.number_of import number_of
from raygen.pipeline.run import RunResult, Say, run_score
from raygen.sequence.reference import Reference, staged_reference
from raygen.settings import Settings
from raygen.tables.place import make_folder, put_in_place
from raygen.tables.schemas import VARIANTS
from raygen.variants.region_kinds import read_regions

_LETTERS = np.frombuffer(b"ACGT", np.uint8)
_TRIES = 200
_ROW_GROUP_ROWS = 1 << 16


def score_sample(
    settings: Settings, num_changes: int, regions: str | None, seed: int, out: str, say: Say = print
) -> RunResult:
    """Draw changes and score them into the folder ``out``.

    Args:
        settings: of a run whose input and output are set here.
        regions: a BED file; None for all of the reference.

    Raises:
        SettingsError, InputError, StoppedError: as ``run_score``; InputError where there are fewer bases than changes.
    """
    if not settings.input.reference:
        raise SettingsError("--sample draws from a reference: give --reference FASTA.")
    if settings.input.variants or settings.input.pairs or settings.input.source_columns:
        raise SettingsError(
            "--sample draws what is scored: leave out input.variants, input.pairs and input.source_columns."
        )
    reference = staged_reference(settings.input.reference)
    stretches = _stretches(reference, regions, say)
    changes = draw_changes(reference, stretches, num_changes, seed)
    make_folder(Path(out) / "input")
    variants = Path(out) / "input" / "variants.parquet"
    with put_in_place(variants) as partial:
        pq.write_table(changes, partial, row_group_size=_ROW_GROUP_ROWS)
    update = {
        "input": settings.input.model_copy(update={"variants": [str(variants)]}),
        "output": settings.output.model_copy(update={"path": out}),
        "classes": settings.classes.model_copy(update={"background": None, "on": "delta_llr"}),
    }
    return run_score(settings.model_copy(update=update), say)


def draw_changes(
    reference: Reference, stretches: Sequence[tuple[str, int, int]], num_changes: int, seed: int
) -> pa.Table:
    """N changes of bases that lie in stretches (contig, first, last; 1-based) which do not overlap, as rows of VARIANTS, sorted.

    Raises:
        InputError: fewer bases are A, C, G or T than changes are wanted.
    """
    generator = np.random.default_rng(seed)
    lengths = np.array([last - first + 1 for _, first, last in stretches])
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    places = np.zeros(0, np.int64)
    if num_changes > total // 2:
        places = generator.permutation(_usable(reference, stretches, np.arange(total), ends))
    else:
        for _ in range(_TRIES):
            if len(places) >= num_changes:
                break
            drawn = _usable(
                reference, stretches, generator.integers(0, total, 2 * (num_changes - len(places)) + 16), ends
            )
            every = np.concatenate([places, drawn])
            places = every[np.sort(np.unique(every, return_index=True)[1])]
    if len(places) < num_changes:
        raise InputError(
            f"{number_of(num_changes, 'change')} were asked for, and {len(places):,} bases that are A, C, G or T were found."
        )
    places = np.sort(places[:num_changes])
    turns = generator.integers(1, 4, num_changes)
    tables = []
    for number, (chrom, first, _) in enumerate(stretches):
        here = slice(*np.searchsorted(places, [ends[number] - lengths[number], ends[number]]))
        pos = places[here] - (ends[number] - lengths[number]) + first
        letters = reference.bases(chrom)[pos - 1]
        codes = np.searchsorted(_LETTERS, letters)
        texts = pa.array(["A", "C", "G", "T"])
        ref, alt = (texts.take(pa.array(of)) for of in (codes, (codes + turns[here]) % 4))
        none = pa.nulls(len(pos), pa.string())
        tables.append(pa.table([pa.repeat(chrom, len(pos)), pa.array(pos), ref, alt, none], schema=VARIANTS))
    return pa.concat_tables(tables)


def _stretches(reference: Reference, regions: str | None, say: Say) -> list[tuple[str, int, int]]:
    if regions is None:
        return [(name, 1, length) for name, length in reference.lengths.items()]
    chosen, remarks = read_regions(regions, reference, "region")
    for remark in remarks:
        say(f"note: {remark}")
    return [(name, first, last) for name in reference.lengths for first, last in chosen.stretches(name)]


def _usable(
    reference: Reference, stretches: Sequence[tuple[str, int, int]], places: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Those of some places in the stretches, laid one after the other, whose base is A, C, G or T, in their order."""
    number = np.searchsorted(ends, places, side="right")
    letters = np.zeros(len(places), np.uint8)
    for stretch in np.unique(number):
        chrom, first, last = stretches[stretch]
        of_stretch = number == stretch
        begin = ends[stretch] - (last - first + 1)
        letters[of_stretch] = reference.bases(chrom)[places[of_stretch] - begin + first - 1]
    usable: np.ndarray = places[np.isin(letters, _LETTERS)]
    return usable
