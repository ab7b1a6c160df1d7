"""A reference genome: a FASTA in, one shared array of bases per contig out.

The FASTA (plain, gzip or bgzip) is read once per machine, without its index, and laid down as upper-case bytes in the cache folder;
every process of the machine then maps that file, so ten actors hold one copy and a window is a slice. A 3.1 Gb genome
takes 3.1 GB of disk there. The file is keyed by the FASTA's path, size and time of change; a lock lets one process write
it while the others wait.

The digest covers names, lengths and the MD5 of each sequence in upper case, the same MD5 as SAM's ``M5``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from raygen.cache import CACHE_ADVICE, cache_folder
from raygen.errors import InputError, RaygenError, SettingsError
from raygen.remote import stage
from raygen.sequence.fasta import is_packed, read_fasta, refuse_cut_short
from raygen.tables.place import put_folder_in_place, put_in_place

_LOOK_AT = 1 << 16  # bytes in which a sequence's name is looked for
_OTHER_KINDS = {b"##fileformat=VCF": "VCF", b"#CHROM": "VCF", b"BCF": "BCF", b"PAR1": "Parquet", b"@": "FASTQ or SAM"}
_FORMAT = 2  # part of the key: raise it when the files below change their meaning


@dataclass(frozen=True)
class Contig:
    """One sequence of a reference. ``offset`` is the byte of the shared file where its bases start, ``m5`` the MD5
    that SAM's @SQ line has.
    """

    name: str
    length: int
    offset: int
    m5: str


class Reference:
    """The bases of every contig, mapped into memory and shared by all processes of a machine."""

    def __init__(self, path: str, contigs: list[Contig], bases_file: Path) -> None:
        self.path = path
        self.contigs: Mapping[str, Contig] = {contig.name: contig for contig in contigs}
        self.lengths: Mapping[str, int] = {contig.name: contig.length for contig in contigs}
        self.digest = _digest(contigs)
        # as a plain array, since each slice of a memmap takes 5 microseconds, and every indel takes several
        self._bases = np.asarray(np.memmap(bases_file, dtype=np.uint8, mode="r"))

    def bases(self, contig: str) -> np.ndarray:
        """All bases of a contig: uint8 (length,), upper-case ASCII, read-only, not copied."""
        sequence = self.contigs[contig]
        return self._bases[sequence.offset : sequence.offset + sequence.length]


@lru_cache(maxsize=8)
def open_reference(path: str) -> Reference:
    """Open a FASTA, making its index and its shared array where they are missing.

    Raises:
        InputError: no such file, not a FASTA, or cut short.
    """
    fasta = Path(path)
    if fasta.is_dir():
        raise InputError(f"The reference {path} is a folder. Give a FASTA, plain, gzip or bgzip.")
    if not fasta.is_file():
        raise InputError(f"No such reference: {path}. Give a FASTA, plain, gzip or bgzip.")
    if not os.access(fasta, os.R_OK):
        raise InputError(f"{path} cannot be read: permission denied.")
    _refuse_other_kinds(fasta)
    folder = cache_folder("references") / _key(fasta)
    if not (folder / "contigs.json").exists():
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / "contigs.json").exists():
                _lay_down(fasta, folder)
    described = json.loads((folder / "contigs.json").read_text())
    return Reference(path, [Contig(**contig) for contig in described["contigs"]], folder / "bases.u8")


def _key(fasta: Path) -> str:
    stat = fasta.stat()
    described = f"{_FORMAT}\n{fasta.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}"
    return hashlib.sha256(described.encode()).hexdigest()[:20]


def _digest(contigs: list[Contig]) -> str:
    lines = "\n".join(f"{contig.name}\t{contig.length}\t{contig.m5}" for contig in contigs)
    return hashlib.sha256(lines.encode()).hexdigest()


def _refuse_other_kinds(fasta: Path) -> None:
    """InputError for a file that does not begin as a FASTA: htslib says "error when opening file" whatever it is."""
    try:
        with gzip.open(fasta) if is_packed(fasta) else fasta.open("rb") as file:
            start = file.read(_LOOK_AT)
    except (OSError, EOFError, zlib.error):
        return  # a damaged file, of which htslib knows more
    if not start.strip():
        raise InputError(f"The reference {fasta} is empty. Give a FASTA, plain, gzip or bgzip.")
    kind = next((name for magic, name in _OTHER_KINDS.items() if start.startswith(magic)), None)
    if kind or not start.lstrip().startswith(b">"):
        fault = f"is a {kind} file" if kind else "is no FASTA: it does not begin with '>'"
        raise InputError(
            f"The reference {fasta} {fault}. Give the FASTA of the variants' assembly, plain, gzip or bgzip."
        )


def _lay_down(fasta: Path, folder: Path) -> None:
    """Write the shared array and its description in a scratch folder, then put both in place in one step."""
    with put_folder_in_place(folder, CACHE_ADVICE) as scratch:
        contigs, places = [], []
        offset = 0
        with (scratch / "bases.u8").open("wb") as out:
            for sequence in read_fasta(fasta):
                length, m5 = len(sequence.bases), hashlib.md5(sequence.bases, usedforsecurity=False).hexdigest()
                contigs.append(Contig(sequence.name, length, offset, m5))
                places.append((sequence.name, length, sequence.offset))
                out.write(sequence.bases)
                offset += length
        if not offset:
            raise InputError(f"{fasta} holds no bases. Is it a FASTA file?")
        refuse_cut_short(fasta, places)
        described: dict[str, Any] = {"fasta": str(fasta.resolve()), "contigs": [vars(contig) for contig in contigs]}
        (scratch / "contigs.json").write_text(json.dumps(described))
        _leave_index(fasta, scratch)


def _leave_index(fasta: Path, scratch: Path) -> None:
    """Leave an index beside a FASTA that has none, for other tools, where one can be made (of gzip none can) and written.

    htslib makes it through another name of the FASTA, beside which nothing lies that it could read instead.
    """
    if Path(f"{fasta}.fai").exists() or not os.access(fasta.absolute().parent, os.W_OK):
        return
    import pysam  # htslib, for this alone

    alias = scratch / "fasta"
    alias.symlink_to(fasta.resolve())
    chatter = pysam.set_verbosity(0)
    try:
        pysam.FastaFile(str(alias)).close()
        for end in (".gzi", ".fai"):
            if Path(f"{alias}{end}").exists():
                with put_in_place(f"{fasta}{end}") as partial:
                    shutil.copyfile(f"{alias}{end}", partial)
    except (RaygenError, OSError, ValueError):
        return  # the FASTA is read without it
    finally:
        pysam.set_verbosity(chatter)


@lru_cache(maxsize=8)
def staged_reference(path: str) -> Reference:
    """Open a FASTA of this machine or of any filesystem; looked up once a process.

    Raises:
        InputError, SettingsError, StoppedError: as ``stage`` and ``open_reference``.
    """
    return open_reference(stage(path))


def refuse_unknown_contigs(contigs: Iterable[str], reference: Reference, setting: str, path: object) -> None:
    """Refuse contigs that were named by hand and that the reference does not have.

    Args:
        setting: where they were named, as the message calls it: ``input.circular``, say.
        path: the reference as its user wrote it.

    Raises:
        SettingsError: the reference lacks some of them.
    """
    if unknown := [str(name) for name in contigs if name not in reference.lengths]:
        raise SettingsError(f"{setting} names {', '.join(unknown)}, which {path} does not have.")


def reference_name(reference: Reference) -> str:
    """The FASTA's file name, as messages call it."""
    return Path(reference.path).name
