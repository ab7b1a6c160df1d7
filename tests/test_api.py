from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import raygen
from raygen.errors import InputError, SettingsError
from raygen.tables.schemas import SCORES
from tests.builders import bigram_model, fasta, random_bases, snvs, vcf

BASES = random_bases(400, 5)
WINDOW = raygen.Window(20, 20)


@pytest.fixture
def reference(tmp_path):
    return fasta(tmp_path, {"7": BASES})


def test_pairs_from_tuples_and_tables_give_the_scores_columns():
    model = bigram_model()
    from_tuples = raygen.score_pairs(model, [("ACGT", "ACCT"), ("AAAA", "AAAC")])
    rows = {"pair_id": ["0", "1"], "wt_sequence": ["ACGT", "AAAA"], "mut_sequence": ["ACCT", "AAAC"]}
    assert from_tuples.column_names == SCORES.names
    assert raygen.score_pairs(model, pl.DataFrame(rows)).equals(from_tuples)
    assert raygen.score_pairs(model, pa.table(rows)).equals(from_tuples)


def test_a_variant_worked_out_by_hand(reference):
    """Window 2 + 2 around position 100: with a bigram model only the two terms at and after the variant change."""
    model = bigram_model()
    before, ref, after = BASES[98:101]
    alt = "A" if ref != "A" else "C"
    table = raygen.score_variants(
        model,
        pa.table({"chrom": ["7"], "pos": [100], "ref": [ref], "alt": [alt]}),
        reference,
        window=raygen.Window(2, 2),
    )
    score = model.loaded.network.log_prob
    by_hand = score(alt, before) + score(after, alt) - score(ref, before) - score(after, ref)
    row = table.to_pylist()[0]
    assert row["variant_id"] == f"7-100-{ref}-{alt}"
    assert row["delta_llr"] == pytest.approx(by_hand, rel=1e-6)
    assert (row["window_start"], row["window_end"], row["num_tokens"]) == (97, 101, 4)
    assert row["delta_per_base"] == pytest.approx(by_hand / 4, rel=1e-6)
    assert row["ll_mut"] - row["ll_wt"] == pytest.approx(by_hand, rel=1e-6)


def test_what_is_not_read_in_a_folder_is_a_warning(tmp_path, reference):
    (tmp_path / "in").mkdir()
    vcf(tmp_path / "in", snvs("7", BASES, [100]), "a.GVCF", contigs=["7"])
    (tmp_path / "in" / "notes.txt").write_text("notes")
    with pytest.warns(UserWarning, match=r"in: 1 entry is not read, being no file of variants: notes\.txt\."):
        assert len(raygen.score_variants(bigram_model(), tmp_path / "in", reference, window=WINDOW)) == 1


def test_both_strands_are_the_mean_and_both_are_kept(reference):
    model, table = bigram_model(), pa.table({"chrom": ["7"], "pos": [100], "ref": [BASES[99]], "alt": ["ACGT"]})
    by_strand = {
        strand: raygen.score_variants(model, table, reference, strand=strand, window=WINDOW).to_pylist()[0]
        for strand in ("forward", "reverse", "both")
    }
    both = by_strand["both"]
    assert both["delta_fwd"] == by_strand["forward"]["delta_llr"]
    assert both["delta_rev"] == by_strand["reverse"]["delta_llr"]
    assert both["delta_llr"] == pytest.approx((both["delta_fwd"] + both["delta_rev"]) / 2)
    assert (by_strand["forward"]["delta_rev"], by_strand["reverse"]["delta_fwd"]) == (None, None)


def test_the_rows_of_a_table_keep_their_order(reference):
    positions = [300, 5, 120, 6]
    rows = [record.split(" ") for record in snvs("7", BASES, positions)]
    table = pa.table(
        {"chrom": ["chr7"] * 4, "pos": positions, "ref": [r[3] for r in rows], "alt": [r[4] for r in rows]}
    )
    scored = raygen.score_variants(bigram_model(), table, reference, window=WINDOW)
    assert scored["pos"].to_pylist() == positions
    assert set(scored["chrom"].to_pylist()) == {"7"}


def test_variants_come_from_files_and_frames_alike(tmp_path, reference):
    path = vcf(tmp_path, snvs("7", BASES, [5, 6, 120, 300]), contigs=("7",))
    from_file = raygen.score_variants(bigram_model(), path, reference, window=WINDOW)
    frame = pl.from_arrow(from_file.select(["chrom", "pos", "ref", "alt"]))
    assert raygen.score_variants(bigram_model(), frame, reference, window=WINDOW).equals(from_file)


def test_alleles_that_cannot_be_scored_are_counted_in_a_warning(reference):
    table = pa.table({"chrom": ["7", "7"], "pos": [9, 9], "ref": [BASES[8], BASES[8]], "alt": ["*", "ACGTACGT"]})
    with pytest.warns(UserWarning, match="1 of 2 alleles left out: 1 star_allele"):
        assert len(raygen.score_variants(bigram_model(), table, reference, window=WINDOW)) == 1


def test_a_share_of_alleles_on_other_contigs_can_be_allowed(tmp_path, reference):
    records = [*snvs("7", BASES, range(100, 110)), *snvs("8", BASES, range(100, 110))]
    columns = zip(*(record.split(" ") for record in records), strict=True)
    table = pa.table(dict(zip(["chrom", "pos", "id", "ref", "alt"], columns, strict=True)))
    table = table.set_column(1, "pos", table["pos"].cast(pa.int64()))
    for variants in (table, vcf(tmp_path, records, contigs=["7", "8"])):
        score = partial(raygen.score_variants, bigram_model(), variants, reference, window=WINDOW)
        with pytest.raises(InputError, match=r"alone, set max_unknown_share \(now 0\.1\)"):
            score()
        with pytest.warns(UserWarning):
            assert len(score(max_unknown_share=1)) == 10


def test_a_share_of_other_bases_can_be_allowed(tmp_path, reference):
    """Of 40 REF 10 are the bases of the complement."""
    complement = BASES.translate(str.maketrans("ACGT", "TGCA"))
    records = [*snvs("7", BASES, range(100, 130)), *snvs("7", complement, range(130, 140))]
    path = vcf(tmp_path, records, contigs=["7"])
    score = partial(raygen.score_variants, bigram_model(), path, reference, window=WINDOW)
    with pytest.raises(InputError, match=r"More than max_mismatch_share \(0\.1\) on a contig"):
        score()
    with pytest.warns(UserWarning):
        assert len(score(max_mismatch_share=0.3)) == 30


@pytest.mark.parametrize("share", [-0.1, 10, float("nan"), "0.1"])
def test_a_share_is_between_0_and_1(reference, variant, share):
    with pytest.raises(SettingsError, match=r"max_unknown_share is .*, not a share from 0 to 1"):
        raygen.score_variants(bigram_model(), pa.table(variant), reference, max_unknown_share=share)


def test_a_deletion_that_reaches_the_end_says_that_its_window_shows_nothing(reference):
    table = pa.table({"chrom": ["7"], "pos": [398], "ref": [BASES[397:]], "alt": [BASES[397]]})
    forward = raygen.score_variants(bigram_model(), table, reference, window=WINDOW).to_pylist()[0]
    assert (forward["delta_llr"], forward["abstained"]) == (0.0, True)
    assert "same_sequence" in forward["flags"]
    both = raygen.score_variants(bigram_model(), table, reference, strand="both", window=WINDOW).to_pylist()[0]
    assert both["delta_rev"] != 0
    assert "same_sequence" not in both["flags"]


def test_the_fingerprint_depends_on_the_window_and_the_strand(reference):
    table = pa.table({"chrom": ["7"], "pos": [9], "ref": [BASES[8]], "alt": ["ACGTACGT"]})
    prints = {
        raygen.score_variants(bigram_model(), table, reference, strand=strand, window=window)["fingerprint"][0].as_py()
        for strand in ("forward", "both")
        for window in (WINDOW, raygen.Window(20, 21))
    }
    assert len(prints) == 4


def test_many_n_in_the_window_make_it_abstain(tmp_path):
    bases = BASES[:100] + "N" * 30 + BASES[100:]
    table = pa.table({"chrom": ["7"], "pos": [98], "ref": [bases[97]], "alt": ["ACGTACGT"]})
    row = raygen.score_variants(bigram_model(), table, fasta(tmp_path, {"7": bases}), window=WINDOW).to_pylist()[0]
    assert (row["flags"], row["abstained"]) == (["n_in_window"], True)


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [([("ACGT", "")], "is empty"), ([("ACGT", "A" * 2000)], "longer than the 1,000 bases")],
)
def test_pairs_that_cannot_be_scored_say_why(pairs, sentence):
    with pytest.raises(InputError, match=sentence):
        raygen.score_pairs(bigram_model(), pairs)


def test_a_table_without_the_columns_says_which():
    with pytest.raises(InputError, match="lack the columns wt_sequence, mut_sequence"):
        raygen.score_pairs(bigram_model(), pa.table({"pair_id": ["a"]}))


@pytest.fixture
def variant():
    return {"chrom": ["7"], "pos": [100], "ref": [BASES[99]], "alt": ["ACGT"]}


class Stream:
    """A table of a library that gives the Arrow PyCapsule interface, as pandas and duckdb do."""

    def __init__(self, table):
        self.__arrow_c_stream__ = table.__arrow_c_stream__


PAIR = {"pair_id": ["x"], "wt_sequence": ["ACGT"], "mut_sequence": ["ACCT"]}


def test_pairs_are_tables_of_other_libraries_too():
    pd = pytest.importorskip("pandas")
    model, table = bigram_model(), pa.table(PAIR)
    expected = raygen.score_pairs(model, table)
    frame = pd.DataFrame({**PAIR, "other": [object()]}, index=["y"])
    for given in (frame, table.to_batches()[0], Stream(table), pl.DataFrame(PAIR)):
        assert raygen.score_pairs(model, given).equals(expected)


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (("ACGT", "ACCT"), r"Pair 0 is a str, .* One pair alone is \[\(wt, mut\)\]"),
        (["AC", "GT"], "Pair 0 is a str"),
        ([("AC", "AG"), ("a", "AC", "GT")], r"Pair 1 is \(str, str, str\)"),
        ([("AC", None)], r"Pair 0 is \(str, NoneType\)"),
        ([(b"AC", b"AG")], r"Pair 0 is \(bytes, bytes\)"),
        ({"wt": "AC", "mt": "AG"}, "not dict"),
        ("pairs.parquet", "not str: a file is read with"),
        (Path("pairs.parquet"), "a file is read with"),
        (None, "not NoneType"),
        (pl.DataFrame(PAIR).lazy(), r"A LazyFrame has not been read yet: give what its collect\(\)"),
        (pl.Series(["AC"]), "not Series"),
        (pa.chunked_array([["AC"]]), "not ChunkedArray"),
    ],
)
def test_what_are_no_pairs_is_refused(pairs, sentence):
    with pytest.raises(SettingsError, match=sentence):
        raygen.score_pairs(bigram_model(), pairs)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({**PAIR, "wt_sequence": [1]}, "wt_sequence is int64, not string"),
        ({**PAIR, "mut_sequence": [b"AC"]}, "mut_sequence is binary, not string"),
        ({**PAIR, "pair_id": [1.5]}, "pair_id is double, not string"),
        ({"wt": ["AC"], "mt": ["AG"]}, "lack the columns pair_id, wt_sequence, mut_sequence; they have wt, mt"),
    ],
)
def test_columns_that_hold_no_sequences_are_refused(columns, sentence):
    pd = pytest.importorskip("pandas")
    with pytest.raises(InputError, match=sentence):
        raygen.score_pairs(bigram_model(), pa.table(columns))
    with pytest.raises(InputError, match=r"lack the columns|not string|cannot be read"):
        raygen.score_pairs(bigram_model(), pd.DataFrame(columns))


def test_a_column_that_is_there_twice_is_named():
    table = pa.table([["x"], ["AC"], ["AG"], ["AT"]], names=[*PAIR, "wt_sequence"])
    with pytest.raises(InputError, match="have the columns wt_sequence more than once"):
        raygen.score_pairs(bigram_model(), table)


def test_methods_and_strands_that_there_are_not_are_refused(reference, variant):
    with pytest.raises(SettingsError, match="method is 'forks'; it can be fork or pair"):
        raygen.score_pairs(bigram_model(), [("AC", "AG")], method="forks")
    with pytest.raises(SettingsError, match="method is None"):
        raygen.score_variants(bigram_model(), pa.table(variant), reference, window=WINDOW, method=None)
    with pytest.raises(SettingsError, match="strand is 'revers'; it can be forward, reverse or both"):
        raygen.score_variants(bigram_model(), pa.table(variant), reference, window=WINDOW, strand="revers")


@pytest.mark.parametrize(
    "changed",
    [{"chrom": [7]}, {"pos": [100.0]}, {"raygen_input_row": [5]}, {"chrom": pa.array([7]).dictionary_encode()}],
    ids=["chrom as a number", "pos as a float", "a column of ours", "chrom as a category"],
)
def test_what_a_frame_guessed_is_put_right(reference, variant, changed):
    expected = raygen.score_variants(bigram_model(), pa.table(variant), reference, window=WINDOW)
    table = pa.table({**variant, **changed})
    assert raygen.score_variants(bigram_model(), table, reference, window=WINDOW).equals(expected)
    frame = pl.from_arrow(table)
    assert raygen.score_variants(bigram_model(), frame, reference, window=WINDOW).equals(expected)


def test_variants_come_from_pandas_with_rows_or_without(reference, variant):
    pd = pytest.importorskip("pandas")
    expected = raygen.score_variants(bigram_model(), pa.table(variant), reference, window=WINDOW)
    frame = pd.DataFrame({**variant, "chrom": [7], "note": [{}]}, index=["a"])
    assert raygen.score_variants(bigram_model(), frame, reference, window=WINDOW).equals(expected)
    none = raygen.score_variants(bigram_model(), pd.DataFrame({name: [] for name in variant}), reference, window=WINDOW)
    assert none.equals(expected[:0])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"pos": [100.5]}, r"^The table: row 1 has 100\.5 in pos, and a position is a whole number"),
        ({"alt": [5]}, "^The table: column 'alt' is int64, not string"),
        ({"ref": None}, "The variants lack the columns ref; they have chrom, pos, alt"),
    ],
)
def test_errors_about_a_table_name_no_temporary_file(reference, variant, changed, sentence):
    table = pa.table({name: column for name, column in {**variant, **changed}.items() if column})
    with pytest.raises(InputError, match=sentence) as raised:
        raygen.score_variants(bigram_model(), table, reference, window=WINDOW)
    assert "/tmp" not in str(raised.value)


@pytest.mark.parametrize(
    ("window", "sentence"),
    [((48, 32), r"window is \(48, 32\); give raygen.Window"), (raygen.Window(48.5, 32), "window.left is 48.5")],
)
def test_a_window_is_a_window_of_whole_bases(reference, variant, window, sentence):
    with pytest.raises(SettingsError, match=sentence):
        raygen.score_variants(bigram_model(), pa.table(variant), reference, window=window)


def test_one_circular_contig_is_one_name(tmp_path, variant):
    reference = fasta(tmp_path, {"MT": BASES})
    table = pa.table({**variant, "chrom": ["MT"]})
    one, many = (
        raygen.score_variants(bigram_model(), table, reference, window=raygen.Window(200, 20), circular=circular)
        for circular in ("MT", ["MT"])
    )
    assert one.equals(many)
    assert one["window_start"][0].as_py() > 200  # around the origin
    with pytest.raises(SettingsError, match="circular names chrM, which"):
        raygen.score_variants(bigram_model(), table, reference, window=WINDOW, circular="chrM")


def test_a_window_larger_than_the_context_is_refused(reference):
    with pytest.raises(SettingsError, match=r"600\+600 reads up to 1,200 bases, but bigram reads 1,000"):
        raygen.score_variants(bigram_model(), pa.table({}), reference, window=raygen.Window(600, 600))


def test_a_value_that_is_not_finite_is_never_a_score():
    model = bigram_model()
    model.loaded.network.table[ord("T"), ord("C")] = float("nan")
    with pytest.warns(UserWarning, match="1 row left out: the model gave a value that is not finite"):
        table = raygen.score_pairs(model, [("AAAAA", "AACTA"), ("AAAAA", "AAGTA")])
    assert table["variant_id"].to_pylist() == ["1"]
    assert np.isfinite(table["delta_llr"].to_numpy()).all()


def test_extra_columns_follow_those_of_scores():
    model = bigram_model()
    pairs = [("ACGTAC", "ACTTAC"), ("ACGTAC", "ACTAC")]
    plain = raygen.score_pairs(model, pairs)
    with_more = raygen.score_pairs(model, pairs, extra_columns=["jsd", "site_llr"])
    assert with_more.column_names == [*plain.column_names, "jsd", "site_llr"]
    assert with_more.select(plain.column_names).equals(plain)
    change = model.loaded.network.log_prob("T", "C") - model.loaded.network.log_prob("G", "C")
    assert with_more["site_llr"].to_pylist() == [pytest.approx(change, abs=1e-6), None]
    for one in ("jsd", ["jsd", "jsd"]):
        assert raygen.score_pairs(model, pairs, extra_columns=one).column_names == [*plain.column_names, "jsd"]
    with pytest.raises(SettingsError, match="extra_columns names 'sitellr'"):
        raygen.score_pairs(model, pairs, extra_columns=["sitellr"])
