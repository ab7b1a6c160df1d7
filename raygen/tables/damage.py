"""Parquet read against its checksums, and what Arrow says of a damaged file as a sentence that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import InputError, first_line


@contextmanager
def naming_damage(path: str) -> Iterator[None]:
    """Turn what Arrow says of a file that is cut short or holds flipped bits into a sentence that names ``path``.

    Raises:
        InputError: in the place of Arrow's errors.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        if not is_damage(error):
            raise
        raise InputError(
            f"{path} cannot be read, it is damaged ({first_line(error)}). `raygen verify` lists every damaged file of a folder."
        ) from error


def is_damage(error: BaseException) -> bool:
    """Whether Arrow stumbled over what a file of Parquet holds, not over the system."""
    is_of_system = isinstance(error, OSError) and error.errno is not None
    return isinstance(error, (OSError, pa.ArrowInvalid)) and not is_of_system and _DAMAGE.search(str(error)) is not None


_DAMAGE = re.compile(
    r"CRC|thrift|parquet|magic bytes|page header|decompress|corrupt|unexpected end of stream", re.IGNORECASE
)


def read_checked(source: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, every page against its checksum."""
    return pq.ParquetFile(source, page_checksum_verification=True).read(columns=columns)
