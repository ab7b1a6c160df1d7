"""Signs of another assembly: judged contig by contig and file by file, said in numbers, and too many of them stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError
from raygen.settings import InputSettings
from raygen.variants.assembly import MAX_MISMATCH_SHARE, MAX_UNKNOWN_SHARE
from raygen.variants.ingest import ingest


@pytest.fixture
def reference(reference_of: Callable[..., Any]) -> Any:
    """Contigs of A alone."""
    return reference_of({"1": "A" * 300, "2": "A" * 300, "X": "A" * 300, "MT": "A" * 300})


def snvs(contig: str, count: int, ref: str = "A", alt: str = "C", start: int = 1) -> list[str]:
    return [f"{contig} {pos} . {ref} {alt}" for pos in range(start, start + count)]


def test_the_settings_default_to_the_shares_of_an_ingest() -> None:
    settings = InputSettings()
    assert (settings.max_mismatch_share, settings.max_unknown_share) == (MAX_MISMATCH_SHARE, MAX_UNKNOWN_SHARE)


def test_one_contig_of_another_assembly_stops_the_run(vcf: Any, reference: Any, tmp_path: Path) -> None:
    path = vcf([*snvs("1", 200), *snvs("MT", 10, ref="G"), *snvs("MT", 30, start=11)])
    with pytest.raises(InputError) as refused:
        ingest([path], reference, tmp_path / "out")
    assert str(refused.value) == (
        "10 of 40 REF alleles on MT differ from ref.fa (first: MT:1-G-C, the reference has 'A'). More than "
        "input.max_mismatch_share (0.1) on a contig stop a run. Is the contig from another assembly? Nothing was written."
    )
    assert not (tmp_path / "out").exists()


def test_a_higher_share_lets_the_run_go_on_with_a_warning(vcf: Any, run_ingest: Any, reference: Any) -> None:
    path = vcf([*snvs("1", 200), *snvs("MT", 10, ref="G"), *snvs("MT", 30, start=11)])
    out = run_ingest(path, reference, max_mismatch_share=0.25)
    assert out.result.rejects == {"ref_mismatch": 10}
    assert out.result.warnings == [
        "10 of 40 REF alleles on MT differ from ref.fa (first: MT:1-G-C, the reference has 'A')."
    ]


def test_a_share_of_one_lets_everything_through(vcf: Any, run_ingest: Any, reference: Any) -> None:
    assert run_ingest(vcf(snvs("1", 40, ref="G")), reference, max_mismatch_share=1).result.num_variants == 0


@pytest.mark.parametrize(("mismatches", "others"), [(9, 10), (2, 0), (10, 90)])
def test_few_mismatches_or_a_small_share_of_them_are_rejects(
    vcf: Any, run_ingest: Any, reference: Any, mismatches: int, others: int
) -> None:
    records = [*snvs("1", 200), *snvs("X", mismatches, ref="G"), *snvs("X", others, start=101)]
    assert run_ingest(vcf(records), reference).result.rejects == {"ref_mismatch": mismatches}


def test_three_mismatches_that_are_most_of_a_contig_stop_the_run(vcf: Any, reference: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 of 5 REF alleles on X differ from"):
        ingest([vcf([*snvs("1", 50), *snvs("X", 3, "G"), *snvs("X", 2, start=10)])], reference, tmp_path / "out")


def test_a_warning_names_the_contigs_with_most_mismatches(vcf: Any, run_ingest: Any, reference: Any) -> None:
    """2 of 302 on contig 1 are fewer than 1 in 100 and not named."""
    records = [*snvs("1", 300), *snvs("1", 2, ref="G"), *snvs("2", 1, "G"), *snvs("2", 30), *snvs("chrX", 2, "T")]
    assert run_ingest(vcf(records), reference).result.warnings == [
        "2 of 2 REF alleles on X, 1 of 31 on 2 differ from ref.fa (first: chrX:1-T-C, the reference has 'A')."
    ]


def test_a_contig_may_have_braces_in_its_name(vcf: Any, run_ingest: Any, reference_of: Any) -> None:
    path = vcf([*snvs("{x}", 2, ref="G"), *snvs("{x}", 78, start=3)])
    assert run_ingest(path, reference_of({"{x}": "A" * 300})).result.warnings == [
        "2 of 80 REF alleles on {x} differ from ref.fa (first: {x}:1-G-C, the reference has 'A')."
    ]


def test_swapped_alleles_are_told_from_another_assembly(
    vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path
) -> None:
    hint = (
        "In 12 of 12 ALT is what the reference has: REF and ALT are swapped, as PLINK 1.9 writes them. "
        "`plink2 --fa REFERENCE --ref-from-fa force` or `bcftools norm --check-ref s` puts them right."
    )
    path = vcf([*snvs("1", 40), *snvs("1", 12, ref="G", alt="A", start=41)])
    with pytest.raises(InputError) as refused:
        ingest([path], reference, tmp_path / "out")
    assert str(refused.value).endswith(f"stop a run. {hint} Nothing was written.")
    out = run_ingest(path, reference, max_mismatch_share=0.5)
    assert out.result.warnings[0].endswith(hint)
    assert out.rejects[0]["detail"] == "the VCF says 'G', ref.fa has 'A' at 1:41, which is ALT here"


def test_a_third_of_the_mismatches_with_the_bases_of_alt_is_chance(vcf: Any, reference: Any, tmp_path: Path) -> None:
    records = [*snvs("1", 8, "G", "C"), *snvs("1", 4, "G", "A", start=9)]
    with pytest.raises(InputError, match=r"Is the input from another assembly\? Nothing was written"):
        ingest([vcf(records)], reference, tmp_path / "out")


def test_a_symbolic_allele_is_not_swapped(vcf: Any, run_ingest: Any, reference: Any) -> None:
    out = run_ingest(vcf(["1 5 . G <DEL> . . END=8"]), reference)
    assert out.rejects[0]["detail"] == "the VCF says 'G', ref.fa has 'A' at 1:5"
    assert "swapped" not in out.result.warnings[0]


def test_a_contig_of_another_assembly_is_seen_before_the_rest_is_read(
    vcf: Any, reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raygen.variants.assembly.EARLY_LOOK", 50)
    monkeypatch.setattr("raygen.variants.vcf.BATCH_ROWS", 10)
    num_records: list[int] = []
    with pytest.raises(InputError, match="50 of 50 REF alleles on 2 differ"):
        ingest(
            [vcf([*snvs("1", 100), *snvs("2", 200, ref="G"), *snvs("X", 100)])],
            reference,
            tmp_path / "out",
            on_progress=num_records.append,
        )
    assert num_records[-1] == 140


def test_contigs_that_the_reference_lacks_are_named_with_counts(vcf: Any, run_ingest: Any, reference: Any) -> None:
    records = [*snvs("1", 200), *snvs("Un1", 4), *snvs("Un2", 1), *snvs("Un3", 3), *snvs("Un4", 2)]
    assert run_ingest(vcf(records), reference).result.warnings == [
        "ref.fa does not have the contigs of 10 alleles: Un1 (4), Un3 (3), Un4 (2) and 1 more."
    ]


def test_a_file_of_which_the_reference_lacks_much_stops_the_run(vcf: Any, run_ingest: Any, reference: Any) -> None:
    records = [*snvs("1", 80), *snvs("Un1", 6), *snvs("Un2", 4)]
    with pytest.raises(InputError) as refused:
        run_ingest(vcf(records), reference)
    assert str(refused.value) == (
        "10 of 90 alleles of a.vcf are on contigs that ref.fa does not have: Un1 (6), Un2 (4); it has 1, 2, X and 1 more. Is it "
        "the reference of the input's assembly? To score the rest alone, set input.max_unknown_share (now 0.1). Nothing was "
        "written."
    )
    assert run_ingest(vcf(records), reference, max_unknown_share=1).result.rejects == {"unknown_contig": 10}


def test_malformed_lines_are_no_unknown_contigs(vcf: Any, run_ingest: Any, reference: Any) -> None:
    """Blanks for tabs, which htslib gives whole, and a comment among the records."""
    raw = [f"1 {pos} . A C . . . GT 0/1" for pos in range(1, 12)] + ["#a comment"]
    out = run_ingest(vcf(snvs("1", 80), raw=raw), reference)
    assert (out.result.num_variants, out.result.rejects, out.result.warnings) == (80, {"malformed_record": 12}, [])


def test_rows_without_a_contig_are_no_unknown_contig(run_ingest: Any, reference: Any, tmp_path: Path) -> None:
    chroms = ["1"] * 80 + [None] * 12
    alleles = {"chrom": chroms, "pos": range(1, 93), "ref": ["A"] * 92, "alt": ["C"] * 92}
    pq.write_table(pa.table(alleles), tmp_path / "a.parquet")
    out = run_ingest(tmp_path / "a.parquet", reference)
    assert (out.result.num_variants, out.result.rejects, out.result.warnings) == (80, {"malformed_record": 12}, [])


def test_one_file_of_several_is_judged_by_itself(vcf: Any, reference: Any, tmp_path: Path) -> None:
    good, lost = vcf(snvs("1", 250)), vcf([*snvs("2", 5), *snvs("Un", 20)], "b.vcf")
    with pytest.raises(InputError, match=r"20 of 25 alleles of b\.vcf are on contigs"):
        ingest([good, lost], reference, tmp_path / "out")


def test_masked_bases_are_rejects_and_no_sign_of_another_assembly(vcf: Any, run_ingest: Any, reference_of: Any) -> None:
    """Of 60 alleles, 20 lie on N or R, one of them reaches over the edge, and one of the 40 on bases differs."""
    masked = reference_of({"1": "A" * 50 + "N" * 15 + "R" * 5 + "A" * 200})
    records = [*snvs("1", 39), "1 40 . G C", "1 50 . AA A", *snvs("1", 14, start=51), *snvs("1", 5, "T", start=66)]
    out = run_ingest(vcf(records), masked)
    assert out.result.rejects == {"ref_mismatch": 21}
    assert out.result.warnings == [
        "1 of 40 REF alleles on 1 differ from ref.fa (first: 1:40-G-C, the reference has 'A')."
    ]


def test_a_file_none_of_whose_contigs_is_known_stops_the_run_wherever_it_stands(
    vcf: Any, reference: Any, tmp_path: Path
) -> None:
    good, lost = vcf(snvs("1", 250)), vcf(snvs("Un", 100), "b.vcf")
    for inputs in ([good, lost], [lost, good]):
        with pytest.raises(InputError, match=r"100 of 100 alleles of b\.vcf are on contigs that ref\.fa does not have"):
            ingest(inputs, reference, tmp_path / "out")


def test_a_file_of_another_assembly_beside_a_right_one_stops_the_run(vcf: Any, reference: Any, tmp_path: Path) -> None:
    """Both together have 34 mismatches in 352, which is below a tenth."""
    right = vcf(snvs("1", 300))
    wrong = vcf([*snvs("1", 34, ref="G"), *snvs("1", 18, start=101)], "b.vcf")
    for inputs in ([right, wrong], [wrong, right]):
        with pytest.raises(InputError) as refused:
            ingest(inputs, reference, tmp_path / "out")
        assert str(refused.value) == (
            "b.vcf: 34 of 52 REF alleles differ from ref.fa (first: 1:1-G-C, the reference has 'A'). Is the input from "
            "another assembly? Nothing was written."
        )


def test_files_that_pass_alone_pass_together(vcf: Any, run_ingest: Any, reference: Any) -> None:
    """Six mismatches of 40 are too few to stop a file; 30 of 200 would be too many of one."""
    paths = [vcf([*snvs("1", 6, ref="G"), *snvs("1", 34, start=7)], f"{number}.vcf") for number in range(5)]
    out = run_ingest(paths, reference)
    assert out.result.rejects == {"ref_mismatch": 30, "duplicate": 136}
    assert out.result.warnings == [
        "30 of 200 REF alleles on 1 differ from ref.fa (first: 1:1-G-C, the reference has 'A')."
    ]


def test_a_length_of_the_last_position_and_one_is_plink_s_and_no_warning(
    vcf: Any, run_ingest: Any, reference: Any
) -> None:
    records = ["1 7 . A C", "1 30 . A C", "X 12 . A C", "MT 5 . A C"]
    header = "##contig=<ID=1,length=31>\n##contig=<ID=X,length=12>\n##contig=<ID=MT,length=6>\n"
    assert run_ingest(vcf(records, header=header), reference).result.warnings == [
        "The header of a.vcf says X has 12 bases, the reference has 300."
    ]


def test_plink_s_lengths_are_looked_at_file_by_file(vcf: Any, run_ingest: Any, reference: Any) -> None:
    first = vcf(["1 30 . A C"], header="##contig=<ID=1,length=31>\n")
    second = vcf(["1 40 . A C"], "b.vcf", header="##contig=<ID=1,length=41>\n")
    third = vcf(["1 20 . A C"], "c.vcf", header="##contig=<ID=1,length=41>\n")
    assert run_ingest([first, second, third], reference).result.warnings == [
        "The header of c.vcf says 1 has 41 bases, the reference has 300."
    ]


def test_chromosome_23_is_x_on_a_human_reference_alone(vcf: Any, run_ingest: Any, reference_of: Any) -> None:
    path = vcf([*snvs("1", 20), "23 5 . A C"])
    cow = reference_of({"1": "A" * 300, "X": "A" * 300})
    assert run_ingest(path, cow).reasons == ["unknown_contig"]
    human = reference_of({"1": "A" * 300, "21": "A", "X": "A" * 300})
    human.lengths["21"] = 46_709_983  # GRCh38's
    assert run_ingest(path, human).ids[-1] == "X-5-A-C"
