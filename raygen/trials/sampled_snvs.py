"""Single-base changes drawn from a reference and scored as any other run: what a background is made of where nothing was scored yet.

In: a reference, or regions of it, a number and a seed. Out: a folder of scores. Each base that is A, C, G or T has the same chance, and so has each of
its three changes; of a base one change is drawn at most. The same seed gives the same changes, so a run that was stopped goes on; a folder with
another sample is refused, since its scores would be counted with these.

Shapes: N changes
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import InputError, SettingsError
from raygen.number_of import number_of
from raygen.pipeline.run import RunResult, Say, run_score
from raygen.sequence.reference import Reference, staged_reference
from raygen.settings import ClassSettings, Settings
from raygen.tables.place import make_folder, put_first, put_in_place
from raygen.tables.schemas import VARIANTS
from raygen.variants.region_kinds import read_regions

_LETTERS = np.frombuffer(b"ACGT", np.uint8)
_TRIES = 200
_ROW_GROUP_ROWS = 1 << 16


def settings_of_sample(settings: Settings) -> Settings:
    """The settings of a run that scores a sample: those of a usual run, without what it scores and how it classes.

    Raises:
        SettingsError: no reference is named.
    """
    if not settings.input.reference:
        raise SettingsError("--sample draws from a reference: give --reference FASTA.")
    of_run: dict[str, Any] = {"variants": None, "pairs": None, "source_columns": [], "haplotype_column": None}
    update = {"input": settings.input.model_copy(update=of_run), "classes": ClassSettings()}
    return settings.model_copy(update=update)


def score_sample(
    settings: Settings, num_changes: int, regions: str | None, seed: int, out: str, say: Say = print
) -> RunResult:
    """Draw changes and score them into the folder ``out``.

    Args:
        settings: of ``settings_of_sample``.
        regions: a BED file; None for all of the reference.

    Raises:
        SettingsError, InputError, StoppedError: as ``run_score``; SettingsError where ``out`` holds another sample, InputError where there are fewer bases
            than changes.
    """
    reference = staged_reference(str(settings.input.reference))
    stretches = _stretches(reference, regions, say)
    changes = draw_changes(reference, stretches, num_changes, seed)
    folder = Path(out) / "input"
    make_folder(folder)
    drawn = {
        "changes": num_changes,
        "seed": seed,
        "digest": hashlib.sha256(repr((reference.digest, stretches)).encode()).hexdigest(),
    }
    _refuse_other_sample(folder / "sample.json", drawn, out)
    variants = folder / "variants.parquet"
    with put_in_place(variants) as partial:
        pq.write_table(changes, partial, row_group_size=_ROW_GROUP_ROWS)
    update = {
        "input": settings.input.model_copy(update={"variants": [str(variants)]}),
        "output": settings.output.model_copy(update={"path": out}),
    }
    return run_score(settings.model_copy(update=update), say)


def _refuse_other_sample(path: Path, drawn: dict[str, Any], out: str) -> None:
    """Note what was drawn; SettingsError where the folder holds another sample."""
    content = json.dumps(drawn).encode()
    if put_first(path, content) or path.read_bytes() == content:
        return
    earlier = json.loads(path.read_text())
    raise SettingsError(
        f"{out} holds another sample: {number_of(earlier['changes'], 'change')} by the seed {earlier['seed']}, of this reference and these "
        "regions or of others. Give another --out, or remove that folder."
    )


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
    for _ in range(_TRIES if num_changes < total // 2 else 0):
        if len(places) >= num_changes:
            break
        drawn = generator.integers(0, total, 2 * (num_changes - len(places)) + 16)
        every = np.concatenate([places, drawn[_is_usable(reference, stretches, drawn, ends)]])
        places = every[np.sort(np.unique(every, return_index=True)[1])]
    if len(places) < num_changes:  # most bases are wanted, or few are A, C, G or T
        places = generator.permutation(_every_usable(reference, stretches, ends))
    if len(places) < num_changes:
        raise InputError(
            f"{number_of(num_changes, 'change')} were asked for; one of each base can be drawn, and {len(places):,} bases are A, C, G or T."
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


def _is_usable(
    reference: Reference, stretches: Sequence[tuple[str, int, int]], places: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """(P,) whether the base at each of P places in the stretches, laid one after the other, is A, C, G or T."""
    order = np.argsort(places, kind="stable")
    ascending = places[order]
    bounds = np.searchsorted(ascending, ends)
    is_usable = np.zeros(len(places), bool)
    for number in np.flatnonzero(np.diff(bounds, prepend=0)).tolist():
        chrom, first, last = stretches[number]
        here = slice(bounds[number - 1] if number else 0, bounds[number])
        inside = ascending[here] - (ends[number] - (last - first + 1)) + first - 1
        is_usable[order[here]] = np.isin(reference.bases(chrom)[inside], _LETTERS)
    return is_usable


def _every_usable(reference: Reference, stretches: Sequence[tuple[str, int, int]], ends: np.ndarray) -> np.ndarray:
    """All places in the stretches whose base is A, C, G or T, ascending."""
    parts = [
        np.flatnonzero(np.isin(reference.bases(chrom)[first - 1 : last], _LETTERS)) + end - (last - first + 1)
        for (chrom, first, last), end in zip(stretches, ends, strict=True)
    ]
    return np.concatenate(parts)
