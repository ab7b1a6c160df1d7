"""An exported VCF read back: its records are the input's, and its values are the scores."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pysam
import pysam.bcftools
import pytest

from raygen.errors import InputError, SettingsError
from raygen.finished import export_vcf
from raygen.finished.export import export_scores
from raygen.finished.info_fields import encode
from raygen.sequence.reference import open_reference
from raygen.tables.layout import read_scores
from raygen.variants.check import AlleleChecker
from raygen.variants.inputs import open_readers
from tests import builders, run_folders
from tests.builders import fasta, random_bases, shared, snvs
from tests.finished_runs import finished_run, scored_vcf

BASES = "ACGTACGTTTGGCCAACGTA"  # positions 1 to 20
HEADER = """##fileformat=VCFv4.2
##contig=<ID=chr1,length=20>
##INFO=<ID=AC,Number=A,Type=Integer,Description="allele count">
##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2
"""
RECORDS = [
    "chr1 2 rs1 C G,T 10.50 PASS AC=1,2 GT 0/1 1|2",
    "chr1 5 . A <CN0> . . . GT 0/0 ./.",
    "chr1 8 . TT T,TA 3 q10 AC=3,4; GT 0/1 0/2",  # the deletion lies in TTT and moves to its start, 7
    "chr1 12 . G G . . AC=9 GT 0/0 0/0",
    "chr1 14 . C . . . AC=0 GT 0/0 0/0",
    "2 3 . G A . . AC=1 GT 0/1 0/1",
]
DELTAS = {"1-2-C-G": -8.125, "1-2-C-T": 0.1, "1-7-GT-G": -3.0000001, "1-9-T-A": 2.5, "2-3-G-A": -1.75}


@pytest.fixture
def reference(tmp_path) -> Path:
    return fasta(tmp_path, {"2": BASES, "1": BASES})


@pytest.fixture
def vcf(tmp_path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(HEADER + "".join("\t".join(record.split(" ")) + "\n" for record in RECORDS))
    return path


@pytest.fixture
def out(tmp_path, reference) -> str:
    return finished_run(
        tmp_path / "out", DELTAS, reference=reference, flags={"1-9-T-A": ["short_window", "n_in_window"]}
    )


def lines_of(path) -> list[str]:
    text = gzip.decompress(Path(path).read_bytes()) if str(path).endswith(".gz") else Path(path).read_bytes()
    return text.decode("latin-1").splitlines()


def records_of(path) -> list[str]:
    return [line for line in lines_of(path) if not line.startswith("#")]


def read_back(path, field="raygen_delta_llr"):
    with pysam.VariantFile(str(path)) as file:
        return [record.info.get(field) for record in file]


def test_each_allele_gets_its_own_score_and_a_rejected_one_the_reason(tmp_path, vcf, out):
    done = export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    infos = [line.split("\t")[7] for line in records_of(tmp_path / "to.vcf.gz")]
    assert infos == [
        "AC=1,2;raygen_delta_llr=-8.125,0.1;raygen_classification=pathogenic,benign;raygen_abstained=0,0;raygen_flags=.,.",
        "raygen_missing=symbolic_allele",
        "AC=3,4;raygen_delta_llr=-3,2.5;raygen_classification=likely_pathogenic,gain_of_function;raygen_abstained=0,0;"
        "raygen_flags=.,short_window&n_in_window",
        "AC=9;raygen_missing=malformed_record",
        "AC=0",
        "AC=1;raygen_delta_llr=-1.75;raygen_classification=vus;raygen_abstained=0;raygen_flags=.",
    ]
    assert (done.num_rows, done.num_alleles, done.num_scored) == (6, 8, 5)
    assert done.missing == {"symbolic_allele": 1, "malformed_record": 1, "non_acgt_allele": 1}


def test_a_vcf_that_was_scored_despite_a_doubtful_contig_is_exported_with_a_warning(tmp_path, out):
    wrong = ["2 5 . T C", "2 6 . T G", "2 7 . T C", "2 8 . A C"]
    path = builders.vcf(tmp_path, [*snvs("1", BASES, range(1, 11)), *snvs("2", BASES, (3, 4)), *wrong])
    done = export_scores(out, str(tmp_path / "to.vcf"), vcf=str(path))
    assert (done.num_scored, done.missing) == (2, {"not_scored": 10, "ref_mismatch": 4})
    assert done.remarks == [
        "warning: 4 of 6 REF alleles on 2 differ from reference.fa (first: 2:5-T-C, the reference has 'A')."
    ]


def test_a_vcf_most_of_which_a_run_let_differ_is_exported(tmp_path, out):
    wrong = ["2 5 . T C", "2 6 . T G", "2 7 . T C", "2 8 . A C"]
    path = builders.vcf(tmp_path, [*snvs("1", BASES, (2, 3)), *wrong])
    with pytest.raises(InputError, match="4 of 6 REF alleles differ"):
        export_scores(out, str(tmp_path / "to.vcf"), vcf=str(path))
    (manifest,) = Path(out, "runs").glob("*/manifest.json")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "settings": {"input": {"max_mismatch_share": 0.7}}}))
    assert export_scores(out, str(tmp_path / "to.vcf"), vcf=str(path)).num_scored == 1


def test_all_but_info_is_as_it_was(tmp_path, vcf, out):
    export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    there, before = records_of(tmp_path / "to.vcf.gz"), records_of(vcf)
    assert [line.split("\t")[:7] + line.split("\t")[8:] for line in there] == [
        line.split("\t")[:7] + line.split("\t")[8:] for line in before
    ]


def test_the_header_says_model_and_fingerprint_and_declares_every_contig(tmp_path, vcf, out):
    export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    header = [line for line in lines_of(tmp_path / "to.vcf.gz") if line.startswith("#")]
    assert header[0] == "##fileformat=VCFv4.2"
    assert header[-1] == HEADER.splitlines()[-1]
    assert "##contig=<ID=2,length=20>" in header
    run = next(line for line in header if line.startswith("##raygen="))
    assert 'Model="demo"' in run
    assert 'Window="256+128",Strand="both",Cuts="-7, -3, -1, 1"' in run
    with pysam.VariantFile(str(tmp_path / "to.vcf.gz")) as file:
        delta = file.header.info["raygen_delta_llr"]
        assert (delta.number, delta.type) == ("A", "Float")
        assert "model demo, fingerprint ffffffffffffffff" in delta.description
        assert list(file.header.contigs) == ["chr1", "2"]


def test_what_a_calibration_added_is_described_by_it_and_what_the_input_had_by_the_input(tmp_path):
    """A column of that name without a calibration in the manifest rode along from the input."""
    kept = {"digest": "c0ffee", "prior": 0.1, "labels": {"source": "clinvar.vcf", "label": "CLNSIG"}}
    said = {}
    for name, manifest in (("calibrated", {"calibration": kept}), ("carried", {})):
        rows = [run_folders.row("1", 5, "A", "C", -8.0, probability="0.5", evidence="PP3_strong")]
        out = run_folders.run_folder(tmp_path / name, rows, manifest=manifest)
        export_scores(out, str(tmp_path / "to.vcf"), fields=["probability", "evidence"])
        with pysam.VariantFile(str(tmp_path / "to.vcf")) as file:
            said[name] = [file.header.info[f"raygen_{one}"].description for one in ("probability", "evidence")]
    assert all(
        "at a prior of 0.1, of calibration c0ffee from CLNSIG of clinvar.vcf (" in one for one in said["calibrated"]
    )
    assert all("as the input had it" in one for one in said["carried"])


def test_the_index_finds_a_region(tmp_path, vcf, out):
    done = export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    assert done.index == f"{tmp_path}/to.vcf.gz.tbi"
    with pysam.VariantFile(str(tmp_path / "to.vcf.gz")) as file:
        assert [record.pos for record in file.fetch("chr1", 4, 8)] == [5, 8]


def test_a_bcf_holds_the_same_and_has_a_csi_index(tmp_path, vcf, out):
    vcf.write_text(vcf.read_text().replace("q10", "PASS"))
    done = export_scores(out, str(tmp_path / "to.bcf"), vcf=str(vcf))
    assert done.index == f"{tmp_path}/to.bcf.csi"
    found = read_back(tmp_path / "to.bcf")
    expected = [(-8.125, np.float32(0.1)), None, (-3.0, 2.5), None, None, (-1.75,)]
    assert [None if values is None else tuple(map(np.float32, values)) for values in found] == expected
    with pysam.VariantFile(str(tmp_path / "to.bcf")) as file:
        assert next(tuple(record.samples["S2"]["GT"]) for record in file) == (1, 2)
        assert file.header.contigs["2"].length == 20


@pytest.mark.parametrize("name", ["in.bcf", "in.vcf.gz", "plain.vcf.gz", "crlf.vcf"])
def test_other_forms_of_the_same_file_give_the_same_values(tmp_path, vcf, out, name):
    vcf.write_text(vcf.read_text().replace("q10", "PASS").replace("##contig=", "##contig=<ID=2>\n##contig="))
    given = tmp_path / name
    if name == "plain.vcf.gz":
        given.write_bytes(gzip.compress(vcf.read_bytes()))
    elif name == "crlf.vcf":
        given.write_bytes(vcf.read_bytes().replace(b"\n", b"\r\n"))
    elif name == "in.vcf.gz":
        pysam.tabix_compress(str(vcf), str(given))
    else:
        pysam.bcftools.view("-O", "b", "-o", str(given), str(vcf), catch_stdout=False)
    for source, to in ((vcf, "a.vcf.gz"), (given, "b.vcf.gz")):
        export_scores(out, str(tmp_path / to), vcf=str(source))
    assert read_back(tmp_path / "a.vcf.gz") == read_back(tmp_path / "b.vcf.gz")
    assert read_back(tmp_path / "a.vcf.gz", "AC") == read_back(tmp_path / "b.vcf.gz", "AC")


@pytest.mark.parametrize("name", ["in.vcf", "in.bcf"])
def test_bytes_that_are_no_utf8_come_out_as_they_are(tmp_path, vcf, out, name):
    header = HEADER.replace("allele count", "d\xe9compte").replace("length=20>", "length=20>\n##contig=<ID=2>")
    records = ["chr1 2 rs1 C G . . DIS=h\xe9r", "chr1 5 . A <CN0> . . DIS=h\xe9r", "2 3 rs\xe9 G A . . ."]
    header = header.replace("\tFORMAT\tS1\tS2", "").replace(
        "##FORMAT", "##INFO=<ID=DIS,Number=.,Type=String>\n##FORMAT"
    )
    vcf.write_bytes((header + "".join("\t".join(line.split(" ")) + "\n" for line in records)).encode("latin-1"))
    if name == "in.bcf":
        pysam.bcftools.view("-O", "b", "-o", str(tmp_path / name), str(vcf), catch_stdout=False)
    export_scores(out, str(tmp_path / "to.vcf"), vcf=str(tmp_path / name))
    lines = lines_of(tmp_path / "to.vcf")
    assert 'Description="d\xe9compte"' in "".join(lines)
    columns = [line.split("\t") for line in lines if not line.startswith("#")]
    assert [column[2] for column in columns] == ["rs1", ".", "rs\xe9"]
    assert [column[7].split(";")[0] for column in columns[:2]] == ["DIS=h\xe9r", "DIS=h\xe9r"]
    assert "raygen_delta_llr=-8.125" in columns[0][7]


def test_an_unsorted_vcf_keeps_its_order_and_has_no_index(tmp_path, vcf, out):
    export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))  # an index of a sorted one is there before
    header, body = HEADER, ["\t".join(record.split(" ")) for record in [*RECORDS[3:], *RECORDS[:3]]]
    vcf.write_text(header + "\n".join(body) + "\n")
    done = export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    assert done.index is None
    assert "not sorted" in done.remarks[0]
    assert not (tmp_path / "to.vcf.gz.tbi").exists()
    assert [line.split("\t")[1] for line in records_of(tmp_path / "to.vcf.gz")] == ["12", "14", "3", "2", "5", "8"]


def test_lines_that_are_no_records_are_left_out_and_counted(tmp_path, vcf, out):
    lines = vcf.read_text().splitlines()
    lines[6:6] = ["chr1\tten\t.\tA\tC\t.\t.\t.", "", "chr1 12 . A"]
    vcf.write_text("\n".join(lines) + "\n")
    done = export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    assert done.num_rows == 6
    assert done.remarks == [f"warning: 2 lines of {vcf} are no VCF records and were left out (the first is record 2)."]
    assert done.num_alleles == done.num_scored + sum(done.missing.values())
    assert len(read_back(tmp_path / "to.vcf.gz")) == 6


def test_a_record_in_another_encoding_stays_byte_for_byte(tmp_path, vcf, out):
    odd = b"chr1\t11\tcaf\xe9\tG\tA,C\t.\t.\tAC=1,1\tGT\t0/1\t0/1\n"
    lines = vcf.read_bytes().splitlines(keepends=True)
    vcf.write_bytes(b"".join([*lines[:8], odd, *lines[8:]]))
    export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    line = gzip.decompress((tmp_path / "to.vcf.gz").read_bytes()).splitlines()[-4]
    assert line == odd.strip().replace(b"AC=1,1", b"AC=1,1;raygen_missing=malformed_record,malformed_record")


def test_what_info_reserves_is_percent_encoded(tmp_path, vcf, reference):
    text = {"1-2-C-G": "a;b=c,d&e 100%\tü"}
    out = finished_run(tmp_path / "out", DELTAS, reference=reference, columns={"odd name": text})
    export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf), fields=["odd name"], prefix="x_")
    with pysam.VariantFile(str(tmp_path / "to.vcf.gz")) as file:
        assert next(file).info["x_odd_name"] == ("a%3Bb%3Dc%2Cd%26e%20100%25%09ü", ".")


def test_a_second_model_goes_beside_the_first_under_another_prefix(tmp_path, vcf, out, reference):
    first = tmp_path / "first.vcf.gz"
    export_scores(out, str(first), vcf=str(vcf))
    with pytest.raises(SettingsError, match=r"raygen_delta_llr.*--prefix"):
        export_scores(out, str(tmp_path / "second.vcf.gz"), vcf=str(first))
    other = finished_run(tmp_path / "other", {"1-2-C-G": 5.0}, fingerprint="e" * 16, reference=reference)
    export_scores(other, str(tmp_path / "second.vcf.gz"), vcf=str(first), prefix="other_", fields=["delta_llr"])
    with pysam.VariantFile(str(tmp_path / "second.vcf.gz")) as file:
        info = next(file).info
        assert info["raygen_delta_llr"][0] == -8.125
        assert info["other_delta_llr"] == (5.0, None)
        assert info["other_missing"] == (".", "not_scored")  # pysam leaves a missing text as it is


def test_a_long_contig_gets_a_csi_index(tmp_path, vcf, out, monkeypatch):
    monkeypatch.setattr(export_vcf, "TBI_LIMIT", 10)
    done = export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    assert done.index == f"{tmp_path}/to.vcf.gz.csi"
    with pysam.VariantFile(str(tmp_path / "to.vcf.gz")) as file:
        assert [record.pos for record in file.fetch("chr1", 10, 20)] == [12, 14]


def test_more_alleles_than_a_batch_are_matched_to_their_records(tmp_path, monkeypatch):
    from raygen.variants import vcf as vcf_reader

    monkeypatch.setattr(vcf_reader, "BATCH_ROWS", 7)
    bases = random_bases(500, 3)
    given = tmp_path / "many.vcf"
    others = {base: [alt for alt in "ACGT" if alt != base] for base in "ACGT"}
    records = [
        f"1\t{pos}\t.\t{bases[pos - 1]}\t{','.join(others[bases[pos - 1]][: 1 + pos % 3])}\t.\t.\t."
        for pos in range(1, 300)
    ]
    given.write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "\n".join(records) + "\n"
    )
    reference = fasta(tmp_path, {"1": bases})
    out, deltas = scored_vcf(tmp_path, given, reference, shard_rows=50)
    done = export_scores(out, str(tmp_path / "to.vcf"), vcf=str(given))
    assert done.num_scored == len(deltas)
    with pysam.VariantFile(str(tmp_path / "to.vcf")) as file:
        for record in file:
            ids = [f"1-{record.pos}-{record.ref}-{alt}" for alt in record.alts]
            assert record.info["raygen_delta_llr"] == tuple(deltas[name] for name in ids)


def test_the_vcf_itself_is_never_written_over(tmp_path, vcf, out):
    before = vcf.read_bytes()
    with pytest.raises(SettingsError, match="is the VCF that is read"):
        export_scores(out, str(vcf), vcf=str(vcf))
    assert vcf.read_bytes() == before


def test_another_reference_is_refused(tmp_path, vcf, out):
    other = fasta(tmp_path, {"1": BASES[::-1], "2": BASES}, name="other.fa")
    with pytest.raises(InputError, match="not the reference"):
        export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf), reference=str(other))


def test_a_reference_that_moved_is_asked_for(tmp_path, vcf, out, reference):
    moved = reference.rename(tmp_path / "moved.fa")
    with pytest.raises(InputError, match="Say with --reference"):
        export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf))
    assert export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf), reference=str(moved)).num_scored == 5


def test_a_vcf_that_breaks_off_leaves_nothing_behind(tmp_path, out, vcf):
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes(gzip.compress(vcf.read_bytes())[:-30])
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(InputError, match="truncated"):
        export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(cut))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_bcf_cannot_hold_is_said(tmp_path, vcf, out):
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(InputError, match=r"Write \.vcf\.gz instead"):  # the header does not declare the filter q10
        export_scores(out, str(tmp_path / "to.bcf"), vcf=str(vcf))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["brca1/brca1.1000g_phase3.vcf", "chr20/chr20.1000g_phase3.vcf"])
def test_real_records_come_back_as_they_were_with_the_scores_of_their_alleles(tmp_path, name):
    given = shared(name)
    source = next(given.parent.glob("*.fa"))
    reference = Path(shutil.copy(source, tmp_path / "reference.fa"))
    out, deltas = scored_vcf(tmp_path, given, reference, shard_rows=500)
    done = export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(given))
    kept = [line.split(";raygen_")[0] for line in records_of(tmp_path / "to.vcf.gz")]
    assert kept == records_of(given)
    assert done.num_scored >= len(deltas)
    checker = AlleleChecker(open_reference(str(reference)), 1000)
    with pysam.VariantFile(str(tmp_path / "to.vcf.gz")) as file:
        found = [value for record in file for value in record.info.get("raygen_delta_llr", [None] * len(record.alts))]
    (reader,) = open_readers([given])
    at = 0
    for batch in reader.batches([]):
        checked = checker.check(batch, "VCF")
        expected = [None] * batch.table.num_rows
        chrom = next(iter(checker.reference.lengths))
        for row, pos, ref, alt in zip(checked.rows, checked.pos, checked.ref, checked.alt, strict=True):
            expected[row] = np.float32(deltas[f"{chrom}-{pos}-{ref}-{alt}"])
        assert found[at : at + len(expected)] == expected
        at += len(expected)
    assert at == len(found)


def test_without_a_vcf_each_score_is_a_record_in_the_reference_order(tmp_path, out):
    done = export_scores(out, str(tmp_path / "sites.vcf.gz"))
    assert (done.num_rows, done.num_alleles) == (5, None)
    places = [tuple(line.split("\t")[:5]) for line in records_of(tmp_path / "sites.vcf.gz")]
    assert places == [
        ("2", "3", ".", "G", "A"),
        ("1", "2", ".", "C", "G"),
        ("1", "2", ".", "C", "T"),
        ("1", "7", ".", "GT", "G"),
        ("1", "9", ".", "T", "A"),
    ]
    scores = dict(zip(*read_scores(out).select(["variant_id", "delta_llr"]).to_pydict().values(), strict=True))
    with pysam.VariantFile(str(tmp_path / "sites.vcf.gz")) as file:
        assert list(file.header.contigs) == ["2", "1"]
        for record in file.fetch("1", 0, 20):
            name = f"{record.chrom}-{record.pos}-{record.ref}-{record.alts[0]}"
            assert record.info["raygen_delta_llr"][0] == np.float32(scores[name])


@pytest.mark.skipif(not shutil.which("bcftools"), reason="bcftools is not installed")
def test_bcftools_reads_what_is_written_and_annotates_from_it(tmp_path, vcf, out):
    vcf.write_text(HEADER.replace("chr1", "1") + "1\t2\t.\tC\tG\t.\t.\tAC=1\tGT\t0/1\t0/1\n")
    export_scores(out, str(tmp_path / "scores.tsv.gz"))
    export_scores(out, str(tmp_path / "sites.bcf"))
    columns = "CHROM,POS,REF,ALT,raygen_delta_llr,raygen_classification,raygen_abstained,raygen_flags"
    table = ["-a", tmp_path / "scores.tsv.gz", "-h", tmp_path / "scores.tsv.gz.hdr", "-c", columns]
    pysam.tabix_compress(str(vcf), str(tmp_path / "in.vcf.gz"))
    pysam.tabix_index(str(tmp_path / "in.vcf.gz"), preset="vcf")
    for source in (table, ["-a", tmp_path / "sites.bcf", "-c", "INFO"]):
        command = ["bcftools", "annotate", *map(str, source), str(tmp_path / "in.vcf.gz")]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        line = said.stdout.splitlines()[-1]
        assert "raygen_delta_llr=-8.125;raygen_classification=pathogenic;raygen_abstained=0" in line
        assert "[W::" not in said.stderr


def test_no_score_is_held_as_the_whole(tmp_path, out, vcf, monkeypatch):
    """The lookup asks for the positions of a batch, never for a contig."""
    from raygen.tables.score_index import ScoreIndex

    asked = []
    rows_at = ScoreIndex.rows_at
    monkeypatch.setattr(ScoreIndex, "rows_at", lambda self, *given: asked.append(given) or rows_at(self, *given))
    monkeypatch.setattr(ScoreIndex, "rows_between", lambda *_: pytest.fail("a stretch was read"))
    export_scores(out, str(tmp_path / "to.vcf.gz"), vcf=str(vcf), fields=["delta_llr"])
    assert {chrom: sorted(positions.tolist()) for chrom, positions, _ in asked} == {"1": [2, 2, 7, 9], "2": [3]}
    assert isinstance(read_scores(out), pa.Table)


def test_what_a_vcf_brought_encoded_is_not_encoded_again():
    assert encode("A%3BB%2c") == "A%3BB%2c"
    assert encode("50% of a;b=c,d") == "50%25%20of%20a%3Bb%3Dc%2Cd"
