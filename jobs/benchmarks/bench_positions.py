"""What a position table costs: python jobs/benchmarks/bench_positions.py [--bases 100000000] [--variants 1000000] [--strands both]

Makes a table of random numbers as `raygen tabulate` lays it down, and a sorted VCF of SNVs in it, and ends in one JSON line: bytes a base; SNVs
a second from the VCF into Parquet (`raygen query TABLE --vcf FILE --out FILE`), of reading the VCF alone, and from an Arrow table in memory;
milliseconds for one variant, with and without opening the table; and the peak memory of each, of the VCF also for a tenth of it.

Each measurement is a process of its own, after its imports. A SNV costs mostly its share of the row groups that are read: how densely the
variants lie decides.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pysam

from raygen.finished.position_lookup import open_table
from raygen.finished.position_query import open_query
from raygen.finished.query import Asked
from raygen.finished.query_output import write_file
from raygen.tables.identity import Identity
from raygen.tables.position_table import BASES, PositionFolder, positions_schema
from raygen.tables.schemas import REJECTS
from raygen.variants.vcf_text import text_alleles

RUN = "20261128T090000Z-9c9dac"
SHARD_BASES = 1 << 18  # as of a large genome
_ONE_BY_ONE = 100  # variants that are looked up one at a time


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        folder = Path(scratch)
        apart(make_table, folder, args.bases, args.strands == "both")
        for name, num_variants in (("all", args.variants), ("tenth", args.variants // 10)):
            apart(make_vcf, folder, name, args.bases, num_variants)
        size = sum(file.stat().st_size for file in (folder / "table/positions").rglob("*.parquet"))
        measured = {
            "bases": args.bases,
            "variants": args.variants,
            "strands": args.strands,
            "bytes_a_base": round(size / args.bases, 2),
            **apart(from_vcf, folder, "all"),
            "peak_mb_from_vcf_of_a_tenth": apart(from_vcf, folder, "tenth")["peak_mb_from_vcf"],
            **apart(read_vcf, folder),
            **apart(from_table, folder),
            **apart(one_by_one, folder, args.bases),
        }
        print(json.dumps(measured))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bases", type=int, default=100_000_000)
    parser.add_argument("--variants", type=int, default=1_000_000)
    parser.add_argument("--strands", choices=["one", "both"], default="one")
    parser.add_argument("--folder", help="where the table and the VCF are put meanwhile: some 16 bytes a base")
    return parser.parse_args()


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """What a function returns in a process of its own, whose memory is then its own, too."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def make_table(folder: Path, num_bases: int, both: bool) -> None:
    """A contig ``1`` of random bases and deltas: ``table``; its bases as codes: ``codes.npy``."""
    table = PositionFolder(str(folder / "table"))
    table.prepare()
    random = np.random.default_rng(0)
    codes = random.integers(0, len(BASES), num_bases, dtype=np.int8)
    np.save(folder / "codes.npy", codes)
    for first in range(0, num_bases, SHARD_BASES):
        rows = random_rows(random, codes[first : first + SHARD_BASES], first, both)
        shard = f"0123456789ab-00000-{first:010d}"
        table.commit_shard(shard, "1", rows, REJECTS.empty_table(), Identity("f" * 16, "0" * 64), RUN)
    manifest = {"run_id": RUN, "fingerprint": "f" * 16, "model": {"name": "random"}, "resolved": {}}
    table.write_manifest(RUN, manifest)


def random_rows(random: np.random.Generator, codes: np.ndarray, first: int, both: bool) -> pa.Table:
    size = len(codes)
    is_reference = np.arange(len(BASES)) == codes[:, None]
    columns = {
        "chrom": pa.repeat(pa.scalar("1"), size),
        "pos": pa.array(np.arange(first + 1, first + size + 1)),
        "ref": pa.array(BASES).take(pa.array(codes)),
        "entropy": pa.array(random.random(size, np.float32)),
        "flags": pa.array(np.zeros(size, np.uint16)),
    }
    for suffix in ("", "_fwd", "_rev") if both else ("",):
        for number, base in enumerate(BASES):
            deltas = 3 * random.standard_normal(size, np.float32)
            columns[f"delta_{base}{suffix}"] = pa.array(deltas, mask=is_reference[:, number])
    return pa.table(columns, schema=positions_schema(both))


def make_vcf(folder: Path, name: str, num_bases: int, num_variants: int) -> None:
    """``<name>.vcf.gz``: sorted SNVs, one in ``num_bases / num_variants`` bases, with as much INFO as a small file has."""
    random = np.random.default_rng(1)
    codes = np.load(folder / "codes.npy", mmap_mode="r")
    step = num_bases // num_variants
    pos = np.arange(num_variants) * step + random.integers(1, step + 1, num_variants)
    ref = codes[pos - 1]
    alt = (ref + random.integers(1, len(BASES), num_variants)) % len(BASES)
    with (folder / f"{name}.vcf").open("w") as file:
        file.write(f"##fileformat=VCFv4.2\n##contig=<ID=1,length={num_bases}>\n")
        file.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for place, old, new in zip(pos.tolist(), ref.tolist(), alt.tolist(), strict=True):
            file.write(f"1\t{place}\trs{place}\t{BASES[old]}\t{BASES[new]}\t100\tPASS\tAC=5;AF=0.01\n")
    pysam.tabix_compress(str(folder / f"{name}.vcf"), str(folder / f"{name}.vcf.gz"))


def from_vcf(folder: Path, name: str) -> dict[str, float]:
    """As ``raygen query TABLE --vcf FILE --out FILE``."""
    clock = Clock()
    query = open_query(str(folder / "table"), Asked(vcf=str(folder / f"{name}.vcf.gz")))
    num_rows = write_file(query, str(folder / "out.parquet"))
    rates = clock.rates(num_rows, "from_vcf")
    assert not query.remarks, query.remarks
    return {**rates, "peak_mb_from_vcf": peak_mb()}


def read_vcf(folder: Path) -> dict[str, float]:
    clock = Clock()
    num_rows = sum(alleles.table.num_rows for alleles in text_alleles(folder / "all.vcf.gz"))
    return clock.rates(num_rows, "of_reading_vcf")


def from_table(folder: Path) -> dict[str, float]:
    """``lookup`` of all variants at once; they and their answers are in memory."""
    variants = alleles_of(folder / "all.vcf")
    clock = Clock()
    rows = open_table(str(folder / "table")).lookup(variants)
    rates = clock.rates(len(rows), "from_table")
    assert rows["missing"].null_count == len(variants)
    return {**rates, "peak_mb_from_table": peak_mb()}


def alleles_of(path: Path) -> pa.Table:
    names = ["chrom", "pos", "id", "ref", "alt", "qual", "filter", "info"]
    read = pyarrow.csv.ReadOptions(skip_rows=3, column_names=names)
    types = {"chrom": pa.string(), "pos": pa.int64(), "ref": pa.string(), "alt": pa.string()}
    convert = pyarrow.csv.ConvertOptions(include_columns=list(types), column_types=types)
    return pyarrow.csv.read_csv(path, read, pyarrow.csv.ParseOptions(delimiter="\t"), convert)


def one_by_one(folder: Path, num_bases: int) -> dict[str, float]:
    """Single variants at random places: the first with opening the table, then others, each of them apart."""
    places = np.random.default_rng(2).integers(1, num_bases + 1, _ONE_BY_ONE).tolist()
    ref = [BASES[code] for code in np.load(folder / "codes.npy", mmap_mode="r")[np.array(places) - 1]]
    variants = [
        pa.table({"chrom": ["1"], "pos": [pos], "ref": [base], "alt": ["A" if base != "A" else "C"]})
        for pos, base in zip(places, ref, strict=True)
    ]
    began = time.perf_counter()
    table = open_table(str(folder / "table"))
    assert table.lookup(variants[0])["missing"].null_count == 1
    opened = time.perf_counter()
    seconds = []
    for variant in variants[1:]:
        start = time.perf_counter()
        table.lookup(variant)
        seconds.append(time.perf_counter() - start)
    return {
        "ms_for_the_first_variant": round(1000 * (opened - began), 1),
        "ms_for_a_variant": round(1000 * float(np.median(seconds)), 2),
        "peak_mb_one_by_one": peak_mb(),
    }


class Clock:
    """Time since it was made, on the wall and of this process's threads: on a busy machine the wall says less."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def rates(self, count: int, name: str) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        return {f"snvs_a_second_{name}": round(count / wall), f"snvs_a_core_second_{name}": round(count / cpu)}


def peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
