"""A bigWig file, by pybigtools: it needs some 40 MB for any genome, where pyBigWig holds 14 bytes a base until it closes the file.

pybigtools (0.2.5 and 0.3.0 were tried) ends quietly where it fails: what the values' iterator raises it prints, and returns as if all were
written; a full disk is a panic. So the iterator never raises, and the bases in the file are counted. Its scratch files go where the bigWig
goes: /tmp may be small, or memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from raygen.disk_errors import full_disk
from raygen.errors import InputError, SettingsError, StoppedError

Stretch: TypeAlias = tuple[str, np.ndarray, np.ndarray]
"""A contig, (R,) places of bases on it, 0-based and ascending, and their (R,) float32 values."""
BIGWIG_SUFFIXES = (".bw", ".bigWig")
_Entry: TypeAlias = tuple[str, int, int, float]
_STDERR = 2


def write_bigwig(
    partial: Path,
    to: str,
    lengths: Mapping[str, int],
    stretches: Iterable[Stretch],
    on_progress: Callable[[int], None] = lambda num_bases: None,
) -> int:
    """Write values to ``partial``, which is to become ``to``; returns how many bases have one.

    Args:
        lengths: bases of the contigs.
        stretches: by contig, in the order of the names as bytes, then by place.

    Raises:
        SettingsError: pybigtools is not installed. InputError: there are no values.
        StoppedError: the disk is full, most likely.
    """
    library = bigwig_library()
    remaining = iter(stretches)
    first = next(remaining, None)
    if first is None:
        raise InputError(f"{to}: none of the bases asked for has a value, and a bigWig cannot be empty.")
    entries = _Entries(chain([first], remaining), on_progress)
    try:
        with _scratch_in(partial.parent), _silent_panics():
            library.open(str(partial), "w").write(dict(lengths), entries.all())
            num_written = 0 if entries.failure else _bases_in(library, partial)
    except BaseException as error:
        if type(error).__name__ != "PanicException" and not isinstance(error, library.BBIReadError):
            raise
        raise entries.failure or _gave_up(to) from error
    if entries.failure:
        raise entries.failure
    if num_written != entries.num_bases:
        raise _gave_up(to)
    return entries.num_bases


def _bases_in(library: Any, path: Path) -> int:
    """How many bases have a value in a bigWig."""
    with library.open(str(path)) as written:
        return int(written.info()["summary"]["basesCovered"])


def _gave_up(to: str) -> StoppedError:
    """What to say of a file that is not whole: that the disk is full where it still is; scratch files are gone by then."""
    error = OSError(f"{to} is not whole")
    return full_disk(error, to) or StoppedError(
        f"{to} could not be written: pybigtools gave up without a reason, as it does when a disk is full. Make room for it and run the same "
        "command again."
    )


def bigwig_library() -> Any:
    """The module pybigtools.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        import pybigtools
    except ImportError as error:
        raise SettingsError(
            "A bigWig needs the package pybigtools, which is not installed: pip install 'raygen[browser]'. Where there is no wheel of it "
            "(Python 3.14), write a .bedgraph.gz."
        ) from error
    return pybigtools


class _Entries:
    """The entries of a bigWig, one a base. What goes wrong while they are read ends them and is kept.

    Attributes:
        num_bases: entries so far, in whole stretches.
    """

    def __init__(self, stretches: Iterable[Stretch], on_progress: Callable[[int], None]) -> None:
        self.failure: BaseException | None = None
        self.num_bases = 0
        self._stretches, self._on_progress = stretches, on_progress

    def all(self) -> Iterator[_Entry]:
        """All entries, in order."""
        try:
            for chrom, start, value in self._stretches:
                yield from zip(repeat(chrom), start.tolist(), (start + 1).tolist(), value.tolist())
                self.num_bases += len(start)
                self._on_progress(self.num_bases)
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - raised once the library is done
            self.failure = error


@contextmanager
def _scratch_in(folder: Path) -> Iterator[None]:
    """Rust's scratch files, which have no names, are made in ``folder``."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


@contextmanager
def _silent_panics() -> Iterator[None]:
    """What Rust prints of a panic goes nowhere, since an error follows it; what Python prints goes where it went."""
    standard_error, shown = os.dup(_STDERR), sys.stderr
    with open(os.devnull, "wb") as nowhere, os.fdopen(standard_error, "w") as kept:  # noqa: PTH123 - not a path of a user's
        os.dup2(nowhere.fileno(), _STDERR)
        if _is_standard_error(shown):
            sys.stderr = kept
        try:
            yield
        finally:
            os.dup2(standard_error, _STDERR)
            sys.stderr = shown


def _is_standard_error(file: Any) -> bool:
    try:
        return bool(file.fileno() == _STDERR)
    except (OSError, ValueError, AttributeError):
        return False
