"""Which files hold variants: known by their first bytes, whatever they are called.

A name that ends as VCF, BCF or Parquet do, in letters of either size, is an input too: what is wrong with it is then said, and
not passed over. A name that ends as an unfinished copy does is none, whatever is in it.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Literal

Kind = Literal["VCF", "BCF", "Parquet"]

HEAD_BYTES = 1 << 16
"""So many bytes of a file tell its kind; a block of bgzip has no more."""
VCF_ENDINGS = (".vcf", ".vcf.gz", ".vcf.bgz", ".gvcf", ".gvcf.gz", ".gvcf.bgz", ".bcf")
PARQUET_ENDINGS = (".parquet", ".pq", ".parq")
_UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp", "~")
_FIRST_BYTES: dict[bytes, Kind] = {b"##fileformat=VCF": "VCF", b"BCF\x02": "BCF", b"PAR1": "Parquet"}
_GZIP_MAGIC, _BYTE_ORDER_MARK = b"\x1f\x8b", b"\xef\xbb\xbf"


def kind_of_head(head: bytes) -> Kind | None:
    """The kind of a file that begins with ``head``, packed with gzip or bgzip or not; None for any other."""
    if head.startswith(_GZIP_MAGIC):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 64)
        except zlib.error:
            return None
    head = head.removeprefix(_BYTE_ORDER_MARK)
    return next((kind for first, kind in _FIRST_BYTES.items() if head.startswith(first)), None)


def kind_of(path: str | Path) -> Kind | None:
    """The kind of a file of this machine by its first bytes; None for another one, and where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return kind_of_head(file.read(HEAD_BYTES))
    except OSError:
        return None


def is_parquet(path: Path) -> bool:
    """Whether a file is to be read as Parquet: by its first bytes, by its name where they say nothing."""
    kind = kind_of(path)
    return kind == "Parquet" if kind else path.name.lower().endswith(PARQUET_ENDINGS)


def ends_as_variants(name: str) -> bool:
    """Whether a name ends as VCF, BCF or Parquet do."""
    return name.lower().endswith((*VCF_ENDINGS, *PARQUET_ENDINGS))


def ends_as_unfinished(name: str) -> bool:
    """Whether a name ends as those of copies and downloads do that are under way."""
    return name.lower().endswith(_UNFINISHED)
