"""All scores of a folder as one file: Parquet, CSV, or the bgzipped TSV with a tabix index that ``bcftools annotate`` reads.

In: a folder of scores. Out: its rows sorted by contig, pos, ref and alt; a window of rows is held at a time.

In the TSV (``#chrom pos ref alt`` and the fields) a position is one line: all its ALTs and their values, joined by commas, on the longest REF
of the position (A>AT and AT>A are AT>ATT,A). REFs of which neither begins with the other have a line each. So bcftools fills every ALT of a record, whatever its order and its REF (measured with 1.16
and 1.24); of lines with one ALT each it takes the first, 1.24 for numbers all. A value is written as INFO wants it; beside the TSV lies
``FILE.hdr``, the INFO lines for ``bcftools annotate -h``. In CSV a list is joined by ``&``, and nothing is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pysam

from raygen.finished.export_parts import Part
from raygen.finished.export_vcf import TBI_LIMIT
from raygen.finished.info_fields import DeclaredTypes, InfoField, as_text, header_lines
from raygen.finished.run_facts import RunFacts, TableByPlace
from raygen.tables.place import put_in_place
from raygen.tables.table_files import open_table

HEADER_END = ".hdr"
Progress = Callable[[int], None]


def write_table(
    index: TableByPlace, parts: Sequence[Part], to: str, columns: Sequence[str], on_progress: Progress
) -> int:
    """Write scores to ``to`` as Parquet, CSV or TSV, by the name's end; returns the number of rows."""
    schema = pa.schema([index.schema.field(name) for name in columns])
    with put_in_place(to) as partial, open_table(partial, schema) as table:
        for rows in _in_order(index, parts, columns):
            table.write(rows)
            on_progress(table.num_rows)
    return table.num_rows


def write_tsv(
    index: TableByPlace,
    parts: Sequence[Part],
    to: str,
    fields: Sequence[InfoField],
    prefix: str,
    facts: RunFacts,
    on_progress: Progress,
) -> tuple[int, str]:
    """Write scores as bgzipped TSV with its tabix index and ``.hdr``; returns the number of rows and the index's path."""
    columns = ["chrom", "pos", "ref", "alt", *(field.column for field in fields)]
    written = last_pos = 0
    with put_in_place(to, beside=(".tbi", ".csi", HEADER_END)) as partial:
        types = DeclaredTypes()
        with pysam.BGZFile(str(partial), "wb") as file:
            names = ["#chrom", "pos", "ref", "alt", *(field.id for field in fields)]
            run_line = header_lines(fields, prefix, facts)[0]
            file.write("".join(f"{line}\n" for line in [run_line, "\t".join(names)]).encode())
            for rows in _in_order(index, parts, columns):
                types.note(rows, fields)
                file.write("".join(f"{line}\n" for line in _lines(rows, fields, types)).encode())
                written += rows.num_rows
                last_pos = max(last_pos, pc.max(rows["pos"]).as_py() or 0)
                on_progress(written)
        csi = last_pos >= TBI_LIMIT
        pysam.tabix_index(str(partial), seq_col=0, start_col=1, end_col=1, force=True, csi=csi)
        lines = [field.header_line(facts) for field in types.of(fields)]
        Path(f"{partial}{HEADER_END}").write_text("".join(f"{line}\n" for line in lines))
    return written, f"{to}{'.csi' if csi else '.tbi'}"


def _lines(rows: pa.Table, fields: Sequence[InfoField], types: DeclaredTypes) -> list[str]:
    """The lines of some rows, which are sorted and of one contig: one for each longest REF of a position."""
    pos = rows["pos"].to_numpy()
    refs, alts = rows["ref"].to_pylist(), rows["alt"].to_pylist()
    positions = np.append(np.flatnonzero(np.diff(pos, prepend=-1)), len(pos))
    order, offsets, longest = _by_longest_ref(refs, positions)
    spelled = [
        alts[row] + ref[len(refs[row]) :]
        for ref, (start, end) in zip(longest, pairwise(offsets.tolist()), strict=True)
        for row in order[start:end]
    ]
    rows = rows if len(longest) == len(positions) - 1 else rows.take(order)
    starts = pa.array(offsets[:-1])
    values = [_values(rows[field.column], field, offsets, types) for field in fields]
    place = [rows[name].combine_chunks().take(starts) for name in ("chrom", "pos")]
    columns = [place[0], place[1].cast(pa.string()), pa.array(longest, pa.string())]
    columns += [_joined(pa.array(spelled, pa.string()), offsets), *values]
    lines: list[str] = pc.binary_join_element_wise(*columns, "\t").to_pylist()
    return lines


def _by_longest_ref(refs: Sequence[str], offsets: np.ndarray) -> tuple[list[int], np.ndarray, list[str]]:
    """The rows of each line, as indices into ``refs``, where each line begins among them, and each line's REF.

    A row is on the line of every longest REF that begins with its own: where a reference has R, a position may have A>C and G>C.

    Args:
        offsets: where each position begins, and the end.
    """
    order: list[int] = []
    ends, longest = [0], []
    for start, end in pairwise(offsets.tolist()):
        for ref in _longest_refs(refs[start:end]):
            order.extend(row for row in range(start, end) if ref.startswith(refs[row]))
            ends.append(len(order))
            longest.append(ref)
    return order, np.array(ends), longest


def _longest_refs(refs: Sequence[str]) -> list[str]:
    """Those that no other one begins with. In order, a text is followed at once by one that begins with it."""
    distinct = sorted(set(refs))
    if len(distinct) == 1:
        return distinct
    return [ref for ref, following in zip(distinct, [*distinct[1:], ""], strict=True) if not following.startswith(ref)]


def _values(column: pa.ChunkedArray, field: InfoField, offsets: np.ndarray, types: DeclaredTypes) -> pa.StringArray:
    """The values of each position. bcftools stops at numbers of which only some are ``.``: such a column is declared as text."""
    texts = _joined(as_text(column, single=False), offsets)
    if field.type == "String" or not column.null_count:
        return texts
    num_null = np.add.reduceat(pc.is_null(column).to_numpy().astype(int), offsets[:-1])
    is_empty = num_null == np.diff(offsets)
    if (num_null[~is_empty] > 0).any():
        types.as_text.add(field.column)
    return pc.if_else(pa.array(is_empty), ".", texts)


def _joined(texts: pa.StringArray, offsets: np.ndarray) -> pa.StringArray:
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts), ",")


def _in_order(index: TableByPlace, parts: Sequence[Part], columns: Sequence[str]) -> Iterator[pa.Table]:
    """All rows of the parts, in their order, a window of positions at a time."""
    for part in parts:
        yield from part.tables(index, columns)
