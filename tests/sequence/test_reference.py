import gzip
import os
import subprocess
import sys

import numpy as np
import pysam
import pytest

from raygen.errors import InputError, SettingsError
from raygen.sequence.reference import open_reference, refuse_unknown_contigs
from tests.builders import fasta, random_bases, shared

CONTIGS = {"1": random_bases(131, 1), "HLA-A*01:01:01:01": random_bases(7, 2), "empty-ish": "N"}


def as_text(bases: np.ndarray) -> str:
    return bases.tobytes().decode()


def test_bases_are_those_of_the_file(tmp_path):
    reference = open_reference(str(fasta(tmp_path, CONTIGS)))
    assert reference.lengths == {name: len(bases) for name, bases in CONTIGS.items()}
    assert {name: as_text(reference.bases(name)) for name in CONTIGS} == CONTIGS


def test_soft_masked_bases_are_upper_case(tmp_path):
    assert as_text(open_reference(str(fasta(tmp_path, {"1": "acgtNNac"}))).bases("1")) == "ACGTNNAC"


def test_bgzip_reads_the_same_and_has_the_same_digest(tmp_path):
    plain = fasta(tmp_path, CONTIGS)
    packed = tmp_path / "packed.fa.gz"
    pysam.tabix_compress(str(plain), str(packed))
    assert as_text(open_reference(str(packed)).bases("1")) == CONTIGS["1"]
    assert open_reference(str(packed)).digest == open_reference(str(plain)).digest


def test_gzip_reads_the_same_and_leaves_no_index(tmp_path):
    """In two members, as `cat` joins them; an index is of no use to other tools, which cannot reach into the file."""
    plain = fasta(tmp_path, CONTIGS)
    packed = tmp_path / "packed.fa.gz"
    content = plain.read_bytes()
    packed.write_bytes(gzip.compress(content[:100]) + gzip.compress(content[100:]))
    assert open_reference(str(packed)).digest == open_reference(str(plain)).digest
    assert [path.name for path in tmp_path.glob("packed*")] == ["packed.fa.gz"]


def test_index_is_made_when_missing(tmp_path):
    path = fasta(tmp_path, CONTIGS)
    open_reference(str(path))
    assert (tmp_path / "reference.fa.fai").exists()


def test_a_stale_index_is_not_believed(tmp_path):
    path = fasta(tmp_path, {"1": "A" * 50, "2": "C" * 50})
    open_reference(str(path))
    fasta(tmp_path, {"1": "G" * 70})
    os.utime(tmp_path / "reference.fa.fai", (1, 1))
    open_reference.cache_clear()
    assert open_reference(str(path)).lengths == {"1": 70}


def test_other_bases_give_another_digest(tmp_path):
    one = open_reference(str(fasta(tmp_path, {"1": "ACGT"}, "one.fa")))
    other = open_reference(str(fasta(tmp_path, {"1": "ACGA"}, "other.fa")))
    assert one.digest != other.digest


def test_m5_is_the_md5_of_sam(tmp_path):
    """The MD5 of ``ACGT`` without line ends: printf ACGT | md5sum."""
    reference = open_reference(str(fasta(tmp_path, {"1": "acgt"})))
    assert reference.contigs["1"].m5 == "f1f8f4bf413b16ad135722aa4591043e"


def test_all_processes_share_one_array(tmp_path):
    reference = open_reference(str(fasta(tmp_path, CONTIGS)))
    memory = reference.bases("1")
    while not isinstance(memory, np.memmap):
        memory = memory.base
        assert memory is not None, "it is a copy"
    with pytest.raises(ValueError, match="read-only"):
        reference.bases("1")[0] = 0


def test_processes_that_start_at_once_make_it_once(tmp_path):
    path = fasta(tmp_path, CONTIGS)
    code = f"from raygen.sequence.reference import open_reference; print(open_reference({str(path)!r}).digest)"
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    digests = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert digests == {f"{open_reference(str(path)).digest}\n"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"The reference .*bad\.fa is empty"),
        (b"\n\n", "is empty"),
        (b"\x00\x01\x02 not a fasta", "is no FASTA: it does not begin with '>'"),
        (b"##fileformat=VCFv4.2\n", "is a VCF file"),
        (b"BCF\x02\x02", "is a BCF file"),
        (b"@read\nACGT\n+\nIIII\n", "is a FASTQ or SAM file"),
        (b">1\nACGT\nAC\nACGT\n", "lines of one length"),
        (gzip.compress(b"##fileformat=VCFv4.2\n", mtime=0), "is a VCF file"),
        (gzip.compress(b">1\n" + b"ACGT\n" * 999, mtime=0)[:-9], "is truncated or corrupt: gzip says"),
    ],
)
def test_what_is_not_a_fasta_says_so(tmp_path, content, sentence):
    path = tmp_path / "bad.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        open_reference(str(path))


def test_what_is_in_a_bgzip_file_and_is_no_fasta_says_so(tmp_path):
    for content, sentence in ((b"##fileformat=VCFv4.2\n", "is a VCF file"), (b"", "is empty")):
        path = tmp_path / "bad.fa.gz"
        with pysam.BGZFile(str(path), "wb") as file:
            file.write(content)
        with pytest.raises(InputError, match=sentence):
            open_reference(str(path))


def test_a_blank_line_before_the_first_name_is_no_fault(tmp_path):
    path = fasta(tmp_path, CONTIGS)
    path.write_text("\n" + path.read_text())
    assert list(open_reference(str(path)).lengths) == list(CONTIGS)


def test_a_folder_or_a_missing_file_says_so(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        open_reference(str(tmp_path))
    with pytest.raises(InputError, match="No such reference"):
        open_reference(str(tmp_path / "none.fa"))


def test_mitochondrion_has_its_n(tmp_path):
    copy = tmp_path / "rCRS.fa"  # the index is made beside it, and the shared data are not ours to write to
    copy.write_bytes(shared("mt/rCRS.NC_012920.1.fa").read_bytes())
    reference = open_reference(str(copy))
    assert reference.lengths == {"MT": 16_569}
    assert chr(reference.bases("MT")[3106]) == "N"


def test_contigs_that_the_reference_lacks_are_refused_by_name(tmp_path):
    path = fasta(tmp_path, CONTIGS)
    reference = open_reference(str(path))
    refuse_unknown_contigs(CONTIGS, reference, "input.circular", path)
    with pytest.raises(SettingsError) as refused:
        refuse_unknown_contigs([*CONTIGS, "MT", "pUC"], reference, "input.circular", path)
    assert str(refused.value) == f"input.circular names MT, pUC, which {path} does not have."
