import gzip

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError
from raygen.evaluation.keyed_table import TableSource
from raygen.sequence.reference import open_reference
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS
from tests.builders import fasta, vcf
from tests.finished_runs import finished_run

BASES = "GATTTTTACGCCCA" + "ACGT" * 20
"""At 1-based 3 to 7 a run of T; at 11 to 13 one of C."""
REJECTED = dict.fromkeys(REJECTS.names, "x") | {"pos": 1}


def keys(path, reference=None, columns=(), known_by="variant"):
    return TableSource(str(path)).read(columns, known_by, reference)


def table(folder, text, name="table.tsv"):
    path = folder / name
    path.write_text(text.replace(" ", "\t"))
    return path


def test_spellings_of_one_variant_have_one_key(tmp_path):
    rows = "#CHROM POS REF ALT\nchr1 9 C G\n1 8 AC AG\n1 8 ACG AGG\n1 9 c g\n"
    found = keys(table(tmp_path, rows))
    assert found.frame["key"].to_list() == ["1-9-C-G"] * 4
    assert found.frame["variant_type"].to_list() == ["snv"] * 4


def test_names_of_the_mitochondrion_are_one(tmp_path):
    rows = "chrom pos ref alt\n" + "".join(f"{name} 9 C G\n" for name in ("MT", "chrM", "M", "chrMT"))
    assert set(keys(table(tmp_path, rows)).frame["key"]) == {"MT-9-C-G"}


def test_codes_of_plink_are_what_they_stand_for(tmp_path):
    names = ("01", "chr09", "0X", "XY", "PAR2", "0Y", "10")
    rows = "chrom pos ref alt\n" + "".join(f"{name} 9 C G\n" for name in names)
    found = keys(table(tmp_path, rows)).frame["key"]
    assert found.to_list() == [f"{name}-9-C-G" for name in ("1", "9", "X", "X", "X", "Y", "10")]


def test_codes_that_may_be_numbers_of_another_species_need_a_reference(tmp_path):
    """A zebrafish has chromosomes 23 to 25; by a human's reference 23 is X."""
    rows = table(tmp_path, "chrom pos ref alt\n23 9 C G\n24 9 C G\n25 9 C G\n")
    assert keys(rows).frame["key"].to_list() == ["23-9-C-G", "24-9-C-G", "25-9-C-G"]
    human = open_reference(str(fasta(tmp_path, {"chr21": "A", "chrX": BASES, "chrY": BASES})))
    human.lengths["chr21"] = 46_709_983  # GRCh38's
    assert keys(rows, human).frame["key"].to_list() == ["X-9-C-G", "Y-9-C-G", "X-9-C-G"]


def test_kinds_of_variants_are_told_from_their_alleles(tmp_path):
    rows = "chrom pos ref alt\n1 9 C G\n1 8 AC A\n1 8 A ATT\n1 9 CG TA\n1 9 CG TAA\n"
    found = keys(table(tmp_path, rows))
    assert found.frame["variant_type"].to_list() == ["snv", "deletion", "insertion", "mnv", "delins"]
    assert found.num_indels == 4


def test_with_a_reference_indels_are_left_aligned(tmp_path):
    reference = open_reference(str(fasta(tmp_path, {"1": BASES})))
    rows = table(tmp_path, "chrom pos ref alt\n1 2 AT A\n1 6 TT T\n1 3 TTTTT TTTT\n")
    assert len(set(keys(rows).frame["key"])) == 2  # the first and the last are written in one place
    assert len(set(keys(rows, reference).frame["key"])) == 1


def test_rows_that_cannot_be_variants_are_counted(tmp_path):
    rows = table(tmp_path, "chrom pos ref alt\n1 9 C G\n1 . C G\n1 9 C <DEL>\n1 9 C C\n")
    found = keys(rows)
    assert (found.num_rows, len(found.frame), sum(found.unusable.values())) == (4, 1, 3)
    reference = open_reference(str(fasta(tmp_path, {"1": BASES})))
    more = table(tmp_path, "chrom pos ref alt\n1 9 C G\n1 1 G A\n1 2 A G\n1 9 T G\n7 9 T G\n")
    assert dict(keys(more, reference).unusable) == {"ref_mismatch": 1, "unknown_contig": 1}


def test_a_table_of_another_assembly_is_refused(tmp_path):
    reference = open_reference(str(fasta(tmp_path, {"1": BASES})))
    rows = table(tmp_path, "chrom pos ref alt\n" + "".join(f"1 {pos} G A\n" for pos in (2, 3, 4, 5)))
    with pytest.raises(InputError, match="another assembly"):
        keys(rows, reference)


def test_a_doubtful_contig_of_a_right_table_is_a_warning(tmp_path):
    reference = open_reference(str(fasta(tmp_path, {"1": BASES, "MT": BASES})))
    right = "".join(f"1 {pos} T G\n" for pos in range(3, 8)) + "MT 9 C G\n"
    rows = table(tmp_path, "chrom pos ref alt\n" + right + "".join(f"MT {pos} G A\n" for pos in (3, 4, 5)))
    found = keys(rows, reference)
    assert dict(found.unusable) == {"ref_mismatch": 3}
    assert found.warnings == [
        "table.tsv: 3 of 4 REF alleles on MT differ from reference.fa (first: MT:3-G-A, the reference has 'T')."
    ]


def test_all_kinds_of_files_give_the_same(tmp_path):
    text = table(tmp_path, "chrom pos ref alt AF\n1 9 C G 0.5\n1 8 AC A NA\n")
    frame = pl.read_csv(text, separator="\t", schema_overrides={"chrom": pl.String}, null_values="NA")
    frame.write_csv(tmp_path / "table.csv")
    frame.write_parquet(tmp_path / "table.parquet")
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress((tmp_path / "table.csv").read_bytes()))
    names = ["table.tsv", "table.csv", "table.csv.gz", "table.parquet"]
    frames = [keys(tmp_path / name, columns=["AF"]).frame for name in names]
    assert frames[0].rows() == [("1-9-C-G", "snv", 0.5), ("1-9-C-", "deletion", None)]
    assert all(other.equals(frames[0]) for other in frames[1:])
    records = vcf(tmp_path, ["1 9 . C G END=9", "1 8 . AC A"])
    assert keys(records, columns=["END"]).frame.rows() == [("1-9-C-G", "snv", 9), ("1-9-C-", "deletion", None)]


def test_a_table_without_coordinates_is_known_by_its_ids(tmp_path):
    path = table(tmp_path, "pair_id label\na 1\nb 0\n")
    assert TableSource(str(path)).known_by == ["id"]
    assert keys(path, known_by="id", columns=["label"]).frame["key"].to_list() == ["a", "b"]


def test_only_the_keys_asked_for_are_kept(tmp_path):
    path = table(tmp_path, "chrom pos ref alt\n1 9 C G\n1 10 G T\n")
    source = TableSource(str(path))
    assert source.read([], "variant", only=pl.Series(["1-10-G-T"])).frame["key"].to_list() == ["1-10-G-T"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.tsv", None, "No such file"),
        (
            "names.tsv",
            b"gene\tscore\nA\t1\n",
            "neither chrom, pos, ref and alt nor variant_id. Its columns: gene, score",
        ),
        ("empty.csv", b"", "cannot be read as a table"),
        ("noise.parquet", b"PAR1 not really", "no table that can be read"),
        ("page.html", b"<html>", "no table that can be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        TableSource(str(path)).known_by  # noqa: B018


def test_a_position_that_is_no_number_is_said(tmp_path):
    path = table(tmp_path, "chrom pos ref alt\n1 ten C G\n")
    with pytest.raises(InputError, match=r"table\.tsv: the column pos has to hold whole numbers and holds 'ten'"):
        keys(path)


def test_a_run_without_scores_and_a_folder_of_runs_are_told_from_a_table(tmp_path):
    RunFolder(str(tmp_path / "rejected")).commit_rejects("x", REJECTS.empty_table().from_pylist([REJECTED], REJECTS))
    with pytest.raises(InputError, match="rejected holds no scores"):
        TableSource(str(tmp_path / "rejected"))
    finished_run(tmp_path / "nights" / "abc", {"1-2-C-G": -1.0})
    with pytest.raises(InputError, match=r"Name one of them: .*/nights/abc\.$"):
        TableSource(str(tmp_path / "nights"))


def test_lists_become_text(tmp_path):
    frame = pl.DataFrame({"chrom": ["1"], "pos": [9], "ref": ["C"], "alt": ["G"], "flags": [["a", "b"]]})
    pq.write_table(frame.to_arrow(), tmp_path / "t.parquet")
    assert keys(tmp_path / "t.parquet", columns=["flags"]).frame["flags"].to_list() == ["a,b"]


def test_lines_before_the_header_that_begin_with_two_hashes_are_no_rows(tmp_path):
    (tmp_path / "scores.tsv").write_text("##model=demo\n#chrom\tpos\tref\talt\tdelta_llr\n1\t5\tA\tC\t-2\n")
    assert TableSource(str(tmp_path / "scores.tsv")).columns == ["#chrom", "pos", "ref", "alt", "delta_llr"]


def test_a_byte_that_is_no_utf8_costs_no_row(tmp_path):
    rows = b"chrom,pos,ref,alt,gene\n1,9,C,G,h\xe9r\n1,8,A,T,x\n"
    (tmp_path / "labels.csv").write_bytes(rows)
    frame = keys(tmp_path / "labels.csv", columns=["gene"]).frame
    assert frame.rows() == [("1-9-C-G", "snv", "h\ufffdr"), ("1-8-A-T", "snv", "x")]
    raw = pa.array([b"h\xe9r", b"x"], pa.binary())
    genes = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    columns = {"chrom": ["1", "1"], "pos": [9, 8], "ref": ["C", "A"], "alt": ["G", "T"], "gene": genes}
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    assert keys(tmp_path / "labels.parquet", columns=["gene"]).frame.rows() == frame.rows()


def write_labels(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"pos": [9], "ref": ["C"], "alt": ["G"], **columns}), path)
    return path


def test_a_folder_above_a_file_is_no_column_of_it(tmp_path):
    path = write_labels(tmp_path / "chrom=1" / "tier=high" / "l.parquet", chrom=["chr2"], tier=["low"])
    for given in (path, tmp_path / "chrom=1" / "tier=high"):
        assert keys(given, columns=["tier"]).frame.rows() == [("2-9-C-G", "snv", "low")]
    assert TableSource(str(write_labels(tmp_path / "tier=high" / "l.parquet", chrom=["2"]))).columns == [
        *("pos", "ref", "alt", "chrom")
    ]


def test_a_folder_is_one_table_and_its_files_own_columns_hold(tmp_path):
    for chrom, tier in (("001", "a b"), ("X", "7")):
        folder = tmp_path / "table" / f"chrom={chrom}" / f"tier={tier.replace(' ', '%20')}" / "year=2026"
        write_labels(folder / "l.parquet", year=["1999"])
    frame = keys(f"{tmp_path}/table/", columns=["tier", "year"]).frame
    assert sorted(frame.rows()) == [("001-9-C-G", "snv", "a b", "1999"), ("X-9-C-G", "snv", "7", "1999")]


def test_files_of_a_folder_are_read_with_the_wider_type_of_a_column(tmp_path):
    """Whole numbers in the first file, then half of one; Arrow reads the second with the types of the first."""
    for name, types, values in (("a", pa.int32(), [1]), ("b", pa.float64(), [0.5]), ("c", pa.null(), [None])):
        write_labels(tmp_path / "table" / f"{name}.parquet", chrom=["1"], af=pa.array(values, types))
    assert keys(tmp_path / "table", columns=["af"]).frame["af"].to_list() == [1.0, 0.5, None]


def test_files_of_a_folder_whose_types_differ_are_refused_where_the_column_is_read(tmp_path):
    for name, gene in (("a", pa.array([7])), ("b", pa.array(["007"]))):
        write_labels(tmp_path / "table" / f"{name}.parquet", chrom=["1"], gene=gene, label=["x"])
    with pytest.raises(InputError, match=r"b\.parquet cannot be read as one .* gene is string there and int64 before"):
        keys(tmp_path / "table", columns=["gene"])
    assert len(keys(tmp_path / "table", columns=["label"]).frame) == 2


def test_labels_in_a_vcf_are_known_by_content(tmp_path):
    path = vcf(tmp_path, ["1 9 . C G END=9"])
    for name in ("LABELS.VCF", "labels.gvcf.gz", "labels"):
        (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
        assert keys(tmp_path / name, columns=["END"]).frame.rows() == [("1-9-C-G", "snv", 9)]
