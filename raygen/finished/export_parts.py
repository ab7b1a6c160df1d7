"""Which part of a folder's scores is exported: contigs and regions, in the order of the reference.

In: names and regions as a user writes them. Out: parts, of which each is read a window of bounded size at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from raygen.errors import InputError
from raygen.finished.run_facts import TableByPlace
from raygen.tables.score_index import LAST_POS
from raygen.variants.contig_names import resolve_contig
from raygen.variants.human_assemblies import human_assembly
from raygen.variants.region import split_region

_MOST_NAMED = 5


@dataclass(frozen=True)
class Part:
    """A contig, or the stretch of it from ``start`` to ``end`` (1-based, both included). Without a name: pairs."""

    chrom: str | None
    start: int = 1
    end: int = LAST_POS

    def tables(self, index: TableByPlace, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The part's rows, sorted, a window at a time; of windows without rows there is no table."""
        for first, last in index.windows(self.chrom, start=self.start, end=self.end):
            rows = index.rows_between(self.chrom, first, last, columns)
            if rows.num_rows:
                yield rows


def chosen_parts(
    index: TableByPlace,
    order: Sequence[str],
    lengths: Mapping[str, int],
    contigs: Sequence[str] = (),
    regions: Sequence[str] = (),
) -> list[Part]:
    """Whole ``contigs`` and ``chrom:start-end`` in ``regions``, overlapping ones as one; without either every contig of ``order``.

    Args:
        order: the contigs that have scores, as they are to follow each other.
        lengths: bases of the reference's contigs; empty where it is not at hand.

    Raises:
        SettingsError: a region that is written in another way.
        InputError: a contig without scores, a region past its end.
    """
    if not contigs and not regions:
        return [Part(chrom) for chrom in order]
    names = _Names(index, order, lengths)
    parts = [Part(names.resolved(name, f"--contig {name}")) for name in contigs]
    for text in regions:
        name, start, end = split_region(text)
        chrom = names.resolved(name, f"--region {text}")
        if end > lengths.get(chrom, end):
            raise InputError(f"--region {text}: {chrom} has {lengths[chrom]:,} bases, the region ends at {end:,}.")
        parts.append(Part(chrom, start, end))
    return _merged(sorted(parts, key=lambda part: (order.index(part.chrom or ""), part.start)))


def last_position(index: TableByPlace, chrom: str) -> int:
    """The last position (1-based) of a contig that has a row."""
    *_, (first, last) = index.windows(chrom)
    return int(index.rows_between(chrom, first, last, ["pos"])["pos"][-1].as_py())


class _Names:
    """What contigs are called by a user and by the scores."""

    def __init__(self, index: TableByPlace, scored: Sequence[str], lengths: Mapping[str, int]) -> None:
        self._path, self._scored = index.path, scored
        self._known = lengths or dict.fromkeys(scored, 0)
        self._is_human = human_assembly(lengths) is not None

    def resolved(self, name: str, request: str) -> str:
        """The scores' own name of a contig, with or without ``chr``."""
        chrom = resolve_contig(name, self._known, is_human=self._is_human)
        if chrom is None or chrom not in self._scored:
            more = f" and {len(self._scored) - _MOST_NAMED:,} more" if len(self._scored) > _MOST_NAMED else ""
            raise InputError(
                f"{request}: {self._path} holds no scores of {chrom or name}. It has those of "
                f"{', '.join(self._scored[:_MOST_NAMED])}{more}."
            )
        return chrom


def _merged(ascending: Sequence[Part]) -> list[Part]:
    """The same bases in parts that do not overlap."""
    merged: list[Part] = []
    for part in ascending:
        if merged and merged[-1].chrom == part.chrom and part.start <= merged[-1].end:
            merged[-1] = Part(part.chrom, merged[-1].start, max(merged[-1].end, part.end))
        else:
            merged.append(part)
    return merged
