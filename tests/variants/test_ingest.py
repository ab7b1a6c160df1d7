from __future__ import annotations

import errno
import json
import random
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError, SettingsError, StoppedError
from raygen.tables.schemas import REJECTS, VARIANTS
from raygen.variants import external_sort
from raygen.variants import ingest as ingest_module
from raygen.variants.ingest import ingest
from raygen.variants.ingested_folder import is_ingested, read_ingest_info
from tests.finished_runs import finished_run

#           123456789012345
CONTIGS = {"2": "GGGGACACACTTTTT", "1": "ACGTACGTACGTACG", "chrM": "ACGT" * 10}


@pytest.fixture
def reference(reference_of: Callable[..., Any]) -> Any:
    return reference_of(CONTIGS)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_rows_are_sorted_by_contig_in_fasta_order_then_position(vcf: Any, run_ingest: Any, reference: Any) -> None:
    records = ["chr1 2 . C T,A", "MT 3 m G A", "1 1 r1 A C", "2 15 . T A", "2 10 . C CAC", "2 1 . G C"]
    out = run_ingest(vcf(records), reference)
    assert out.ids == ["2-1-G-C", "2-4-G-GAC", "2-15-T-A", "1-1-A-C", "1-2-C-A", "1-2-C-T", "chrM-3-G-A"]
    assert [row["id"] for row in out.variants][3:] == ["r1", None, None, "m"]
    assert out.rejects == []
    assert (out.result.num_records, out.result.num_alleles, out.result.num_variants) == (6, 7, 7)


def test_rejects_keep_the_input_fields_and_alleles_are_conserved(vcf: Any, run_ingest: Any, reference: Any) -> None:
    records = [
        "1 1 r1 a c,*,<CN0>",
        "chr9 5 r2 A C",
        "2 11 r3 g t",
        "1 99 . A C",
        "2 11 r4 TT T",
        "2 14 r5 TT T",
        "MT 1 . N C",
    ]
    out = run_ingest(vcf(records, raw=["1\tx\tr6\tA\tC"]), reference)
    fields = [
        tuple(row[name] for name in ("chrom", "pos", "id", "ref", "alt", "source", "reason")) for row in out.rejects
    ]
    assert fields == [
        ("1", 1, "r1", "a", "*", "a.vcf:1", "star_allele"),
        ("1", 1, "r1", "a", "<CN0>", "a.vcf:1", "symbolic_allele"),
        ("chr9", 5, "r2", "A", "C", "a.vcf:2", "unknown_contig"),
        ("2", 11, "r3", "g", "t", "a.vcf:3", "ref_mismatch"),
        ("1", 99, None, "A", "C", "a.vcf:4", "out_of_bounds"),
        ("MT", 1, None, "N", "C", "a.vcf:7", "non_acgt_allele"),
        ("1", None, "r6", "A", "C", "a.vcf:8", "malformed_record"),
        ("2", 14, "r5", "TT", "T", "a.vcf:6", "duplicate"),
    ]
    assert out.rejects[-1]["detail"] == "the same variant as a.vcf:5, 2-10-CT-C"
    assert out.result.num_alleles == 10 == out.result.num_variants + sum(out.result.rejects.values())
    assert out.result.rejects["duplicate"] == 1


GVCF_HEADERS = ["##GVCFBlock0-1=minGQ=0(inclusive),maxGQ=1(exclusive)", "##ALT=<ID=NON_REF,Description=x>", ""]


@pytest.mark.parametrize("header", GVCF_HEADERS)
def test_blocks_of_a_gvcf_are_counted_and_not_listed(vcf: Any, run_ingest: Any, reference: Any, header: str) -> None:
    path = vcf(
        [
            "1 1 . A <NON_REF> . . END=3",
            "1 4 . T C,<NON_REF>",
            "1 5 . A T,<*>",
            "1 6 . C . . . END=8",
            "1 9 . A .",
            "1 9 . A C,<CN0>",
        ],
        header=f"{header}\n" if header else "",
    )
    ingested = run_ingest(path, reference)
    assert ingested.ids == ["1-4-T-C", "1-5-A-T", "1-9-A-C"]
    # the record without ALT that spans one base is a block only where the header says that the file has such
    counts = (
        {"symbolic_allele": 1, "reference_block": 5}
        if header
        else {"non_acgt_allele": 1, "symbolic_allele": 1, "reference_block": 4}
    )
    assert ingested.result.rejects == counts
    assert sorted(ingested.reasons) == sorted(reason for reason in counts if reason != "reference_block")
    assert ingested.result.num_alleles == 9 == ingested.result.num_variants + sum(counts.values())


def test_first_in_input_order_wins_among_all_inputs(vcf: Any, run_ingest: Any, reference: Any) -> None:
    first = vcf(["1 2 one C T", "MT 1 x A C"], "first.vcf")
    second = vcf(["chrM 1 y A C", "chr1 2 two C T", "chr1 2 three CG TG"], "second.vcf.gz")
    out = run_ingest([first, second], reference)
    assert [row["id"] for row in out.variants] == ["one", "x"]
    assert [(row["source"], row["detail"]) for row in out.rejects] == [
        ("second.vcf.gz:2", "the same variant as first.vcf:1, 1-2-C-T"),
        ("second.vcf.gz:3", "the same variant as first.vcf:1, 1-2-C-T"),
        ("second.vcf.gz:1", "the same variant as first.vcf:2, chrM-1-A-C"),
    ]
    assert [row["id"] for row in run_ingest([second, first], reference).variants] == ["two", "y"]


def test_vcf_bcf_and_parquet_can_be_mixed_and_folders_searched(
    vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    (folder / "sub").mkdir(parents=True)
    vcf(["1 1 . A C"], "b.vcf").rename(folder / "b.vcf")
    vcf(["1 2 . C A"], "c.bcf", header="##contig=<ID=1>\n").rename(folder / "sub" / "c.bcf")
    pq.write_table(pa.table({"chrom": ["1"], "pos": [3], "ref": ["G"], "alt": ["A"]}), folder / "a.parquet")
    (folder / "notes.txt").write_text("not an input")
    out = run_ingest(folder, reference)
    assert out.ids == ["1-1-A-C", "1-2-C-A", "1-3-G-A"]
    assert read_ingest_info(tmp_path / "out")["inputs"] == ["a.parquet", "b.vcf", "c.bcf"]


def test_a_table_partitioned_by_contig_is_an_input(run_ingest: Any, reference: Any, tmp_path: Path) -> None:
    for chrom, ref in (("1", "A"), ("2", "G")):
        (tmp_path / "table" / f"chrom={chrom}").mkdir(parents=True)
        columns = {"pos": [1], "ref": [ref], "alt": ["T"], "af": [0.5]}
        pq.write_table(pa.table(columns), tmp_path / "table" / f"chrom={chrom}" / "part-0.parquet")
    ingested = run_ingest(tmp_path / "table", reference, source_columns=["af"])
    assert (ingested.ids, [row["af"] for row in ingested.variants]) == (["2-1-G-T", "1-1-A-T"], [0.5, 0.5])


def test_scores_are_an_input_for_another_model(run_ingest: Any, reference: Any, tmp_path: Path) -> None:
    out = finished_run(tmp_path / "run", {"1-1-A-G": -1.0, "1-2-C-T": 0.5, "2-1-G-T": 2.0}, shard_rows=1)
    assert run_ingest(f"{out}/scores", reference).ids == ["2-1-G-T", "1-1-A-G", "1-2-C-T"]
    with pytest.raises(InputError, match=r"To score the variants of a finished run again, give .*/run/scores"):
        ingest([out], reference, tmp_path / "other")


def test_what_a_folder_holds_besides_is_said_and_outputs_in_it_are_no_input(
    vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    vcf(["1 1 . A G"], "in/a.vcf")
    (tmp_path / "in" / "b.genome").write_bytes(vcf(["1 2 . C T"], "b.vcf.gz").read_bytes())
    (tmp_path / "in" / "notes.txt").write_text("notes")
    finished_run(tmp_path / "in" / "scored", {"1-4-T-G": -1.0})
    remarks = [
        f"{tmp_path}/in: 1 entry is not read, being no file of variants: notes.txt.",
        f"{tmp_path}/in: not read, because raygen wrote it: scored/.",
    ]
    for _ in range(2):  # the second time its own output is there, too
        ingested = run_ingest(tmp_path / "in", reference, out=tmp_path / "in" / "ingested")
        assert (ingested.ids, ingested.result.warnings) == (["1-1-A-G", "1-2-C-T"], remarks)
        remarks[1] = remarks[1].replace("scored/", "ingested/, scored/")


def test_equal_file_names_are_told_apart_by_their_path(
    vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    other = vcf(["1 2 . A C", "1 1 . A C"]).rename(tmp_path / "sub" / "a.vcf")
    out = run_ingest([vcf(["1 1 . A G"]), other], reference)
    assert [row["source"] for row in out.rejects] == [f"{other}:1"]


def test_source_columns_ride_along(vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"chrom": ["1"], "pos": [3], "ref": ["G"], "alt": ["A"], "AF": [0.25], "record": ["mine"]}), table
    )
    out = run_ingest(
        [vcf(["1 1 . A C,G . . AF=0.1,0.2;DB", "1 2 . C A"]), table], reference, source_columns=["AF", "DB", "record"]
    )
    carried = [tuple(row[name] for name in ("AF", "DB", "record")) for row in out.variants]
    assert carried == [(0.1, True, None), (0.2, True, None), (None, False, None), (0.25, None, "mine")]
    assert any("a.vcf has no record" in warning for warning in out.result.warnings)
    schema = pq.read_schema(out.result.variants_dir / "part-00000.parquet")
    assert schema.names == [*VARIANTS.names, "AF", "DB", "record"]
    assert schema.field("AF").type == pa.float64()


def test_unknown_source_column_is_refused_with_those_there_are(vcf: Any, reference: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no input has XX\. There are: AD, AF, CLNSIG, .*QUAL"):
        ingest([vcf()], reference, tmp_path / "out", source_columns=["AF", "XX"])
    with pytest.raises(SettingsError, match=r"^source_columns or haplotype_column: no input has XX\."):
        ingest([vcf()], reference, tmp_path / "out", haplotype_column="XX")
    with pytest.raises(SettingsError, match="pos is a name of raygen's own tables"):
        ingest([vcf()], reference, tmp_path / "out", source_columns=["pos"])
    with pytest.raises(SettingsError, match="names AF twice"):
        ingest([vcf()], reference, tmp_path / "out", source_columns=["AF", "AF"])
    assert not (tmp_path / "out").exists()


def test_inputs_that_differ_in_a_columns_type_are_refused(vcf: Any, reference: Any, tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    pq.write_table(pa.table({"chrom": ["1"], "pos": [3], "ref": ["G"], "alt": ["A"], "AF": ["high"]}), table)
    with pytest.raises(InputError, match=r"'AF' is double in a\.vcf and string in t\.parquet"):
        ingest([vcf(), table], reference, tmp_path / "out", source_columns=["AF"])


def test_header_only_gives_an_empty_table_with_a_schema(vcf: Any, run_ingest: Any, reference: Any) -> None:
    out = run_ingest(vcf(), reference, source_columns=["AF"])
    assert out.variants == []
    assert out.result.num_alleles == 0
    assert names_in(out.result.variants_dir) == ["part-00000.parquet"]
    assert names_in(out.result.rejects_dir) == []
    assert pl.read_parquet_schema(out.result.variants_dir / "part-00000.parquet")["AF"] == pl.Float64


def test_tables_have_the_contract_s_schema_and_metadata(vcf: Any, run_ingest: Any, reference: Any) -> None:
    out = run_ingest(vcf(["1 1 . A C", "1 2 . A C"]), reference)
    schema = pq.read_schema(out.result.variants_dir / "part-00000.parquet")
    assert schema.equals(VARIANTS)
    assert schema.metadata[b"raygen.reference_digest"].decode() == reference.digest
    assert schema.metadata[b"raygen.schema_version"] == b"1"
    assert pq.read_schema(out.result.rejects_dir / "part-00000.parquet").equals(REJECTS)
    info = read_ingest_info(out.result.variants_dir.parent)
    assert (info["digest"], info["num_alleles"], info["rejects"]) == (out.result.digest, 2, {"ref_mismatch": 1})


def test_row_groups_never_hold_two_contigs_and_files_roll(vcf: Any, run_ingest: Any, reference: Any) -> None:
    records = [
        f"{contig} {pos} . {bases[pos - 1]} {alt}"
        for contig, bases in CONTIGS.items()
        for pos in range(1, 16)
        for alt in "ACGT"
    ]
    out = run_ingest(vcf([x for x in records if x[-1] != x[-3]]), reference, row_group_rows=7, file_rows=20)
    groups = []
    for path in sorted(out.result.variants_dir.iterdir()):
        file = pq.ParquetFile(path)
        assert file.metadata.num_rows <= 20
        groups += [file.read_row_group(i)["chrom"].to_pylist() for i in range(file.num_row_groups)]
    assert all(len(set(group)) == 1 and len(group) <= 7 for group in groups)
    assert [len(group) for group in groups] == [7, 7, 7, 7, 7, 7, 3] * 3


def test_digest_depends_on_the_variants_only(vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path) -> None:
    records = ["1 1 r A C", "1 2 . C A", "2 4 . G GAC", "2 4 . A T"]
    first = run_ingest(vcf(records), reference).result.digest
    other = run_ingest(
        vcf(["2 10 . C CAC", "chr1 2 x c a", "1 1 y A C"], "b.vcf.gz"), reference, out=tmp_path / "b"
    ).result.digest
    less = run_ingest(vcf(records[:1], "c.vcf"), reference, out=tmp_path / "c").result.digest
    assert first == other != less


def test_wrong_assembly_stops_and_writes_nothing(vcf: Any, reference: Any, tmp_path: Path) -> None:
    path = vcf(
        ["1 1 . C G", "1 2 . G T", "1 3 . T A", "1 4 . T A"],
        header="##contig=<ID=chr1,length=20>\n##contig=<ID=1,length=16>\n",
    )
    with pytest.raises(InputError) as error:
        ingest([path], reference, tmp_path / "out")
    assert str(error.value) == (
        "3 of 4 REF alleles differ from ref.fa (first: 1:1-C-G, the reference has 'A'). "
        "The header of a.vcf says 1 has 16 bases, the reference has 15. Is the input from another assembly? Nothing was written."
    )
    assert not (tmp_path / "out").exists()


def test_two_mismatches_or_just_half_are_rejects(vcf: Any, run_ingest: Any, reference: Any) -> None:
    assert run_ingest(vcf(["1 1 . C G", "1 2 . G T"]), reference).reasons == ["ref_mismatch"] * 2
    half = ["1 1 . C G", "1 2 . G T", "1 3 . T A", "1 4 . T A", "1 5 . A C", "1 6 . C A"]
    assert run_ingest(vcf(half), reference).reasons == ["ref_mismatch"] * 3


def test_wrong_assembly_is_seen_early(
    vcf: Any, reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raygen.variants.assembly.EARLY_LOOK", 10)
    monkeypatch.setattr("raygen.variants.vcf.BATCH_ROWS", 5)
    seen: list[int] = []
    path = vcf(["1 1 . C G"] * 1000)
    with pytest.raises(InputError, match="10 of 10 REF alleles differ"):
        ingest([path], reference, tmp_path / "out", on_progress=seen.append)
    assert seen == [5]


def test_reference_without_the_contig_stops_and_names_both_sides(vcf: Any, reference: Any, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"the input has 17, chr18, 19 and 1 more, the reference has 2, 1, chrM\. Nothing was written"
    ):
        ingest([vcf(["17 1 . A C", "chr18 1 . A C", "19 1 . A C", "20 1 . A C"])], reference, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_header_with_other_contig_lengths_is_a_warning(vcf: Any, run_ingest: Any, reference: Any) -> None:
    header = "##contig=<ID=1,length=16>\n##contig=<ID=2,length=99>\n##contig=<ID=chrUn,length=5>\n"
    out = run_ingest(vcf(["1 1 . A C"], header=header), reference)
    assert out.result.warnings == ["The header of a.vcf says 1 has 16 bases, the reference has 15."]


@pytest.mark.parametrize("name", ["a.vcf.gz", "a.plain.vcf.gz", "a.bcf"])
def test_truncated_input_leaves_nothing_behind(vcf: Any, reference: Any, tmp_path: Path, name: str) -> None:
    path = vcf([f"1 {pos % 15 + 1} r{pos * 7919} A C" for pos in range(9000)], name, header="##contig=<ID=1>\n")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="truncated or corrupt"):
        ingest([path], reference, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_second_ingest_takes_the_place_of_the_first(vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_ingest(vcf(["1 1 . A C", "1 2 . A C"]), reference, file_rows=1)
    (out / "notes.txt").write_text("mine")
    again = run_ingest(vcf(["1 3 . G A"]), reference)
    assert again.ids == ["1-3-G-A"]
    assert again.rejects == []
    assert names_in(out) == ["ingest.json", "notes.txt", "rejects", "variants"]
    assert read_ingest_info(out)["num_alleles"] == 1


def test_failed_ingest_leaves_the_earlier_one_as_it_was(
    vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path
) -> None:
    before = run_ingest(vcf(["1 1 . A C"]), reference).result
    with pytest.raises(InputError):
        ingest([vcf(["9 1 . A C"])], reference, tmp_path / "out")
    assert read_ingest_info(tmp_path / "out")["digest"] == before.digest
    assert names_in(tmp_path / "out") == ["ingest.json", "rejects", "variants"]


def test_another_input_does_not_take_the_place_of_an_earlier_one(vcf: Any, reference: Any, tmp_path: Path) -> None:
    first, other = vcf(["1 1 . A C"], "first.vcf"), vcf(["1 2 . C T"], "other.vcf")
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    digest = ingest([first], reference, out).digest
    elsewhere.mkdir()
    shutil.copy(other, elsewhere / "first.vcf")  # the name alone says nothing
    for inputs in ([other], [elsewhere / "first.vcf"], [first, other]):
        with pytest.raises(SettingsError, match=r"holds the ingested variants of .*first\.vcf; they would be lost"):
            ingest(inputs, reference, out)
    assert read_ingest_info(out)["digest"] == digest
    assert ingest([out / ".." / "first.vcf"], reference, out, max_allele_length=5).digest == digest
    shutil.copy(other, first)  # the same input, put right
    assert ingest([first], reference, out).digest != digest


def test_an_ingest_that_wrote_down_no_paths_is_known_by_its_names(vcf: Any, reference: Any, tmp_path: Path) -> None:
    first, out = vcf(["1 1 . A C"], "first.vcf"), tmp_path / "out"
    ingest([first], reference, out)
    info = read_ingest_info(out)
    del info["input_paths"]
    (out / "ingest.json").write_text(json.dumps(info))
    with pytest.raises(SettingsError, match=r"variants of first\.vcf"):
        ingest([vcf(["1 1 . A C"], "other.vcf")], reference, out)
    ingest([first], reference, out)
    assert read_ingest_info(out)["input_paths"] == [str(first.resolve())]


def test_interrupt_leaves_nothing_behind(vcf: Any, reference: Any, tmp_path: Path) -> None:
    def interrupt(num_records: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest([vcf(["1 1 . A C"])], reference, tmp_path / "out", on_progress=interrupt)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    for out in (tmp_path / "out", tmp_path / "out" / ".ingest" / "key"):
        with pytest.raises(KeyboardInterrupt):
            ingest([vcf(["1 1 . A C"])], reference, out, on_progress=interrupt)
        assert names_in(tmp_path / "out") == []  # what was there stays


def test_run_killed_while_replacing_is_unfinished_and_can_be_repeated(
    vcf: Any, run_ingest: Any, reference: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_ingest(vcf(["1 1 . A C"]), reference)
    assert is_ingested(out)
    info = json.loads((out / "ingest.json").read_text())
    (out / "ingest.json").write_text(json.dumps({**info, "complete": False}))
    (out / ".ingest-dead").mkdir()
    assert not is_ingested(out)
    with pytest.raises(InputError, match="no finished ingest"):
        read_ingest_info(out)
    again = run_ingest(vcf(["1 1 . A C"]), reference)
    assert is_ingested(out)
    assert again.result.warnings == [f"{out / '.ingest-dead'} is left from an ingest that did not end."]


def test_tables_of_somebody_else_are_left_alone(vcf: Any, reference: Any, tmp_path: Path) -> None:
    (tmp_path / "out" / "variants").mkdir(parents=True)
    (tmp_path / "out" / "variants" / "mine.parquet").write_text("mine")
    with pytest.raises(SettingsError, match="no ingest wrote it"):
        ingest([vcf(["1 1 . A C"])], reference, tmp_path / "out")
    assert names_in(tmp_path / "out") == ["variants"]
    assert names_in(tmp_path / "out" / "variants") == ["mine.parquet"]


def test_output_that_cannot_be_written_is_a_settings_error(vcf: Any, reference: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"The output folder .*file/out cannot be written: .*/file is a file"):
        ingest([vcf(["1 1 . A C"])], reference, tmp_path / "file" / "out")
    with pytest.raises(SettingsError, match="file is a file, not a folder"):
        ingest([vcf(["1 1 . A C"])], reference, tmp_path / "file")


def test_full_disk_stops_in_a_sentence(
    vcf: Any, reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ingest_module, "publish", full)
    with pytest.raises(StoppedError, match=r"The disk of .* is full"):
        ingest([vcf(["1 1 . A C"])], reference, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_settings_and_empty_inputs_are_refused(vcf: Any, reference: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="max_allele_length is 0, file_rows is -1; it must be at least 1"):
        ingest([vcf()], reference, tmp_path / "out", max_allele_length=0, file_rows=-1)
    with pytest.raises(SettingsError, match="No input was given"):
        ingest([], reference, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty is a folder without any file of variants to read"):
        ingest([tmp_path / "empty"], reference, tmp_path / "out")


def test_lost_allele_is_noticed(vcf: Any, reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_sort.ExternalSort, "sorted_tables", lambda self: iter(()))
    with pytest.raises(AssertionError, match="1 alleles in, 0 variants and 0 rejects out"):
        ingest([vcf(["1 1 . A C"])], reference, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress_counts_records(vcf: Any, reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raygen.variants.vcf.BATCH_ROWS", 4)
    seen: list[int] = []
    ingest([vcf(["1 1 . A C,G"] * 5)], reference, tmp_path / "out", on_progress=seen.append)
    assert seen == [2, 4, 5]


def random_records(num: int, bases: str) -> list[str]:
    rng = random.Random(num)
    records = []
    for _ in range(num):
        start = rng.randrange(len(bases) - 4)
        ref = bases[start : start + rng.choice([1, 1, 1, 3])]
        alts = sorted({rng.choice(["A", "C", "G", "T", ref + "CA", ref[0], "*", "N"]) for _ in range(2)})
        records.append(f"1 {start + 1} . {ref} {','.join(alts)}")
    return records


def test_spilling_to_disk_changes_nothing(
    vcf: Any, run_ingest: Any, reference_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases = "".join(random.Random(0).choices(["A", "CA", "G", "T"], k=20_000))
    path = vcf(random_records(3000, bases))
    whole = run_ingest(path, reference_of({"1": bases}), out=tmp_path / "whole")
    monkeypatch.setattr(external_sort, "_BIN_BITS", 8)
    monkeypatch.setattr(external_sort.ExternalSort.__init__, "__defaults__", (50, 1 << 28))
    monkeypatch.setattr("raygen.variants.vcf.BATCH_ROWS", 16)
    spilled = run_ingest(path, reference_of({"1": bases}), out=tmp_path / "spilled")
    assert spilled.variants == whole.variants
    assert spilled.rejects == whole.rejects
    assert spilled.result.digest == whole.result.digest
    assert len(whole.ids) == len(set(whole.ids)) > 2000
    assert {"duplicate", "star_allele", "non_acgt_allele", "malformed_record"} <= set(whole.reasons)


def test_memory_stays_flat_in_the_number_of_records(
    vcf: Any, reference_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_sort, "_BIN_BITS", 10)
    monkeypatch.setattr(external_sort.ExternalSort.__init__, "__defaults__", (2000, 1 << 28))
    monkeypatch.setattr("raygen.variants.vcf.BATCH_ROWS", 500)
    bases = "ACGT" * 5000
    peaks = []
    for num in (4000, 16_000):
        path = vcf([f"1 {i + 1} r{i} {bases[i]} {'C' if bases[i] != 'C' else 'T'}" for i in range(num)], f"{num}.vcf")
        arrow_peak = 0

        def watch(num_records: int) -> None:
            nonlocal arrow_peak
            arrow_peak = max(arrow_peak, pa.total_allocated_bytes())

        tracemalloc.start()
        before = pa.total_allocated_bytes()
        ingest([path], reference_of({"1": bases}), tmp_path / f"out-{num}", on_progress=watch)
        peaks.append(tracemalloc.get_traced_memory()[1] + arrow_peak - before)
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_room_imports_nothing_above_it() -> None:
    room = Path(ingest_module.__file__).parent
    imported = {
        match
        for path in room.glob("*.py")
        for match in re.findall(r"^(?:from|import) (raygen\.\w+)", path.read_text(), flags=re.MULTILINE)
    }
    above = {
        "raygen.errors",
        "raygen.number_of",
        "raygen.disk_errors",
        "raygen.version",
        "raygen.tables",
        "raygen.sequence",
    }
    assert imported <= {*above, "raygen.variants"}
