"""What a FASTA holds, whatever lies beside it: the right bases, or one sentence that says what is wrong with the file."""

import os
from pathlib import Path

import pysam
import pytest

from raygen.errors import InputError
from raygen.sequence import fasta as fasta_module
from raygen.sequence.fasta import read_fasta
from raygen.sequence.reference import open_reference
from tests.builders import fasta, random_bases

CONTIGS = {"1": random_bases(131, 1), "2": random_bases(60, 2), "X": random_bases(7, 3)}


def bases_of(path: Path) -> dict[str, str]:
    open_reference.cache_clear()
    reference = open_reference(str(path))
    return {name: reference.bases(name).tobytes().decode() for name in reference.lengths}


def index_of(path: Path, text: str, newer: bool = True) -> None:
    """Write a ``.fai`` beside the FASTA, a minute newer or older than it."""
    index = Path(f"{path}.fai")
    index.write_text(text)
    changed = path.stat().st_mtime + (60 if newer else -60)
    os.utime(index, (changed, changed))


def packed(folder: Path, contigs: dict[str, str], name: str, width: int = 60) -> Path:
    path = folder / f"{name}.fa.gz"
    pysam.tabix_compress(str(fasta(folder, contigs, f"{name}.fa", width)), str(path))
    return path


@pytest.mark.parametrize(
    "index",
    [
        "",
        "no index\n",
        "1\t131\t0\t60\t61\n",  # the header line would be read as bases
        "1\t131\t22\t60\t61\n2\t60\t186\t60\t61\nX\t7\t278\t60\t61\n",  # each contig some bytes late
        "1\t131\t20\t10\t11\n2\t60\t178\t10\t11\nX\t7\t263\t10\t11\n",  # of lines of ten bases
        "1\t131\t20\t60\t61\nX\t7\t263\t60\t61\n",  # lacks a contig
        "2\t60\t20\t60\t61\n1\t131\t178\t60\t61\n",
        "chr1\t5000\t6\t60\t61\n",
    ],
)
@pytest.mark.parametrize("newer", [True, False])
def test_an_index_that_is_not_of_this_fasta_is_not_believed(tmp_path, index, newer):
    path = fasta(tmp_path, CONTIGS)
    index_of(path, index, newer)
    assert bases_of(path) == CONTIGS


def test_both_indexes_of_another_compressed_fasta_are_not_believed(tmp_path):
    path = packed(tmp_path, CONTIGS, "right")
    other = packed(tmp_path, {"1": random_bases(90_000, 5), "2": random_bases(400, 6)}, "other", 50)
    pysam.faidx(str(other))
    for end in (".fai", ".gzi"):
        Path(f"{path}{end}").write_bytes(Path(f"{other}{end}").read_bytes())
    assert bases_of(path) == CONTIGS


def test_indexes_of_a_compressed_fasta_are_made_where_there_are_none(tmp_path):
    path = packed(tmp_path, CONTIGS, "right")
    bases_of(path)
    with pysam.FastaFile(str(path)) as source:
        assert {name: source.fetch(name) for name in source.references} == CONTIGS
    assert Path(f"{path}.gzi").is_file()


def test_an_index_is_left_where_it_is_whatever_it_says(tmp_path):
    path = fasta(tmp_path, CONTIGS)
    index_of(path, "1\t5\t0\t5\t6\n")
    bases_of(path)
    assert Path(f"{path}.fai").read_text() == "1\t5\t0\t5\t6\n"


def test_a_folder_that_cannot_be_written_needs_no_index(tmp_path):
    path = fasta(tmp_path, CONTIGS)
    tmp_path.chmod(0o500)
    try:
        assert bases_of(path) == CONTIGS
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("newer", [True, False])
def test_a_fasta_that_is_cut_short_says_where_and_by_how_much(tmp_path, newer):
    """``>1 built for a test`` and its end are 20 bytes; cut behind 100 bases and the line end among them."""
    path = fasta(tmp_path, CONTIGS)
    pysam.faidx(str(path))
    index = Path(f"{path}.fai").read_text()
    path.write_bytes(path.read_bytes()[: 20 + 101])
    index_of(path, index, newer)
    with pytest.raises(InputError) as refused:
        bases_of(path)
    assert str(refused.value) == (
        f"{path} is shorter than its index reference.fa.fai says: 1 has 100 bases, but 131 by the index. Copy the FASTA again; "
        "if it is whole, delete the index."
    )


def test_a_fasta_that_is_cut_between_contigs_says_which_is_missing(tmp_path):
    path = fasta(tmp_path, CONTIGS)
    pysam.faidx(str(path))
    index = Path(f"{path}.fai").read_text()
    fasta(tmp_path, {name: CONTIGS[name] for name in "12"})
    index_of(path, index)
    with pytest.raises(InputError, match="it ends with 2, and by the index X follows"):
        bases_of(path)
    index_of(path, index, newer=False)  # of the FASTA before somebody took a contig out of it
    assert list(bases_of(path)) == ["1", "2"]


def test_a_compressed_fasta_without_its_last_block_is_cut_short(tmp_path):
    path = packed(tmp_path, CONTIGS, "right")
    whole = path.read_bytes()
    path.write_bytes(whole[:-28])
    with pytest.raises(InputError, match="truncated or corrupt: the empty block with which bgzip ends"):
        bases_of(path)
    path.write_bytes(whole[:60] + whole[61:])
    with pytest.raises(InputError, match="truncated or corrupt: gzip says"):
        bases_of(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b">1\nACGT\nA:GT\n", "holds ':' at 1:6, a byte that stands for no base"),
        (b">1\nACGT\n>2\nAC\xff\n", r"holds '\\xff' at 2:3, a byte"),
        (b">1\nACGT\nA\x00GT\n", r"holds '\\x00' at 1:6, a byte"),
        (b">protein\nMEEPQ\n", "holds 'E' at protein:2, a byte"),
        (b">1\nAC>2\nACGT\n", "holds '>' at 1:3, a byte"),
        (b">1\nACGT\n>1\nGG\n", "two sequences of the name 1"),
        (b">1\nACGT\n>2\n>3\nGG\n", "has no bases of 2"),
        (b">1\nACGT\n>2", "has no bases of 2"),
        (b">1\nACGT\n>\nAC\n", "has a sequence without a name"),
        (b">1\nACGT\n>\xff\nAC\n", "whose name is no UTF-8"),
        (b">1\nACGT\nACG\nACGT\nA\n", "line 2 of 1 has another length than the first"),
        (b">1\nACGT\nACGTA\n", "line 2 of 1 has another length than the first"),
        (b">1\nACGT\n\nACGT\n", "line 2 of 1 has another length than the first"),
        (b">1\r\nACGT\r\nACGTA\r\n", "line 2 of 1 has another length than the first"),
    ],
)
def test_what_is_no_clear_sequence_of_bases_is_refused(tmp_path, content, sentence):
    path = tmp_path / "bad.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        bases_of(path)


@pytest.mark.parametrize(
    "content",
    [
        b">1 a\nACGT\nNRYK\nAC\n>2\nG\n",
        b">1 a\r\nACGT\r\nNRYK\r\nAC\r\n>2\r\nG\r\n",
        b"\n>1\tb\nacgt\nnryk\nac\n\n\n>2\nG",
        b">1\nACGT\nNRYK\nAC\n>2 >x\nG\n\n",
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 7, 4096])
def test_line_ends_letter_case_and_how_much_is_read_at_a_time_change_nothing(tmp_path, monkeypatch, content, block):
    path = tmp_path / "written.fa"
    path.write_bytes(content)
    monkeypatch.setattr(fasta_module, "_BLOCK", block)
    sequences = list(read_fasta(path))
    assert [(sequence.name, bytes(sequence.bases)) for sequence in sequences] == [("1", b"ACGTNRYKAC"), ("2", b"G")]
    assert [content[sequence.offset : sequence.offset + 1].upper() for sequence in sequences] == [b"A", b"G"]
