import math

import numpy as np
import pyarrow as pa
import pytest

from raygen.classes.background import Background, BackgroundFacts, added_backgrounds
from raygen.classes.background_file import read_background, write_background
from raygen.classes.class_rule import class_rule
from raygen.classes.classify import CLASSES, class_index
from raygen.classes.contexts import ContextSums, context_codes
from raygen.classes.score_counts import ScoreCounts
from raygen.classes.variant_groups import variant_groups
from raygen.errors import InputError, SettingsError
from tests.builders import random_bases

FINGERPRINT = "f" * 16


def background(groups, fingerprint=FINGERPRINT, contexts=None, **facts):
    described = {
        "raygen": "0",
        "model": "demo",
        "reference_digest": "r",
        "contig_lengths": {"1": 900},
        "sources": ("out: some",),
    }
    counts = {name: ScoreCounts.of(np.array(scores, float)) for name, scores in groups.items()}
    return Background(BackgroundFacts(fingerprint=fingerprint, **{**described, **facts}), counts, contexts)


def rows(*variants, deltas):
    chrom, pos, ref, alt = zip(*variants, strict=True)
    return pa.table({"chrom": chrom, "pos": pos, "ref": ref, "alt": alt, "delta_llr": np.array(deltas, float)})


def test_the_columns_are_ranks_among_all_and_in_the_group():
    ranked = background({"SNV": [-4, -3, -2, -1], "deletion of 2 to 3": [-20, -10, 0, 1]}).append_columns(
        rows(("1", 5, "A", "C"), ("1", 6, "AGT", "A"), ("1", 6, "A", "AGTGT"), deltas=[-3, -10, -99]), None, None
    )
    assert ranked["percentile"].to_pylist() == [4 / 8, 2 / 8, 1 / 8]
    assert ranked["phred"].to_pylist() == pytest.approx([-10 * math.log10(share) for share in (4 / 8, 2 / 8, 1 / 8)])
    assert ranked["background_group"].to_pylist() == ["SNV", "deletion of 2 to 3", "insertion of 4 to 10"]
    assert ranked["percentile_in_group"].to_pylist() == [0.5, 0.5, None], "an empty group ranks nothing"


@pytest.mark.parametrize(
    ("ref", "alt", "group"),
    [
        ("A", "C", "SNV"),
        ("AC", "GT", "MNV"),
        ("AC", "A", "deletion of 1"),
        ("A", "AC", "insertion of 1"),
        ("A" * 4, "A", "deletion of 2 to 3"),
        ("A", "A" * 11, "insertion of 4 to 10"),
        ("A" * 12, "A", "deletion of 11 to 50"),
        ("A" * 51, "A", "deletion of 11 to 50"),
        ("A" * 52, "A", "deletion of 51 or more"),
        ("ACG", "TTTTT", "insertion of 2 to 3"),
    ],
)
def test_an_indel_is_ranked_among_indels_of_its_length(ref, alt, group):
    names, number = variant_groups(pa.table({"chrom": ["1"], "pos": [5], "ref": [ref], "alt": [alt]}))
    assert names[number[0]] == group


def test_pairs_and_columns_have_groups_of_their_own():
    none = pa.nulls(1, pa.string())
    names, number = variant_groups(pa.table({"chrom": none, "pos": pa.nulls(1, pa.int64()), "ref": none, "alt": none}))
    assert names[number[0]] == "pair"
    table = pa.table({"chrom": ["1"] * 3, "pos": [1, 2, 3], "ref": ["A"] * 3, "alt": ["C", "C", "AC"]})
    names, number = variant_groups(table, pa.chunked_array([["missense", None, "missense"]]))
    assert [names[group] for group in number] == ["SNV, missense", "SNV, none", "insertion of 1, missense"]


def test_phred_cuts_part_the_rows_as_phred_does():
    scores = np.random.default_rng(0).normal(size=20_000)
    made = background({"SNV": scores})
    asked = np.concatenate([scores, np.random.default_rng(1).normal(size=20_000) * 2, [-99, 99]])
    phred = made.phred(asked)
    for cuts in ((0, 10, 20, 30), (1, 3, 12.5, 40), (0, 20, 43, 44)):
        by_phred = len(CLASSES) - 1 - np.searchsorted(cuts, phred, side="right")
        np.testing.assert_array_equal(class_index(asked, made.cuts_of_phred(cuts)), by_phred)
    assert made.cuts_of_phred((0, 20, 43, 44))[0] == -math.inf, "20,000 scores reach 43.01"
    assert made.cuts_of_phred((0, 10, 20, 30))[3] == math.inf


def test_scores_of_zero_are_cut_as_they_are_ranked():
    made = background({"SNV": [-1.0, 0.0, 0.0, 1.0]})
    asked = np.array([-1.0, -1e-30, 0.0, -0.0, 1.0])
    by_phred = 4 - np.searchsorted((0, 2, 4, 6), made.phred(asked), side="right")
    np.testing.assert_array_equal(class_index(asked, made.cuts_of_phred((0, 2, 4, 6))), by_phred)
    assert by_phred.tolist() == [0, 0, 3, 3, 3]


def test_delta_context_takes_away_what_the_context_makes_likely():
    bases = np.frombuffer(random_bases(900, 3).encode(), np.uint8)
    pos = np.arange(1, 901)
    alts = np.array([{65: 67, 67: 71, 71: 84, 84: 65}[base] for base in bases], np.uint8)
    contexts = ContextSums.of(context_codes(bases, pos, alts), np.where(bases == 65, -4.0, 1.0))
    made = background({"SNV": [-4, 1]}, contexts=contexts)
    a_site = int(np.flatnonzero(bases[10:] == 65)[0]) + 11
    table = rows(("1", a_site, "A", "C"), ("1", 1, "A", "C"), ("1", 20, "AC", "A"), deltas=[-4, -4, -4])
    ranked = made.append_columns(table, None, lambda chrom: bases)
    expected = made.expected(table, lambda chrom: bases)
    assert ranked["delta_context"].to_pylist() == [pytest.approx(-4 - expected[0]), None, None]
    assert expected[0] < -1.5


def test_classes_on_delta_context_abstain_where_no_context_is_known():
    bases = np.frombuffer(b"ACGTACGTACGT", np.uint8)
    contexts = ContextSums.of(
        context_codes(bases, np.array([6] * 1000), np.full(1000, ord("T"), np.uint8)), np.full(1000, -8.0)
    )
    rule = class_rule((-7, -3, -1, 1), "delta_context", background({"SNV": [-8, 0]}, contexts=contexts))
    table = rows(("1", 6, "C", "T"), ("1", 6, "CG", "C"), deltas=[-8, -8])
    table = table.append_column("delta_fwd", pa.array([-8.0, -8.0])).append_column("delta_rev", pa.array([-8.0, -8.0]))
    table = table.append_column("flags", pa.array([[], []], pa.list_(pa.string())))
    classified = rule.append_columns(
        table.append_column("too_many_n", pa.array([False, False])), None, lambda chrom: bases
    )
    assert classified["classification"].to_pylist() == ["benign", "pathogenic"]
    assert classified["abstained"].to_pylist() == [False, True]
    assert classified.column_names[-7:] == ["classification", "abstained", *rule.columns]


def test_a_file_gives_back_what_was_written_and_equal_content_gives_equal_files(tmp_path):
    contexts = ContextSums.of(np.array([17, 99]), np.array([-1.5, 2]))
    made = background(
        {"SNV": [-2, -1], "MNV": [0.5, 0.5]}, contexts=contexts, neutral="2 changes: all", group_column=None
    )
    for name in ("one", "other"):
        write_background(made, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    again = read_background(tmp_path / "one")
    assert again.digest == made.digest
    assert again.facts == made.facts
    np.testing.assert_array_equal(again.contexts.expected, contexts.expected)


def test_what_is_no_background_is_said(tmp_path):
    (tmp_path / "text").write_text("{}")
    with pytest.raises(InputError, match="no background of `raygen background`, or it is damaged"):
        read_background(tmp_path / "text")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_background(tmp_path / "nothing")
    write_background(background({"SNV": [-2, -1]}), tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for length in (len(whole) // 3, len(whole) - 5):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(InputError, match="or it is damaged"):
            read_background(tmp_path / "cut")


def test_backgrounds_add_in_any_order_and_not_across_fingerprints_or_assemblies():
    one, other = background({"SNV": [-2, -1]}, sources=("a",)), background({"SNV": [-1], "MNV": [3]}, sources=("b",))
    added, turned = added_backgrounds([one, other], ["a", "b"]), added_backgrounds([other, one], ["b", "a"])
    assert added.digest == turned.digest
    assert (added.every.num_scores, added.groups["SNV"].num_scores) == (4, 3)
    with pytest.raises(SettingsError, match="fingerprint"):
        added_backgrounds([one, background({"SNV": [1]}, fingerprint="0" * 16)], ["a", "c"])
    with pytest.raises(SettingsError, match="another assembly: its 1 has 900 bases, 1 of these scores 901"):
        added_backgrounds([one, background({"SNV": [1]}, reference_digest="x", contig_lengths={"1": 901})], ["a", "c"])
    with pytest.raises(SettingsError, match="a and c are grouped in different ways"):
        added_backgrounds([one, background({"SNV, x": [1]}, group_column="gene")], ["a", "c"])
    learnt = {"contexts": ContextSums.of(np.array([7]), np.ones(1))}
    with pytest.raises(SettingsError, match="know contexts of different changes"):
        added_backgrounds(
            [background({"SNV": [1]}, neutral="all", **learnt), background({"SNV": [1]}, neutral="x.bed", **learnt)],
            ["a", "c"],
        )
    with pytest.raises(SettingsError, match="hold scores of the same run, r7"):
        added_backgrounds(
            [one, background({"SNV": [1]}, runs=("r7",)), background({"SNV": [2]}, runs=("r7",))], ["a", "b", "c"]
        )


def test_facts_of_an_added_background_do_not_depend_on_the_order():
    one = background({"SNV": [-2]}, contig_lengths={"1": 10}, circular=("MT",), sources=("z",), raygen="1")
    other = background({"SNV": [-1]}, contig_lengths={"2": 20}, sources=("y",), reference_digest="q", raygen="2")
    added, turned = added_backgrounds([one, other], ["a", "b"]), added_backgrounds([other, one], ["b", "a"])
    assert added.facts == turned.facts
    assert (added.facts.contig_lengths, added.facts.circular) == ({"1": 10, "2": 20}, ("MT",))


def test_the_digest_is_of_what_a_background_says_and_not_of_where_it_comes_from():
    one = background({"SNV": [-2, -1]})
    assert one.digest == background({"SNV": [-2, -1]}, sources=("copy: some",), raygen="later").digest
    assert one.digest != background({"SNV": [-2, -1.5]}).digest != background({"MNV": [-2, -1]}).digest


def test_a_background_of_another_assembly_is_refused_and_of_a_part_of_it_is_not():
    made = background({"SNV": [-1, 0]}, contig_lengths={"chr1": 100, "chr2": 50})
    for lengths in ({"chr1": 100}, {"1": 100, "3": 7}, {"chr3": 10}, {}):
        made.refuse_other(FINGERPRINT, "other", lengths, "b.zip")
    for lengths in ({"chr1": 101}, {"chr3": 10, "2": 51}):
        with pytest.raises(SettingsError, match=r"b\.zip is the background of another assembly: its chr. has"):
            made.refuse_other(FINGERPRINT, "other", lengths, "b.zip")


def test_rules_that_need_a_background_say_so():
    with pytest.raises(SettingsError, match="Classes on phred need a background"):
        class_rule((0, 10, 20, 30), "phred")
    with pytest.raises(SettingsError, match="knows no contexts"):
        class_rule((-7, -3, -1, 1), "delta_context", background({"SNV": [-1, 0]}))
