"""From an ingested folder to one without the variants that are scored already: an anti-join in bounded memory.

In: what ``ingest`` wrote, and the score files of each contig. Out: a folder of the same form. New variants are held some
hundred thousand at a time (``STRETCH_ROWS``, of one contig, between two positions); the scored ones of that contig between
those positions stream past them in batches of ``BATCH_ROWS``. So memory depends on neither table's size, and each score file is
read once for each stretch that reaches into it, three columns of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from raygen.tables.place import make_folder, write_text
from raygen.tables.schemas import VARIANTS, variant_ids
from raygen.variants.ingested_folder import INFO_FILE, REJECTS_FOLDER, VARIANTS_FOLDER, PartFiles, read_ingest_info

STRETCH_ROWS = 1 << 18
BATCH_ROWS = 1 << 17
_KEY = ["pos", "ref", "alt"]


@dataclass(frozen=True)
class LeftOut:
    """How many variants came in, and how many of them were scored already and are left out."""

    num_variants: int
    num_left_out: int


def leave_out_scored(
    ingested: Path,
    out: Path,
    scored: Mapping[str | None, Sequence[str]],
    filesystem: fs.FileSystem,
    *,
    row_group_rows: int = 4096,
    file_rows: int = 1_048_576,
) -> LeftOut:
    """Write the variants of ``ingested`` that ``scored`` does not hold to ``out``, which must not exist.

    Args:
        scored: paths of score files by contig, on ``filesystem``; each sorted by ``pos``.
    """
    make_folder(out / VARIANTS_FOLDER)
    make_folder(out / REJECTS_FOLDER)
    digest, num_variants = hashlib.sha256(), 0
    table: PartFiles | None = None
    for contig, variants in _stretches(ingested / VARIANTS_FOLDER):
        table = table or PartFiles(
            out / VARIANTS_FOLDER, variants.schema, row_group_rows=row_group_rows, file_rows=file_rows
        )
        is_new = ~_are_scored(variants, list(scored.get(contig, ())), filesystem)
        new = variants.filter(pa.array(is_new))
        digest.update("".join(f"{name}\n" for name in variant_ids(new).to_pylist()).encode())
        table.write(new)
        table.end_group()
        num_variants += len(variants)
    if table is None:
        table = PartFiles(out / VARIANTS_FOLDER, VARIANTS, row_group_rows=row_group_rows, file_rows=file_rows)
    table.close(at_least_one_file=True)
    _write_info(ingested, out, table.num_rows, digest.hexdigest())
    return LeftOut(num_variants, num_variants - table.num_rows)


def _write_info(ingested: Path, out: Path, num_variants: int, digest: str) -> None:
    """``ingest.json`` comes last: without it the folder is none that was finished."""
    info = read_ingest_info(ingested)
    counts = {"num_records": num_variants, "num_alleles": num_variants, "num_variants": num_variants}
    info |= {**counts, "digest": digest, "rejects": {}, "warnings": []}
    write_text(out / INFO_FILE, json.dumps(info, indent=2) + "\n")


def _stretches(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Consecutive row groups of one contig, together about ``STRETCH_ROWS`` rows; a row group holds one contig."""
    contig, groups = "", list[pa.Table]()
    for path in sorted(folder.glob("part-*.parquet")):
        file = pq.ParquetFile(path)
        for index in range(file.num_row_groups):
            group = file.read_row_group(index)
            if not len(group):
                continue
            name = group["chrom"][0].as_py()
            if groups and (name != contig or sum(map(len, groups)) + len(group) > STRETCH_ROWS):
                yield contig, pa.concat_tables(groups)
                groups = []
            contig = name
            groups.append(group)
    if groups:
        yield contig, pa.concat_tables(groups)


def _are_scored(variants: pa.Table, paths: Sequence[str], filesystem: fs.FileSystem) -> np.ndarray:
    """Which variants of one contig, in order of position, are scored already: (N,) bool."""
    is_scored = np.zeros(len(variants), bool)
    if not paths:
        return is_scored
    positions = variants["pos"].to_numpy()
    new = pl.DataFrame(pl.from_arrow(variants.select(_KEY))).with_row_index("row")
    between = (ds.field("pos") >= int(positions[0])) & (ds.field("pos") <= int(positions[-1]))
    dataset = ds.dataset(list(paths), filesystem=filesystem, format="parquet")
    batches = dataset.to_batches(
        columns=_KEY, filter=between, batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=1, use_threads=False
    )
    for batch in batches:
        if batch.num_rows:
            is_scored[_rows_in(new, positions, batch)] = True
    return is_scored


def _rows_in(new: pl.DataFrame, positions: np.ndarray, batch: pa.RecordBatch) -> np.ndarray:
    """Row numbers of those ``new`` variants that ``batch`` holds, too. A batch of a sorted file reaches over few
    positions.
    """
    here = batch["pos"].to_numpy()
    first = np.searchsorted(positions, here.min(), "left")
    end = np.searchsorted(positions, here.max(), "right")
    scored = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
    near = new.slice(int(first), int(end - first)).lazy()
    return near.join(scored.lazy(), on=_KEY, how="semi").select("row").collect().to_series().to_numpy()
