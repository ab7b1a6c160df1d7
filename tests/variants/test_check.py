from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raygen.tables.schemas import Reason
from raygen.variants.alleles import RAW_ALLELES, AlleleBatch, first_bytes
from raygen.variants.check import AlleleChecker, RefTally

CONTIGS = {"1": "ACGTNACGTTTTGCA", "chr2": "GGGG"}


def batch_of(rows: Sequence[dict[str, Any]]) -> AlleleBatch:
    defaults = {"id": None, "record": 1, "span": None, "fault": None}
    return AlleleBatch(pa.Table.from_pylist([{**defaults, **row} for row in rows], RAW_ALLELES), len(rows))


def allele(chrom: str | None, pos: int | None, ref: str | None, alt: str | None, **more: Any) -> dict[str, Any]:
    return {"chrom": chrom, "pos": pos, "ref": ref, "alt": alt, **more}


@pytest.fixture
def outcome(reference_of: Callable[..., Any]) -> Callable[..., Any]:
    """(contig index, pos, ref, alt), or the reason and detail, of one allele."""

    def check_one(row: dict[str, Any], max_allele_length: int = 8) -> Any:
        checked = AlleleChecker(reference_of(CONTIGS), max_allele_length).check(batch_of([row]), "VCF")
        if checked.refused:
            _, reason, detail = checked.refused[0]
            return reason, detail
        return int(checked.contig[0]), int(checked.pos[0]), checked.ref[0].as_py(), checked.alt[0].as_py()

    return check_one


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (allele("1", 1, "A", "C"), (0, 1, "A", "C")),
        (allele("chr1", 1, "a", "c"), (0, 1, "A", "C")),
        (allele("2", 4, "G", "T"), (1, 4, "G", "T")),
        (allele("1", 12, "TG", "G"), (0, 8, "GT", "G")),
        (allele("1", 12, "tg", "g"), (0, 8, "GT", "G")),
        (allele("1", 15, "A", "ACC"), (0, 15, "A", "ACC")),
        (allele("1", 7, "C", "<DEL>", span=3), (0, 7, "CGTT", "C")),
        (allele("1", 11, "T", "<DUP>", span=1), (0, 8, "G", "GT")),
        (allele("1", 6, "A", "<INV>", span=2), (Reason.MALFORMED_RECORD, "ALT is the same sequence as REF")),
        (allele("1", 1, "A", "<INV>", span=1), (0, 2, "C", "G")),
        (allele("1", 7, "N", "<DEL>", span=3), (0, 7, "CGTT", "C")),
        (allele("1", 11, "n", "<DUP>", span=1), (0, 8, "G", "GT")),
        (allele("1", 1, "N", "<INV>", span=1), (0, 2, "C", "G")),
        (allele("1", 7, "N", "NAA"), (0, 7, "C", "CAA")),
        (allele("1", 5, "N", "NA"), (0, 5, "N", "NA")),  # the reference has N there, too: the inserted base is known
        (allele("1", 7, "NGTT", "N"), (0, 7, "CGTT", "C")),
    ],
)
def test_good_allele_is_normalised(outcome: Callable[..., Any], row: dict[str, Any], expected: Any) -> None:
    assert outcome(row) == expected


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (allele(None, None, None, None, fault="told by the reader"), "malformed_record", "told by the reader"),
        (allele("1", 3, "G", "G"), "malformed_record", "ALT is the same sequence as REF"),
        (allele("1", 3, "G", "g"), "malformed_record", "ALT is the same sequence as REF"),
        (allele("3", 0, "A", "*"), "unknown_contig", "ref.fa has no contig '3'"),
        (allele("1", 0, "A", "C"), "out_of_bounds", "POS is 0; the first base is 1"),
        (allele("1", 16, "A", "C"), "out_of_bounds", "it reaches base 16; 1 has 15 bases"),
        (allele("1", 15, "AC", "A"), "out_of_bounds", "it reaches base 16; 1 has 15 bases"),
        (allele("1", 10, "T", "<DEL>", span=6), "out_of_bounds", "it reaches base 16; 1 has 15 bases"),
        (allele("1", 2**62, "A", "C"), "out_of_bounds", f"it reaches base {2**62:,}; 1 has 15 bases"),
        (allele("1", 1, "A", "*"), "star_allele", "'*' stands for a deletion that another record describes"),
        (allele("1", 1, "A", "<CN0>"), "symbolic_allele", "<CN0> does not say which sequence it stands for"),
        (allele("1", 1, "A", "A[1:9["), "symbolic_allele", "A[1:9[ does not say which sequence it stands for"),
        (
            allele("1", 1, "A", "<DEL>"),
            "symbolic_allele",
            "<DEL> has no END after POS and no usable SVLEN, so its length is not known",
        ),
        (
            allele("1", 6, "A", "<DEL>", span=8),
            "symbolic_allele",
            "<DEL> of 8 bases; with the base before it, max_allele_length is 8",
        ),
        (allele("1", 1, "A", None), "non_acgt_allele", "the record has no ALT allele"),
        (allele("1", 1, "A", "."), "non_acgt_allele", "the record has no ALT allele"),
        (allele("1", 1, "A", ""), "non_acgt_allele", "the record has no ALT allele"),
        (allele("1", 1, ".", "A"), "non_acgt_allele", "the record has no REF allele"),
        (allele("1", 1, "m", "C"), "non_acgt_allele", "REF 'M' holds 'M'; only A, C, G and T can be scored"),
        (allele("1", 1, "A", ":"), "non_acgt_allele", "ALT ':' holds ':'; only A, C, G and T can be scored"),
        (allele("1", 7, "NTTT", "N"), "ref_mismatch", "the VCF says 'CTTT', ref.fa has 'CGTT' at 1:7"),
        (allele("1", 7, "CG", "N"), "non_acgt_allele", "ALT 'N' holds 'N'; only A, C, G and T can be scored"),
        (allele("1", 5, "N", "A"), "non_acgt_allele", "REF 'N' holds 'N'; only A, C, G and T can be scored"),
        (
            allele("1", 4, "T", "<DEL>", span=2),
            "non_acgt_allele",
            "REF 'TNA' holds 'N'; only A, C, G and T can be scored",
        ),
        (
            allele("1", 1, "A", "ACGTACGTA"),
            "allele_too_long",
            "REF has 1 bases and ALT 9; max_allele_length is 8",
        ),
        (allele("1", 1, "T", "G"), "ref_mismatch", "the VCF says 'T', ref.fa has 'A' at 1:1"),
        (allele("chr1", 1, "AG", "A"), "ref_mismatch", "the VCF says 'AG', ref.fa has 'AC' at 1:1"),
        (allele("1", 5, "A", "G"), "ref_mismatch", "the VCF says 'A', ref.fa has 'N' at 1:5"),
        (allele("1", 7, "A", "<DEL>", span=3), "ref_mismatch", "the VCF says 'A', ref.fa has 'C' at 1:7"),
    ],
)
def test_bad_allele_has_a_reason_and_the_numbers(
    outcome: Callable[..., Any], row: dict[str, Any], reason: str, detail: str
) -> None:
    assert outcome(row) == (Reason(reason), detail)


def test_what_a_gvcf_says_of_the_reference_is_a_block_and_no_reject(reference_of: Callable[..., Any]) -> None:
    rows = [
        allele("1", 1, "A", "<NON_REF>"),
        allele("1", 1, "A", "C"),
        allele("9", 999, "N", "<*>"),  # nothing is looked at but the allele
        allele("1", 2, "C", None, span=3),
        allele("1", 2, "C", None),
        allele("1", 2, "C", "<NON_REF>", fault="broken"),
        allele("1", 2, "C", "<CN0>"),
    ]
    checked = AlleleChecker(reference_of(CONTIGS), 8).check(batch_of(rows), "VCF")
    assert (checked.rows.tolist(), checked.blocks.tolist()) == ([1], [0, 2, 3])
    assert [(row, reason.value) for row, reason, _ in checked.refused] == [
        (4, "non_acgt_allele"),
        (5, "malformed_record"),
        (6, "symbolic_allele"),
    ]


def test_a_base_that_is_left_to_the_reference_says_nothing_of_the_assembly(reference_of: Callable[..., Any]) -> None:
    checker = AlleleChecker(reference_of(CONTIGS), 8)
    checker.check(batch_of([allele("1", 7, "N", "<DEL>", span=3), allele("1", 7, "N", "NAA")]), "VCF")
    assert checker.file_tally.checked == 0


def test_a_batch_names_its_own_contigs_and_the_file_adds_up(reference_of: Callable[..., Any]) -> None:
    checker = AlleleChecker(reference_of({"1": "AAAA", "2": "AAAA", "3": "AAAA"}), 8)
    checker.check(batch_of([allele("1", 1, "A", "C"), allele("2", 1, "G", "C")]), "VCF")
    assert checker.batch_contigs == {"1", "2"}
    checker.check(batch_of([allele("2", 2, "A", "C"), allele("3", 1, "AA", "A", fault="broken")]), "VCF")
    assert checker.batch_contigs == {"2"}
    assert checker.file_tally == RefTally(3, 1, 0, "2:1-G-C, the reference has 'A'")


any_row = st.builds(
    allele,
    st.sampled_from(["1", "chr1", "2", "chr2", "3", None]),
    st.one_of(st.integers(-1, 17), st.none()),
    st.one_of(st.sampled_from("ACGTacgtNm*."), st.text("ACGT", max_size=3), st.none()),
    st.one_of(st.sampled_from(["A", "c", "G", "t", "N", "*", "<DEL>", "."]), st.text("ACGT", max_size=3), st.none()),
    fault=st.one_of(st.none(), st.none(), st.just("x")),
)


@given(st.lists(any_row, max_size=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_batches_give_what_single_alleles_give(
    reference_of: Callable[..., Any], rows: list[dict[str, Any]]
) -> None:
    rows = [{**row, "fault": row["fault"] or ("null" if None in (row["chrom"], row["pos"]) else None)} for row in rows]
    together = AlleleChecker(reference_of(CONTIGS), 8)
    checked = together.check(batch_of(rows), "VCF")
    found: dict[int, Any] = {row: (reason, detail) for row, reason, detail in checked.refused}
    accepted = zip(
        checked.rows, checked.contig, checked.pos, checked.ref.to_pylist(), checked.alt.to_pylist(), strict=True
    )
    found |= {int(row): (int(contig), int(pos), ref, alt) for row, contig, pos, ref, alt in accepted}

    one_by_one = AlleleChecker(reference_of(CONTIGS), 8)
    one_by_one._plain_snvs = lambda table, contig, pos: np.zeros(len(pos), bool)  # type: ignore[method-assign]
    for number, row in enumerate(rows):
        single = one_by_one.check(batch_of([row]), "VCF")
        if single.refused:
            assert found[number] == single.refused[0][1:]
        else:
            assert found[number] == (
                int(single.contig[0]),
                int(single.pos[0]),
                single.ref[0].as_py(),
                single.alt[0].as_py(),
            )
    assert len(found) == len(rows)
    assert together.ref_tallies == one_by_one.ref_tallies
    assert together.batch_contigs == set(together.ref_tallies)
    assert (together.file_tally.checked, together.file_tally.mismatches) == (
        sum(tally.checked for tally in together.ref_tallies.values()),
        sum(tally.mismatches for tally in together.ref_tallies.values()),
    )
    assert together.name_tallies == one_by_one.name_tallies


def test_first_bytes_reads_slices_nulls_and_empty_strings() -> None:
    strings = pa.array(["zz", "A", None, "", "CG", "T"], pa.string())[1:]
    first, lengths = first_bytes(strings)
    assert bytes(first) == b"A\0\0CT"
    assert lengths.tolist() == [1, 0, 0, 2, 1]
    assert first_bytes(pa.array([None, ""], pa.string()))[0].tolist() == [0, 0]
