"""Small inputs for the readers, and a reference that lives in memory."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pysam
import pytest

from raygen.variants.ingest import ingest

HEADER = """##fileformat=VCFv4.2
##FILTER=<ID=q10,Description="low quality">
##INFO=<ID=END,Number=1,Type=Integer,Description="last base">
##INFO=<ID=SVLEN,Number=.,Type=Integer,Description="length">
##INFO=<ID=AF,Number=A,Type=Float,Description="allele frequency">
##INFO=<ID=AD,Number=R,Type=Integer,Description="depths">
##INFO=<ID=DP,Number=1,Type=Integer,Description="depth">
##INFO=<ID=DB,Number=0,Type=Flag,Description="in dbSNP">
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="significance">
"""


class MemoryReference:
    """A reference out of ``{contig: bases}``."""

    def __init__(self, contigs: Mapping[str, str], path: str = "ref.fa") -> None:
        self.path = path
        self.lengths = {name: len(bases) for name, bases in contigs.items()}
        self.digest = hashlib.sha256(repr(sorted(contigs.items())).encode()).hexdigest()
        self._bases = {name: np.frombuffer(bases.upper().encode(), np.uint8) for name, bases in contigs.items()}

    def bases(self, contig: str) -> np.ndarray:
        return self._bases[contig]


def read_fasta(path: Path) -> MemoryReference:
    contigs: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line.startswith(">"):
            lines = contigs.setdefault(line[1:].split()[0], [])
        else:
            lines.append(line.strip())
    return MemoryReference({name: "".join(lines) for name, lines in contigs.items()}, str(path))


@pytest.fixture
def reference_of() -> Callable[..., MemoryReference]:
    """``reference_of({"1": "ACGT"})``"""
    return MemoryReference


@pytest.fixture
def fasta() -> Callable[[Path], MemoryReference]:
    return read_fasta


@pytest.fixture
def vcf(tmp_path: Path) -> Callable[..., Path]:
    """``vcf(["1 10 rs1 A C"])`` writes a VCF and returns its path.

    A record is given with blanks for tabs; columns up to INFO that are left out are ``.``. The name's end says how it is packed:
    ``.vcf``, ``.vcf.gz`` (bgzip), ``.plain.vcf.gz`` (gzip), ``.bcf``. ``raw`` lines are written as they are.
    """

    def write(records: Sequence[str] = (), name: str = "a.vcf", *, header: str = "", raw: Sequence[str] = ()) -> Path:
        lines = ["\t".join((record.split(" ") + ["."] * 8)[:8]) for record in records]
        text = (
            HEADER
            + header
            + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
            + "".join(f"{x}\n" for x in [*lines, *raw])
        )
        path = tmp_path / name
        if name.endswith(".plain.vcf.gz"):
            path.write_bytes(gzip.compress(text.encode()))
            return path
        plain = path if name.endswith(".vcf") else tmp_path / f"{name}.txt"
        plain.write_bytes(text.encode("utf-8", "surrogateescape"))
        if name.endswith(".vcf.gz"):
            pysam.tabix_compress(str(plain), str(path), force=True)
        elif name.endswith(".bcf"):
            with (
                pysam.VariantFile(str(plain)) as source,
                pysam.VariantFile(str(path), "wb", header=source.header) as sink,
            ):
                for record in source:
                    sink.write(record)
        return path

    return write


@pytest.fixture
def run_ingest(tmp_path: Path) -> Callable[..., Any]:
    """Ingests and returns ``result``, ``variants`` and ``rejects`` (lists of dicts), ``ids`` and ``reasons``."""

    def run(inputs: Any, reference: MemoryReference, **options: Any) -> Any:
        inputs = inputs if isinstance(inputs, list) else [inputs]
        result = ingest(inputs, reference, options.pop("out", tmp_path / "out"), **options)
        variants = pl.read_parquet(result.variants_dir / "*.parquet").to_dicts()
        has_rejects = any(result.rejects_dir.iterdir())
        rejects = pl.read_parquet(result.rejects_dir / "*.parquet").to_dicts() if has_rejects else []
        return SimpleNamespace(
            result=result,
            variants=variants,
            rejects=rejects,
            ids=["-".join(str(row[name]) for name in ("chrom", "pos", "ref", "alt")) for row in variants],
            reasons=[row["reason"] for row in rejects],
        )

    return run
