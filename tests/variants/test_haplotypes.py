"""Phased variants as one more allele."""

import json
from itertools import permutations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raygen.errors import SettingsError
from raygen.variants.haplotypes import join
from raygen.variants.ingest import ingest
from tests.builders import InMemoryReference, random_bases

#        12345678901234567890
BASES = "GATTACAAAAGCCTNGATTC"
REFERENCE = InMemoryReference({"1": BASES, "2": "ACGTACGTAC"})


def joined(*members, longest=1000, bases=BASES):
    """``joined("2 A G", "5 A AT")``: what the members are together, as ``pos ref alt``."""
    parsed = [(int(pos), ref, alt) for pos, ref, alt in (member.split() for member in members)]
    return " ".join(map(str, join(parsed, np.frombuffer(bases.encode(), np.uint8), longest)))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (["2 A G", "4 T C"], "2 ATT GTC"),
        (["4 T C", "2 A G"], "2 ATT GTC"),
        (["2 A G", "3 T TCC"], "2 AT GTCC"),
        (["3 T G", "3 T TCC"], "3 T GCC"),  # an insertion after a base that changes, too
        (["1 GA G", "3 T C"], "2 AT C"),
        (["5 AC A", "7 A AG"], "6 CA AG"),
        (["1 G GC", "20 C A"], None),
        (["1 GA A", "3 T C"], "1 GAT AC"),  # a deletion of the contig's first base
        (["5 A AGG", "5 AC A"], "6 C GG"),
        (["3 TT T", "5 AC A"], "4 TAC A"),
    ],
)
def test_members_are_put_in_together(members, expected):
    if expected is None:
        with pytest.raises(Exception, match="holds a base that is no A"):
            joined(*members)
    else:
        assert joined(*members) == expected


def test_an_indel_is_put_in_where_the_input_has_it_not_where_it_is_normalised_to():
    # In CAAAAG the third A becomes T and the one behind it goes: left-aligned, the deletion would take the first A.
    assert joined("9 A T", "9 AA A") == "9 AA T"
    assert joined("9 A T", "6 CA C") == "8 AA T"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (["2 AT A", "3 T G"], "overlap at base 3"),
        (["2 A G", "2 A C"], "overlap at base 2"),
        (["2 A AG", "2 A AC"], "overlap at base 3"),
        (["2 ATT A", "4 TA T"], None),
        (["1 GATT C", "3 T TA"], "overlap"),
        (["7 A AA", "9 AA A"], "change nothing"),
    ],
)
def test_members_that_do_not_go_together_are_refused(members, words):
    if words is None:
        assert joined(*members) == "1 GATT G"
    else:
        with pytest.raises(Exception, match=words):
            joined(*members)


def test_a_haplotype_that_is_too_long_is_refused():
    assert joined("2 A G", "6 C T", longest=5) == "2 ATTAC GTTAT"
    with pytest.raises(Exception, match="spans 5 bases; 4 is the most"):
        joined("2 A G", "6 C T", longest=4)
    with pytest.raises(Exception, match="alleles of 7 bases; 6 is the most"):
        joined("2 A G", "3 T TACGACT", longest=6)


@st.composite
def edits(draw):
    """A contig and edits that do not touch one another, as VCF writes them, each with a base before it."""
    bases = random_bases(40, draw(st.integers(0, 50)))
    members, at = [], 0
    while at < 34 and len(members) < 4:
        start = at + draw(st.integers(1, 8))
        size = draw(st.integers(0, 3))
        if start + size > 38:
            break
        alt = draw(st.text("ACGT", max_size=3))
        if alt != bases[start : start + size]:
            members.append((start, bases[start - 1 : start + size], bases[start - 1] + alt))
        at = start + size
    return bases, members


def applied(bases, members):
    for pos, ref, alt in sorted(members, reverse=True):
        assert bases[pos - 1 : pos - 1 + len(ref)] == ref
        bases = bases[: pos - 1] + alt + bases[pos - 1 + len(ref) :]
    return bases


@given(edits(), st.randoms())
@settings(max_examples=200, deadline=None)
def test_the_joined_allele_gives_the_sequence_that_the_members_give_one_by_one(case, shuffle):
    bases, members = case
    together = applied(bases, members)
    if together == bases or len({pos + len(ref) for pos, ref, _ in members}) < len(members):
        return
    shuffled = list(members)
    shuffle.shuffle(shuffled)
    assert applied(bases, [join(shuffled, np.frombuffer(bases.encode(), np.uint8), 1000)]) == together


def table(tmp_path, rows, name="variants.parquet", ids=None):
    """A user's Parquet: rows are ``chrom pos ref alt haplotype``, ``-`` for no haplotype."""
    columns = list(zip(*(row.split() for row in rows), strict=True))
    values = {"chrom": columns[0], "pos": [int(pos) for pos in columns[1]], "ref": columns[2], "alt": columns[3]}
    named = pa.array([None if name == "-" else name for name in columns[4]], pa.string()).cast(ids or pa.string())
    pq.write_table(pa.table(values).append_column("phase", named), tmp_path / name)
    return tmp_path / name


def run(tmp_path, *rows, **options):
    """(variants, rejects, result) of an ingest of ``rows``."""
    settings = {"haplotype_column": "phase", **options}
    taken = ingest([table(tmp_path, rows)], REFERENCE, tmp_path / "out", **settings)
    rejects = list(taken.rejects_dir.glob("*.parquet"))
    return (
        pq.read_table(taken.variants_dir).to_pylist(),
        pq.read_table(rejects[0]).to_pylist() if rejects else [],
        taken,
    )


ROWS = ["1 2 A G h1", "1 4 T C h1", "1 13 C A -", "2 3 G C h2", "1 8 A C h3", "1 7 A T h3", "1 20 C G alone"]


def test_a_haplotype_is_one_more_row_beside_its_members(tmp_path):
    variants, rejects, taken = run(tmp_path, *ROWS)
    together = [row for row in variants if row["haplotype_members"]]
    assert [(row["pos"], row["ref"], row["alt"], row["id"], row["phase"]) for row in together] == [
        (2, "ATT", "GTC", "hap:h1", "h1"),
        (7, "AA", "TC", "hap:h3", "h3"),
    ]
    assert together[1]["haplotype_members"] == "1-7-A-T;1-8-A-C"
    assert [row["pos"] for row in variants] == [2, 2, 4, 7, 7, 8, 13, 20, 3]
    assert rejects == []
    assert (taken.num_records, taken.num_alleles, taken.num_variants, taken.num_haplotypes) == (7, 9, 9, 2)


def test_the_order_of_the_input_does_not_matter(tmp_path):
    digests = set()
    for number, rows in enumerate(list(permutations(ROWS))[::500]):
        taken = ingest([table(tmp_path, rows)], REFERENCE, tmp_path / str(number), haplotype_column="phase")
        digests.add(taken.digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("rows", "reason", "words"),
    [
        (["1 2 AT A h", "1 3 T G h"], "malformed_record", "overlap at base 3; members: 1-2-AT-A; 1-3-T-G"),
        (["1 2 A G h", "2 2 C G h"], "malformed_record", "lie on different contigs"),
        (["1 13 C G h", "1 16 G A h"], "non_acgt_allele", "between members"),
        (["1 2 A G h", "1 9 A C h"], "allele_too_long", "spans 8 bases; 6 is the most"),
        (["1 2 A G h", "1 4 A C h"], "ref_mismatch", "the member 1-4-A-C cannot be scored"),
        (["1 2 A G h", "1 4 T <DEL> h"], "symbolic_allele", "cannot be scored"),
    ],
)
def test_a_haplotype_that_cannot_be_built_is_a_reject_and_its_members_stay(tmp_path, rows, reason, words):
    variants, rejects, taken = run(tmp_path, *rows, max_haplotype_span=6)
    (haplotype,) = [row for row in rejects if row["id"] == "hap:h"]
    assert (haplotype["reason"], haplotype["ref"], haplotype["alt"]) == (reason, None, None)
    assert words in haplotype["detail"]
    assert haplotype["source"] == "variants.parquet:1"
    assert taken.num_alleles == len(variants) + len(rejects) == 3
    assert len(variants) == 2 - (len(rejects) - 1)


def test_a_haplotype_that_is_a_variant_of_the_input_is_its_duplicate(tmp_path):
    variants, rejects, _ = run(tmp_path, "1 2 A G h", "1 4 T C h", "1 2 ATT GTC -")
    assert [row["haplotype_members"] for row in variants] == [None, None, None]
    assert [(row["id"], row["reason"]) for row in rejects] == [("hap:h", "duplicate")]


def test_a_variant_may_be_in_several_haplotypes_and_twice_in_one(tmp_path):
    variants, rejects, _ = run(tmp_path, "1 2 A G a", "1 4 T C a", "1 2 A G b", "1 5 A C b", "1 2 A G b")
    assert [row["haplotype_members"] for row in variants if row["haplotype_members"]] == [
        "1-2-A-G;1-4-T-C",
        "1-2-A-G;1-5-A-C",
    ]
    assert [row["reason"] for row in rejects] == ["duplicate", "duplicate"]


def test_numbers_can_name_haplotypes_and_numbers_with_fractions_cannot(tmp_path):
    rows = ["1 2 A G 7", "1 4 T C 7"]
    numbers = ingest([table(tmp_path, rows, ids=pa.int64())], REFERENCE, tmp_path / "out", haplotype_column="phase")
    assert pq.read_table(numbers.variants_dir)["phase"].to_pylist() == [7, 7, 7]
    with pytest.raises(SettingsError, match="'phase' is double"):
        ingest([table(tmp_path, rows, ids=pa.float64())], REFERENCE, tmp_path / "out", haplotype_column="phase")


def test_haplotypes_are_named_in_info_of_a_vcf(tmp_path, vcf):
    header = '##INFO=<ID=HAP,Number=1,Type=String,Description="haplotype">\n'
    path = vcf(["1 2 . A G . . HAP=h1", "1 4 . T C,G . . HAP=h2", "1 6 . C T . . HAP=h1"], header=header)
    taken = ingest([path], REFERENCE, tmp_path / "out", haplotype_column="HAP")
    rows = pq.read_table(taken.variants_dir).to_pylist()
    assert [(row["ref"], row["alt"], row["HAP"]) for row in rows if row["haplotype_members"]] == [
        ("ATTAC", "GTTAT", "h1")
    ]
    assert taken.rejects == {"malformed_record": 1}  # two ALTs of one record cannot be in one sequence
    info = json.loads((tmp_path / "out/ingest.json").read_text())
    assert (info["haplotype_column"], info["num_haplotypes"], info["longest_haplotype"]) == ("HAP", 2, 5)


def test_without_a_column_nothing_changes(tmp_path):
    taken = ingest([table(tmp_path, ROWS)], REFERENCE, tmp_path / "out")
    assert pq.read_table(taken.variants_dir).column_names == ["chrom", "pos", "ref", "alt", "id"]
    assert (taken.num_alleles, taken.num_haplotypes) == (7, 0)
