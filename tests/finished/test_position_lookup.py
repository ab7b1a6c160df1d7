"""Alleles looked up in a position table: the number of each, in their order, or why there is none."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import raygen
from raygen.errors import InputError, SettingsError
from raygen.finished.position_lookup import open_table
from raygen.tables.identity import Identity
from raygen.tables.position_table import FLAGS, PositionFolder, positions_schema
from raygen.tables.schemas import REJECTS
from tests.builders import random_bases
from tests.finished_runs import finished_run
from tests.object_storage import s3_server
from tests.position_tables import IDENTITY, write_positions

BASES = "ACGTNRacgtGGCA"  # positions 1 to 14; 5 and 6 have no row
DELTAS = {"1-1-A-C": -2.5, "1-1-A-G": 0.125, "1-3-G-T": -7.75, "1-7-A-T": 1.5, "1-14-A-C": 0.25, "MT-2-C-G": -1.75}
FLAGGED = {"1-3": ["short_window", "n_in_window"], "1-7": ["too_many_n"], "1-1": ["n_in_window", "too_many_n"]}


@pytest.fixture
def table(tmp_path):
    write_positions(tmp_path / "out", {"1": BASES, "MT": "ACGT"}, deltas=DELTAS, flags=FLAGGED)
    return open_table(str(tmp_path / "out"))


def variants(*written: str) -> pa.Table:
    """Rows of ``1-5-A-C``."""
    columns = zip(*(name.rsplit("-", 3) for name in written), strict=True)
    chrom, pos, ref, alt = (list(column) for column in columns)
    return pa.table({"chrom": chrom, "pos": [int(place) for place in pos], "ref": ref, "alt": alt})


def answers(table, *written: str) -> list[tuple[float | None, str | None]]:
    """(delta, why there is none) of each variant."""
    rows = table.lookup(variants(*written))
    return list(zip(rows["delta_llr"].to_pylist(), rows["missing"].to_pylist(), strict=True))


def test_each_change_of_a_base_has_its_own_number(table):
    assert answers(table, "1-1-A-C", "1-1-A-G", "1-3-G-T", "1-14-A-C") == [
        (-2.5, None),
        (0.125, None),
        (-7.75, None),
        (0.25, None),
    ]


def test_rows_come_in_the_order_asked_and_as_often(table):
    asked = ["1-14-A-C", "MT-2-C-G", "1-1-A-C", "1-14-A-C", "1-2-A-C", "1-1-A-G", "1-1-A-C"]
    assert [delta for delta, _ in answers(table, *asked)] == [0.25, -1.75, -2.5, 0.25, None, 0.125, -2.5]


@pytest.mark.parametrize("written", ["chr1-1-A-C", "1-1-a-c", "01-1-a-C"])
def test_names_of_contigs_and_small_letters_do_not_matter(table, written):
    assert answers(table, written) == [(-2.5, None)]


@pytest.mark.parametrize("name", ["MT", "M", "chrM", "chrMT"])
def test_the_mitochondrion_is_found_by_each_of_its_names(table, name):
    assert answers(table, f"{name}-2-C-G") == [(-1.75, None)]


def test_small_letters_of_the_reference_are_bases(table):
    assert answers(table, "1-7-A-T") == [(1.5, None)]


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("1-5-N-A", "non_acgt_allele"),
        ("1-5-A-C", "not_scored"),  # an N in the reference
        ("1-6-A-C", "not_scored"),  # an R
        ("1-15-A-C", "not_scored"),
        ("1-0-A-C", "out_of_bounds"),
        ("1-1-C-A", "ref_mismatch"),
        ("1-1-C-G", "ref_mismatch"),
        ("2-1-A-C", "unknown_contig"),
        ("2-1-AT-C", "unknown_contig"),
        ("1-1-A-A", "malformed_record"),
        ("1-1-A-N", "non_acgt_allele"),
        ("1-1-A-.", "non_acgt_allele"),
        ("1-1-A-*", "star_allele"),
        ("1-1-A-<DEL>", "symbolic_allele"),
        ("1-1-A-A[2:5[", "symbolic_allele"),
        ("1-1-A-<NON_REF>", "reference_block"),
        ("1-1-AC-A", "not_snv"),
        ("1-1-A-AC", "not_snv"),
        ("1-1-AC-GT", "not_snv"),
        ("1-1-AC-", "non_acgt_allele"),
    ],
)
def test_what_is_not_there_says_why(table, written, why):
    assert answers(table, written) == [(None, why)]


def test_an_allele_of_several_bases_that_changes_one_is_looked_up_there(table):
    """The second ALT of the record ``1 1 . ACG A,ACT`` changes position 3; the last one has another base beside it."""
    assert answers(table, "1-1-ACG-ACT", "1-1-acg-CCG", "1-1-ATG-ATT", "1-4-TNR-ANR", "1-1-AC-AG") == [
        (-7.75, None),
        (-2.5, None),
        (None, "ref_mismatch"),
        (None, "not_snv"),
        (table.lookup(variants("1-2-C-G"))["delta_llr"][0].as_py(), None),
    ]


def test_flags_are_those_of_the_table(table):
    rows = table.lookup(variants("1-3-G-T", "1-7-A-T", "1-1-A-C", "1-2-C-G", "1-5-A-C"))
    assert rows["flags"].to_pylist() == [
        ["short_window", "n_in_window"],
        ["too_many_n"],
        ["n_in_window", "too_many_n"],
        [],
        None,
    ]


def test_columns_are_the_same_for_any_input(table):
    names = ["chrom", "pos", "ref", "alt", "delta_llr", "entropy", "flags", "missing"]
    assert table.schema.names == names
    for rows in (variants("1-1-A-C"), variants("1-1-A-C").slice(0, 0), variants("9-1-A-C")):
        assert table.lookup(rows).schema == table.schema
        assert len(table.lookup(rows)) == len(rows)
    assert table.schema.field("delta_llr").type == pa.float32()


def test_what_came_in_comes_out_as_it_was(table):
    rows = table.lookup(variants("chr1-1-a-c", "1-1-ACG-ACT"))
    assert rows.select(["chrom", "pos", "ref", "alt"]).to_pydict() == {
        "chrom": ["chr1", "1"],
        "pos": [1, 1],
        "ref": ["a", "ACG"],
        "alt": ["c", "ACT"],
    }


def test_both_strands_are_told_where_both_were_read(tmp_path):
    write_positions(tmp_path / "out", {"1": BASES}, both=True, deltas=DELTAS)
    table = open_table(str(tmp_path / "out"))
    assert table.has_both_strands
    row = table.lookup(variants("1-3-G-T")).to_pylist()[0]
    assert (row["delta_llr"], row["delta_fwd"], row["delta_rev"]) == (-7.75, -6.75, -8.75)
    missing = table.lookup(variants("1-5-A-C")).to_pylist()[0]
    assert [missing[name] for name in ("delta_llr", "delta_fwd", "delta_rev", "entropy", "flags")] == [None] * 5


def test_a_table_says_what_made_it(table):
    assert (table.fingerprint, table.reference_digest) == (IDENTITY.fingerprint, IDENTITY.reference_digest)
    assert (table.contigs, table.has_both_strands) == (["1", "MT"], False)


def test_a_polars_frame_is_looked_up_as_an_arrow_table(table):
    rows = variants("1-1-A-C", "1-14-A-C", "1-1-AC-A")
    frame = pl.DataFrame(rows.to_pydict(), schema_overrides={"chrom": pl.Categorical})
    assert table.lookup(frame) == table.lookup(rows)
    assert table.lookup(rows.to_batches()[0]) == table.lookup(rows)
    assert table.lookup(rows.to_pandas()) == table.lookup(rows)


def test_numbers_of_contigs_and_missing_values_are_taken_as_they_are(table):
    rows = pa.table(
        {
            "chrom": [1, 1, None, 1, 1],
            "pos": [1.0, None, 1, 1, 1],
            "ref": ["A", "A", "A", None, "A"],
            "alt": ["C"] * 4 + [None],
        }
    )
    found = table.lookup(rows)
    assert found["delta_llr"].to_pylist() == [-2.5, None, None, None, None]
    assert found["missing"].to_pylist() == [
        None,
        "malformed_record",
        "unknown_contig",
        "non_acgt_allele",
        "non_acgt_allele",
    ]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("a.vcf", SettingsError, "Give an Arrow table, a polars or a pandas frame, not str"),
        (pl.LazyFrame({"chrom": ["1"]}), SettingsError, "not LazyFrame"),
        (
            pa.table({"chrom": ["1"], "pos": [1]}),
            InputError,
            "The variants lack the columns ref, alt; they have chrom, pos",
        ),
        (
            pa.table({"chrom": ["1"], "pos": [1.5], "ref": ["A"], "alt": ["C"]}),
            InputError,
            "pos is double, and not each value is a whole",
        ),
        (
            pa.table({"chrom": ["1"], "pos": [1], "ref": [1], "alt": ["C"]}),
            InputError,
            "ref is int64, and not each value is text",
        ),
        (pa.table({"chrom": ["1"], "pos": ["1"], "ref": ["A"], "alt": ["C"]}), InputError, "pos is string"),
    ],
)
def test_what_is_no_table_of_variants_is_refused(table, given, error, message):
    with pytest.raises(error, match=message):
        table.lookup(given)


def brute_force(folder: str) -> dict[tuple[str, int, str, str], tuple[float, float]]:
    """(delta, entropy) by contig, position, REF and ALT, row by row."""
    numbers = {}
    for file in PositionFolder(folder).score_files():
        for row in PositionFolder(folder).read_score_file(file).to_pylist():
            for alt in "ACGT":
                if row[f"delta_{alt}"] is not None:
                    numbers[row["chrom"], row["pos"], row["ref"], alt] = row[f"delta_{alt}"], row["entropy"]
    return numbers


def test_a_lookup_is_what_the_rows_say_over_many_files_and_row_groups(tmp_path, monkeypatch):
    """Files of 20,000 bases are two row groups; of the second contig they begin at another place. Alleles are unsorted and repeated."""
    monkeypatch.setattr("raygen.finished.position_lookup._ROWS_AT_ONCE", 1000)
    monkeypatch.setattr("raygen.tables.position_rows._PIECE", 300)
    bases = random_bases(50_000)[:30_000] + "N" * 500 + random_bases(20_000, seed=3)
    out = write_positions(tmp_path / "out", {"1": bases, "X": random_bases(3_000)}, shard_bases=20_000)
    numbers = brute_force(out)
    random = np.random.default_rng(1)
    chrom = random.choice(["1", "X"], 5000, p=[0.9, 0.1])
    pos = np.where(chrom == "1", random.integers(-5, 51_000, 5000), random.integers(-5, 3_100, 5000))
    ref, alt = random.choice(list("ACGT"), (2, 5000))
    found = open_table(out).lookup(pa.table({"chrom": chrom, "pos": pos, "ref": ref, "alt": alt}))
    expected = [numbers.get(key, (None, None)) for key in zip(chrom, pos.tolist(), ref, alt, strict=True)]
    assert list(zip(found["delta_llr"].to_pylist(), found["entropy"].to_pylist(), strict=True)) == expected
    assert 500 < sum(delta is not None for delta, _ in expected) < 2000


def test_hits_at_a_contig_say_the_base_and_the_flags_as_a_bitmap(table):
    letters = [np.frombuffer(text, np.uint8) for text in (b"GAaC", b"TCcA")]
    hits = table.hits_at("1", np.array([3, 5, 1, 1]), *letters)
    assert hits.held.tolist() == [True, False, True, False]
    assert hits.base.tobytes() == b"G\0AA"
    np.testing.assert_array_equal(hits.delta, np.array([-7.75, np.nan, -2.5, np.nan], np.float32))
    assert hits.flags.tolist() == [1 | 4, 0, 4 | 8, 0]
    assert FLAGS[2:4] == ("n_in_window", "too_many_n")
    assert hits.delta_fwd is None and np.isnan(hits.entropy[1])
    assert not table.hits_at("chr1", np.array([3]), letters[0][:1], letters[1][:1]).held.any()


def test_a_table_without_rows_holds_nothing(tmp_path):
    folder = PositionFolder(str(tmp_path / "out"))
    folder.prepare()
    folder.commit_shard(
        "0123456789ab-00000-0000000000",
        "1",
        positions_schema(False).empty_table(),
        REJECTS.empty_table(),
        Identity("f" * 16, "r"),
    )
    table = open_table(folder.path)
    assert answers(table, "1-1-A-C", "2-1-A-C") == [(None, "not_scored"), (None, "unknown_contig")]


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_file_is_an_input_error(tmp_path, damage):
    out = write_positions(tmp_path / "out", {"1": random_bases(2000)})
    (file,) = Path(out).glob("positions/chrom=1/*.parquet")
    content = bytearray(file.read_bytes())
    content[1000] ^= 255
    file.write_bytes(content[:500] if damage == "cut" else content)
    with pytest.raises(InputError, match=f"{file.name} cannot be read, it is damaged"):
        open_table(out).lookup(variants("1-1-A-C"))


def test_a_folder_that_is_no_position_table_is_said(tmp_path):
    with pytest.raises(InputError, match="No such folder"):
        open_table(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError,
        match=r"empty is no position table: there are no files .*empty/positions/chrom=\.\.\./part-\*\.parquet",
    ):
        open_table(tmp_path / "empty")
    scores = finished_run(tmp_path / "scores", {"1-5-A-C": -2.5})
    with pytest.raises(
        InputError, match=r"holds scores of variants and is no position table: `raygen query` and raygen\.read_scores"
    ):
        open_table(scores)


def test_a_table_on_object_storage_is_looked_up_there(tmp_path):
    with s3_server() as server:
        out = server.uri("table")
        write_positions(out, {"1": BASES}, deltas=DELTAS, shard_bases=5)
        assert answers(open_table(out), "1-14-A-C", "1-3-G-T", "1-6-A-C") == [
            (0.25, None),
            (-7.75, None),
            (None, "not_scored"),
        ]


def test_the_package_opens_a_table(tmp_path):
    out = write_positions(tmp_path / "out", {"1": BASES}, deltas=DELTAS)
    assert raygen.open_table(out).lookup(variants("1-1-A-C"))["delta_llr"].to_pylist() == [-2.5]
