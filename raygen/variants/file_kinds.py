"""Which files hold variants: known by their first bytes, whatever they are called.

A name that ends as those of variants do, in letters of either size, is an input too: what is wrong with it is then said, and
not passed over. A name that ends as an unfinished copy does is none, whatever is in it. PLINK's tables without a header look like any
other table, so these are known by their endings; a CSV or TSV by columns of usual names (``table_columns``).
"""

from __future__ import annotations

import csv
import re
import zlib
from pathlib import Path
from typing import Literal

import pyarrow as pa

from raygen.variants.table_columns import has_sites, split_header

Kind = Literal["VCF", "BCF", "Parquet", "pvar", "bim", "bgi", "table"]

KINDS = "VCF, BCF, Parquet, .pvar, .bim, .bgi, CSV or TSV"
"""What is read, in messages."""
HEAD_BYTES = 1 << 16
"""So many bytes of a file tell its kind; a block of bgzip has no more."""
VCF_ENDINGS = (".vcf", ".vcf.gz", ".vcf.bgz", ".gvcf", ".gvcf.gz", ".gvcf.bgz", ".bcf")
PARQUET_ENDINGS = (".parquet", ".pq", ".parq")
_PACKED = ("", ".gz", ".bgz", ".zst")
_ENDINGS: dict[Kind, tuple[str, ...]] = {
    "VCF": VCF_ENDINGS,
    "Parquet": PARQUET_ENDINGS,
    "pvar": tuple(f".pvar{packed}" for packed in _PACKED),
    "bim": tuple(f".bim{packed}" for packed in _PACKED),
    "bgi": (".bgi",),
}
_TABLE_ENDINGS = tuple(f".{ending}{packed}" for ending in ("csv", "tsv", "txt", "tab") for packed in _PACKED)
_UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp", "~")
_FIRST_BYTES: dict[bytes, Kind] = {
    b"##fileformat=VCF": "VCF",
    b"BCF\x02": "BCF",
    b"PAR1": "Parquet",
    b"##fileformat=PVAR": "pvar",
}
_GZIP_MAGIC, _ZSTD_MAGIC, _BYTE_ORDER_MARK = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf"
_SQLITE_MAGIC, _BGI_TABLE = b"SQLite format 3\0", re.compile(rb"CREATE TABLE\W+Variant\b", re.IGNORECASE)
_PVAR_COLUMNS = {b"#CHROM", b"POS", b"ID", b"REF", b"ALT"}


def kind_of_head(head: bytes, name: str = "") -> Kind | None:
    """The kind of a file that begins with ``head``, packed with gzip, bgzip or zstd or not; None for any other.

    Args:
        name: of the file; a table in the form of PLINK 2 that is called a VCF is a VCF without its first line.
    """
    text = unpacked_head(head).removeprefix(_BYTE_ORDER_MARK)
    if kind := next((kind for first, kind in _FIRST_BYTES.items() if text.startswith(first)), None):
        return None if kind == "VCF" and head.startswith(_ZSTD_MAGIC) else kind
    if text.startswith(_SQLITE_MAGIC):
        return "bgi" if _BGI_TABLE.search(text) else None
    by_name = kind_of_name(name)
    if by_name is None or by_name in ("pvar", "bim"):
        line = _names_line(text)
        if set(line.split()) >= _PVAR_COLUMNS:
            return "pvar"
        return by_name or ("table" if _is_table(line) else None) if text else None
    return None


def _is_table(line: bytes) -> bool:
    try:
        return has_sites(split_header(line.decode())[0])
    except (UnicodeDecodeError, csv.Error):
        return False


def kind_of_name(name: str) -> Kind | None:
    """The kind that a file's name ends as."""
    return next((kind for kind, endings in _ENDINGS.items() if name.lower().endswith(endings)), None)


def unpacked_head(head: bytes) -> bytes:
    """The first bytes of what a file holds, as many as its own first bytes give; nothing where they are damaged."""
    try:
        if head.startswith(_GZIP_MAGIC):
            return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
        if head.startswith(_ZSTD_MAGIC):
            return _unpacked_zstd(head)
    except (zlib.error, OSError):
        return b""
    return head


def _unpacked_zstd(head: bytes) -> bytes:
    """The blocks of zstd that the first bytes hold whole; a first block that is larger gives nothing."""
    with pa.CompressedInputStream(pa.BufferReader(head), "zstd") as stream:
        return bytes(stream.read(1 << 12))


def _names_line(text: bytes) -> bytes:
    """The first line that does not begin with ``##``."""
    return next((line for line in text.splitlines() if line.strip() and not line.startswith(b"##")), b"")


def kind_of(path: str | Path) -> Kind | None:
    """The kind of a file of this machine by its first bytes; None for another one, and where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return kind_of_head(file.read(HEAD_BYTES), Path(path).name)
    except OSError:
        return None


def kind_to_read(path: Path, *, are_columns_given: bool = False) -> Kind:
    """As which kind a file is to be read: by its first bytes, by its name where they say nothing, else as a VCF.

    Args:
        are_columns_given: whether the settings say of columns of tables; a text of no other kind is one then.
    """
    if kind := kind_of(path) or kind_of_name(path.name):
        return kind
    return "table" if are_columns_given or path.name.lower().endswith(_TABLE_ENDINGS) else "VCF"


def is_parquet(path: Path) -> bool:
    """Whether a file is to be read as Parquet: by its first bytes, by its name where they say nothing."""
    return kind_to_read(path) == "Parquet"


def ends_as_variants(name: str) -> bool:
    """Whether a name ends as those of variants do."""
    return kind_of_name(name) is not None


def ends_as_unfinished(name: str) -> bool:
    """Whether a name ends as those of copies and downloads do that are under way."""
    return name.lower().endswith(_UNFINISHED)
