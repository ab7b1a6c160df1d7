"""All scores of a folder as one file: Parquet, CSV, or the bgzipped TSV with a tabix index that ``bcftools annotate`` reads.

In: a folder of scores. Out: its rows sorted by contig, pos, ref and alt; a window of rows is held at a time.

In the TSV (``#chrom pos ref alt`` and the fields) a value is written as INFO wants it; beside it lies ``FILE.hdr``, the INFO lines
for ``bcftools annotate -h``. In CSV a list is joined by ``&``, and nothing is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pysam

from raygen.finished.export_vcf import TBI_LIMIT
from raygen.finished.info_fields import DeclaredTypes, InfoField, as_text, header_lines
from raygen.finished.run_facts import RunFacts
from raygen.tables.place import put_in_place
from raygen.tables.score_index import ScoreIndex
from raygen.tables.table_files import open_table

HEADER_END = ".hdr"
Progress = Callable[[int], None]


def write_table(
    index: ScoreIndex, contigs: Sequence[str | None], to: str, columns: Sequence[str], on_progress: Progress
) -> int:
    """Write scores to ``to`` as Parquet, CSV or TSV, by the name's end; returns the number of rows."""
    schema = pa.schema([index.schema.field(name) for name in columns])
    with put_in_place(to) as partial, open_table(partial, schema) as table:
        for rows in _in_order(index, contigs, columns):
            table.write(rows)
            on_progress(table.num_rows)
    return table.num_rows


def write_tsv(
    index: ScoreIndex,
    contigs: Sequence[str],
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
            for rows in _in_order(index, contigs, columns):
                types.note(rows, fields)
                texts = [as_text(rows[name], single=False) for name in columns]
                file.write(
                    "".join(f"{line}\n" for line in pc.binary_join_element_wise(*texts, "\t").to_pylist()).encode()
                )
                written += rows.num_rows
                last_pos = max(last_pos, pc.max(rows["pos"]).as_py() or 0)
                on_progress(written)
        csi = last_pos >= TBI_LIMIT
        pysam.tabix_index(str(partial), seq_col=0, start_col=1, end_col=1, force=True, csi=csi)
        lines = [field.header_line(facts) for field in types.of(fields)]
        Path(f"{partial}{HEADER_END}").write_text("".join(f"{line}\n" for line in lines))
    return written, f"{to}{'.csi' if csi else '.tbi'}"


def _in_order(index: ScoreIndex, contigs: Sequence[str | None], columns: Sequence[str]) -> Iterator[pa.Table]:
    """All rows of the contigs, in their order, a window of positions at a time."""
    for chrom in contigs:
        for first, last in index.windows(chrom):
            rows = index.rows_between(chrom, first, last, columns)
            if rows.num_rows:
                yield rows
