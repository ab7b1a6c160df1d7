"""A position table in each format, read back by another reader."""

import gzip
import json
import math
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pysam
import pytest

from raygen.errors import InputError, SettingsError, StoppedError
from raygen.finished import bigwig, export_cadd, export_tracks
from raygen.finished.export import export_scores
from raygen.finished.export_cadd import names_of_cadd, write_cadd
from raygen.finished.export_parts import Part
from raygen.finished.position_scores import PositionScores
from raygen.finished.ranked_changes import RankedChanges
from raygen.finished.run_facts import run_facts
from raygen.sequence.reference import open_reference
from raygen.tables.identity import Identity
from raygen.tables.position_rows import PositionRows
from tests.builders import fasta, random_bases, vcf
from tests.finished_runs import finished_run
from tests.position_tables import write_positions
from tests.ranked_folders import background_of

CONTIGS = {"chr10": "ACGTNNACGT", "chr2": "acgtACGTACGT", "chrM": "GATTACA"}
"""In the order of the reference, in which chr10 is before chr2 as by name, and chrM last."""
DELTAS = {"chr10-1-A-C": -1.0, "chr10-1-A-G": -2.0, "chr10-1-A-T": -6.0}
DELTAS |= {"chr10-7-A-C": 0.25, "chr10-7-A-G": 0.5, "chr10-7-A-T": 0.0}
DELTAS |= {"chr2-2-C-A": 0.1, "chr2-2-C-G": 0.2, "chr2-2-C-T": 0.6}
NO_WRITER = "pybigtools, which writes bigWigs, is not installed (raygen[browser])"
CONTIG_LENGTHS = {name: len(bases) for name, bases in CONTIGS.items()}


def table_of(folder, contigs, **options):
    """A position table on a reference that lies where its manifest says."""
    folder.mkdir(exist_ok=True)
    reference = fasta(folder, contigs)
    identity = Identity("f" * 16, open_reference(str(reference)).digest)
    return write_positions(folder / "table", contigs, identity=identity, reference=reference, **options)


@pytest.fixture
def table(tmp_path):
    return table_of(tmp_path / "of", CONTIGS, deltas=DELTAS, shard_bases=5, flags={"chr10-7": ["n_in_window"]})


@pytest.fixture
def read_bigwig():
    """A bigWig's contigs and the values of one of them, as pyBigWig reads them."""
    pytest.importorskip("pybigtools", reason=NO_WRITER)
    library = pytest.importorskip("pyBigWig", reason="pyBigWig, which reads bigWigs here, is not installed")

    def read(path, chrom):
        with library.open(str(path)) as file:
            length = file.chroms(chrom)
            return dict(file.chroms()), np.array(file.values(chrom, 0, length), np.float32)

    return read


def as_stored(table, chrom, columns, length):
    """Columns of the table at each base of a contig, NaN where there is none."""
    rows = PositionRows(table).rows_between(chrom, 1, length, ["pos", *columns])
    values = np.full((length, len(columns)), np.nan, np.float32)
    values[rows["pos"].to_numpy() - 1] = np.stack([rows[name].to_numpy() for name in columns], axis=1)
    return values


def test_a_bigwig_holds_the_mean_of_the_three_changes(tmp_path, table, read_bigwig):
    done = export_scores(table, str(tmp_path / "x.bw"))
    contigs, values = read_bigwig(tmp_path / "x.bw", "chr10")
    assert contigs == CONTIG_LENGTHS
    assert (done.num_rows, done.unit, done.index, done.remarks) == (27, "value", None, [])
    assert (values[0], values[6]) == (-3.0, 0.25)
    assert np.isnan(values).tolist() == [base == "N" for base in CONTIGS["chr10"]]
    assert read_bigwig(tmp_path / "x.bw", "chr2")[1][1] == np.float32(np.mean(np.float32([0.1, 0.2, 0.6]), dtype=float))


def test_each_letter_has_a_track_that_leaves_its_own_bases_out(tmp_path, table, read_bigwig):
    done = export_scores(table, str(tmp_path / "x.bigWig"), track="all")
    files = [done, *done.others]
    assert [file.path for file in files] == [f"{tmp_path}/x{name}.bigWig" for name in ("", ".A", ".C", ".G", ".T")]
    for file, base in zip(files[1:], "ACGT", strict=True):
        for chrom, length in CONTIG_LENGTHS.items():
            _, values = read_bigwig(file.path, chrom)
            stored = as_stored(table, chrom, [f"delta_{base}"], length)[:, 0]
            assert values.tobytes() == stored.tobytes(), "float32, to the last bit"
            assert np.isnan(values).tolist() == [letter in (base, "N") for letter in CONTIGS[chrom].upper()]


def test_one_letter_is_written_under_the_name_that_was_given(tmp_path, table, read_bigwig):
    export_scores(table, str(tmp_path / "x.bw"), track="C")
    assert read_bigwig(tmp_path / "x.bw", "chr10")[1][0] == -1.0
    assert [path.name for path in tmp_path.glob("x*")] == ["x.bw"]


def test_a_bigwig_of_many_windows_is_the_table(tmp_path, read_bigwig):
    bases = {"2": random_bases(200_000), "10": random_bases(70_000, 1)}
    table = table_of(tmp_path / "of", bases, both=True, shard_bases=60_000)
    export_scores(table, str(tmp_path / "x.bw"))
    for chrom, letters in bases.items():
        contigs, values = read_bigwig(tmp_path / "x.bw", chrom)
        stored = as_stored(table, chrom, [f"delta_{base}" for base in "ACGT"], len(letters))
        expected = np.nanmean(stored, axis=1, dtype=np.float64).astype(np.float32)
        assert contigs == {"2": 200_000, "10": 70_000} and values.tobytes() == expected.tobytes()


def test_without_the_reference_a_contig_ends_with_its_last_row(tmp_path, read_bigwig):
    table = write_positions(tmp_path / "table", {"chr1": "ACGTNN"})
    done = export_scores(table, str(tmp_path / "x.bw"))
    assert read_bigwig(tmp_path / "x.bw", "chr1")[0] == {"chr1": 4}
    assert "reference of the scores is not at hand" in done.remarks[0]


def test_a_bigwig_without_a_value_is_refused(tmp_path, table, read_bigwig):
    with pytest.raises(InputError, match="none of the bases asked for has a value"):
        export_scores(table, str(tmp_path / "x.bw"), regions=["chr10:5-6"])
    assert not list(tmp_path.glob("*x.bw*"))


def test_a_damaged_table_stops_a_bigwig_and_leaves_what_was_there(tmp_path, read_bigwig, capfd):
    table = table_of(tmp_path / "of", {"1": random_bases(300_000)}, shard_bases=1 << 18)
    last = sorted((tmp_path / "of/table/positions/chrom=1").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:100] + bytes(1000) + last.read_bytes()[1100:])
    (tmp_path / "x.bw").write_text("before")
    with pytest.raises(InputError, match="cannot be read"):
        export_scores(table, str(tmp_path / "x.bw"))
    assert (tmp_path / "x.bw").read_text() == "before" and not list(tmp_path.glob(".*x.bw*"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("quietly", [True, False])
def test_a_bigwig_that_pybigtools_gave_up_is_no_bigwig(tmp_path, read_bigwig, monkeypatch, quietly):
    import pybigtools

    class Writer:
        def __init__(self, path, mode):
            self._path = path

        def write(self, lengths, entries):
            kept = list(entries)[:-1] if quietly else [("1", 5, 6, 1.0), ("1", 4, 5, 1.0)]
            pybigtools_open(self._path, "w").write(lengths, iter(kept))

    pybigtools_open = pybigtools.open
    monkeypatch.setattr(
        pybigtools, "open", lambda path, mode="r": (Writer if mode == "w" else pybigtools_open)(path, mode)
    )
    stretch = ("1", np.arange(3), np.ones(3, np.float32))
    with pytest.raises(StoppedError, match="could not be written: pybigtools gave up"):
        bigwig.write_bigwig(tmp_path / "x.bw", "x.bw", {"1": 9}, [stretch])


def test_progress_is_shown_while_a_bigwig_is_written(tmp_path, table):
    pytest.importorskip("pybigtools", reason=NO_WRITER)
    program = (
        "import sys; from raygen.finished.export import export_scores\n"
        "export_scores(*sys.argv[1:], on_progress=lambda count: print(count, file=sys.stderr))"
    )
    command = [sys.executable, "-c", program, table, str(tmp_path / "x.bw")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stderr.split() == ["8", "20", "27"]


def test_a_missing_pybigtools_is_told_with_the_extra_that_brings_it(tmp_path, table, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    with pytest.raises(SettingsError, match=r"pip install 'raygen\[browser\]'"):
        export_scores(table, str(tmp_path / "x.bw"))


def test_a_bedgraph_holds_a_line_for_each_base_with_a_value(tmp_path, table):
    done = export_scores(table, str(tmp_path / "x.bedgraph"))
    names = ["chrom", "start", "end", "value"]
    frame = pl.read_csv(
        tmp_path / "x.bedgraph", separator="\t", comment_prefix="#", has_header=False, new_columns=names
    )
    assert done.num_rows == len(frame) == 27
    assert frame["chrom"].unique(maintain_order=True).to_list() == list(CONTIGS)
    assert frame.row(0) == ("chr10", 0, 1, -3.0)
    assert frame.filter(chrom="chr10")["start"].to_list() == [0, 1, 2, 3, 6, 7, 8, 9]
    assert (frame["end"] - frame["start"]).unique().to_list() == [1]
    first, second = (tmp_path / "x.bedgraph").read_text().splitlines()[:2]
    assert (
        first
        == f"# raygen fingerprint {'f' * 16}, model demo, window 256+1@256, strand forward, reference reference.fa"
    )
    assert second == "# mean delta_llr of the three changes, nats"


def test_a_packed_bedgraph_is_found_by_region(tmp_path, table):
    done = export_scores(table, str(tmp_path / "x.bedgraph.gz"), track="T")
    assert done.index == f"{tmp_path}/x.bedgraph.gz.tbi"
    with pysam.TabixFile(str(tmp_path / "x.bedgraph.gz")) as file:
        assert file.contigs == list(CONTIGS)
        assert [line.split("\t") for line in file.fetch("chr10", 0, 1)] == [["chr10", "0", "1", "-6"]]
        assert [line.split("\t")[1] for line in file.fetch("chr10")] == ["0", "1", "2", "6", "7", "8"]


def test_values_of_a_bedgraph_read_back_as_the_same_float32(tmp_path, table):
    export_scores(table, str(tmp_path / "x.bg"), track="G", contigs=["chr2"])
    texts = [line.split("\t")[3] for line in (tmp_path / "x.bg").read_text().splitlines() if not line.startswith("#")]
    stored = as_stored(table, "chr2", ["delta_G"], 12)[:, 0]
    assert np.array(texts, np.float32).tobytes() == stored[~np.isnan(stored)].tobytes()


def lines_of_cadd(path):
    with gzip.open(path, "rt") as file:
        return file.read().splitlines()


def test_the_layout_of_cadd(tmp_path, table):
    done = export_scores(table, str(tmp_path / "x.cadd.tsv.gz"))
    about, meaning, columns, *lines = lines_of_cadd(tmp_path / "x.cadd.tsv.gz")
    assert about.startswith("## raygen fingerprint ffff") and about.endswith("reference reference.fa")
    assert meaning.startswith("## RawScore is -delta_llr") and meaning.endswith("no background is known")
    assert columns.split("\t") == ["#Chrom", "Pos", "Ref", "Alt", "RawScore", "PHRED"]
    assert lines[:3] == ["10\t1\tA\tC\t1\t.", "10\t1\tA\tG\t2\t.", "10\t1\tA\tT\t6\t."]
    assert "10\t7\tA\tT\t0\t." in lines, "not -0"
    assert len(lines) == done.num_rows == 3 * 27
    with pysam.TabixFile(str(tmp_path / "x.cadd.tsv.gz"), index=done.index) as file:
        assert file.contigs == ["10", "2", "MT"]
        assert list(file.header) == [about, meaning, columns]
        assert [line.split("\t")[:5] for line in file.fetch("2", 1, 2)] == [
            ["2", "2", "C", "A", "-0.1"],
            ["2", "2", "C", "G", "-0.2"],
            ["2", "2", "C", "T", "-0.6"],
        ]


def test_the_layout_of_cadd_takes_a_background_and_names_a_human_assembly(tmp_path, table):
    background = background_of([-6, -2, -1, *range(7)])
    index = RankedChanges(PositionScores(PositionRows(table)), background, None)
    to = str(tmp_path / "x.cadd.tsv.gz")
    write_cadd(index, [Part("chr10", 1, 1)], {"chr22": 50818468}, to, run_facts(index))
    about, meaning, _, *lines = lines_of_cadd(to)
    assert about.endswith(", assembly GRCh38") and meaning.endswith(
        f"PHRED is a rank in background {background.digest}"
    )
    assert [line.split("\t")[5] for line in lines] == ["5.2287874", "6.9897", "10"]


def test_scores_of_variants_have_the_layout_of_cadd_too(tmp_path):
    run = finished_run(tmp_path / "out", {"1-5-A-C": -2.5, "1-5-AT-A": 0.5, "1-9-G-T": 1.0})
    export_scores(run, str(tmp_path / "x.cadd.tsv.gz"))
    assert lines_of_cadd(tmp_path / "x.cadd.tsv.gz")[3:] == [
        "1\t5\tA\tC\t2.5\t.",
        "1\t5\tAT\tA\t-0.5\t.",
        "1\t9\tG\tT\t-1\t.",
    ]


@pytest.mark.parametrize(
    ("contigs", "names"),
    [
        (["chr1", "chrM", "chrUn_KI"], ["1", "MT", "Un_KI"]),
        (["chr1", "1", "MT"], ["chr1", "1", "MT"]),
        (["chrM", "chrMT"], ["M", "MT"]),
        (["chrM", "MT"], ["chrM", "MT"]),
    ],
)
def test_cadd_has_contigs_without_chr_unless_that_is_another_one(contigs, names):
    assert list(names_of_cadd(contigs).values()) == names


def test_a_vcf_of_a_region_has_a_record_for_each_change(tmp_path, table):
    done = export_scores(table, str(tmp_path / "x.vcf.gz"), regions=["10:6-8"])
    with pysam.VariantFile(str(tmp_path / "x.vcf.gz"), index_filename=done.index) as file:
        assert dict(
            zip(file.header.contigs, [contig.length for contig in file.header.contigs.values()], strict=True)
        ) == {"chr10": 10}
        (run,) = [entry for entry in file.header.records if entry.key == "raygen"]
        assert run["Fingerprint"].strip('"') == "f" * 16 and run["Model"].strip('"') == "demo"
        records = [(record.pos, record.ref, record.alts, dict(record.info)) for record in file.fetch("chr10")]
    assert [(pos, ref, alts[0]) for pos, ref, alts, _ in records] == [
        *((7, "A", alt) for alt in "CGT"),
        *((8, "C", alt) for alt in "AGT"),
    ]
    assert records[0][3] == {"raygen_delta_llr": (0.25,), "raygen_flags": ("n_in_window",)}
    assert done.num_rows == 6


def test_each_strand_is_a_field_where_the_table_has_both(tmp_path):
    table = table_of(tmp_path / "of", {"1": "ACGT"}, both=True, deltas={"1-2-C-T": -2.5})
    fields = ["delta_llr", "delta_fwd", "delta_rev", "entropy"]
    export_scores(table, str(tmp_path / "x.vcf"), fields=fields, prefix="")
    export_scores(table, str(tmp_path / "x.parquet"))
    with pysam.VariantFile(str(tmp_path / "x.vcf")) as file:
        (record,) = [record for record in file if (record.pos, record.alts) == (2, ("T",))]
    assert [record.info[name][0] for name in fields[:3]] == [-2.5, -1.5, -3.5]
    (row,) = [row for row in pq.read_table(tmp_path / "x.parquet").to_pylist() if row["variant_id"] == "1-2-C-T"]
    assert (row["delta_llr"], row["delta_fwd"], row["delta_rev"], row["flags"]) == (-2.5, -1.5, -3.5, [])
    assert math.isclose(row["entropy"], record.info["entropy"][0], rel_tol=1e-6)


def test_tables_have_three_rows_a_base_sorted_as_the_reference_is(tmp_path, table):
    export_scores(table, str(tmp_path / "x.parquet"))
    export_scores(table, str(tmp_path / "x.csv"), fields=["delta_llr", "flags"])
    rows = pq.read_table(tmp_path / "x.parquet")
    assert rows.schema.names == ["variant_id", "chrom", "pos", "ref", "alt", "delta_llr", "entropy", "flags"]
    places = [(list(CONTIGS).index(row["chrom"]), row["pos"], row["alt"]) for row in rows.to_pylist()]
    assert places == sorted(places) and len(places) == 81
    assert all(row["alt"] != row["ref"] == CONTIGS[row["chrom"]][row["pos"] - 1].upper() for row in rows.to_pylist())
    frame = pl.read_csv(tmp_path / "x.csv")
    assert frame.filter(variant_id="chr10-7-A-G").row(0) == ("chr10-7-A-G", 0.5, "n_in_window")
    assert frame["variant_id"].to_list() == rows["variant_id"].to_pylist()


def test_the_tsv_for_bcftools_has_a_line_for_each_base(tmp_path, table):
    done = export_scores(table, str(tmp_path / "x.tsv.gz"))
    with pysam.TabixFile(str(tmp_path / "x.tsv.gz"), index=done.index) as file:
        lines = [line.split("\t") for line in file.fetch("chr10", 0, 6)]
    assert lines[0] == ["chr10", "1", "A", "C,G,T", "-1,-2,-6", ".,.,."]
    assert [line[1] for line in lines] == ["1", "2", "3", "4"]


def test_a_vcf_is_annotated_from_a_table(tmp_path, table):
    records = ["10 1 . A G,C", "10 5 . N A", "10 7 . ACG AC", "2 2 . C T"]
    source = vcf(tmp_path, records, "in.vcf", contigs=["10", "2"])
    done = export_scores(table, str(tmp_path / "x.vcf.gz"), vcf=str(source), prefix="")
    with pysam.VariantFile(str(tmp_path / "x.vcf.gz")) as file:
        infos = [dict(record.info) for record in file]
    assert [info.get("delta_llr") for info in infos] == [(-2.0, -1.0), None, None, (pytest.approx(0.6),)]
    assert [info.get("missing") for info in infos] == [None, ("non_acgt_allele",), ("not_snv",), None]
    assert (done.num_alleles, done.num_scored) == (5, 3)


def test_parts_overlap_and_come_in_the_order_of_the_reference(tmp_path, table):
    export_scores(table, str(tmp_path / "x.bg"), contigs=["M"], regions=["chr10:3-7", "2:2-2", "chr10:1-4", "chr2:4-4"])
    lines = [line.split("\t") for line in (tmp_path / "x.bg").read_text().splitlines()[2:]]
    places = [("chr10", start) for start in (0, 1, 2, 3, 6)] + [("chr2", 1), ("chr2", 3)]
    assert [(line[0], int(line[1])) for line in lines] == places + [("chrM", start) for start in range(7)]


@pytest.mark.parametrize(
    "name", ["x.bedgraph.gz", "x.bg", "x.cadd.tsv.gz", "x.vcf.gz", "x.bcf", "x.tsv.gz", "x.parquet", "x.csv"]
)
def test_a_region_of_n_alone_is_an_empty_file(tmp_path, table, name):
    done = export_scores(table, str(tmp_path / name), regions=["chr10:5-6"])
    assert done.num_rows == 0 and (tmp_path / name).exists()
    if done.index and not name.endswith(".bcf"):
        with pysam.TabixFile(str(tmp_path / name), index=done.index) as file:
            assert file.contigs == []


@pytest.mark.parametrize(("options", "words"), [
    ({"contigs": ["chr7"]}, "--contig chr7: .*table holds no scores of chr7. It has those of chr10, chr2, chrM."),
    ({"regions": ["7:1-5"]}, "--region 7:1-5: .*table holds no scores of 7."),
    ({"regions": ["chr10:1-11"]}, "chr10 has 10 bases, the region ends at 11"),
])  # fmt: skip
def test_what_the_table_lacks_is_an_input_that_cannot_be_used(tmp_path, table, options, words):
    with pytest.raises(InputError, match=words) as raised:
        export_scores(table, str(tmp_path / "x.bg"), **options)
    assert raised.value.exit_code == 3


def test_a_contig_of_the_reference_that_was_not_scored_is_told(tmp_path):
    folder = tmp_path / "of"
    folder.mkdir()
    reference = fasta(folder, {"1": "ACGT", "2": "ACGT"})
    identity = Identity("f" * 16, open_reference(str(reference)).digest)
    table = write_positions(folder / "table", {"1": "ACGT"}, identity=identity, reference=reference)
    with pytest.raises(InputError, match=r"holds no scores of 2\. It has those of 1\."):
        export_scores(table, str(tmp_path / "x.bg"), contigs=["chr2"])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("x.wig", {}, r"\.bw, .*\.bedgraph"),
        ("x.bg", {"track": "N"}, "--track N: it can be mean, A, C, G, T, all"),
        ("x.csv", {"track": "A"}, "--track goes with a bigWig or bedGraph"),
        ("x.bg", {"fields": ["flags"]}, "--fields"),
        ("x.cadd.tsv.gz", {"fields": ["flags"]}, "--fields"),
        ("x.bg", {"vcf": "x.vcf"}, "--vcf goes with a VCF or BCF"),
        ("x.vcf", {"vcf": "x.vcf", "contigs": ["chr10"]}, "--contig and --region"),
        ("x.bg", {"regions": ["chr10"]}, "write it as chrom:start-end"),
        ("x.csv", {"fields": ["classification"]}, "no column classification. There are: variant_id"),
        ("of/table/positions/x.bg", {}, "among the scores themselves"),
        ("no/x.bg", {}, "there is no folder"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path, table, name, options, words):
    with pytest.raises(SettingsError, match=words):
        export_scores(table, str(tmp_path / name), **options)


def test_a_track_is_of_a_position_table_alone(tmp_path):
    run = finished_run(tmp_path / "out", {"1-5-A-C": -2.5})
    with pytest.raises(SettingsError, match="It is made of a table of `raygen tabulate`"):
        export_scores(run, str(tmp_path / "x.bg"))


def test_scores_of_variants_are_exported_by_region_too(tmp_path):
    run = finished_run(tmp_path / "out", {f"1-{pos}-A-C": pos / 4 for pos in range(1, 9)})
    export_scores(run, str(tmp_path / "x.csv"), regions=["chr1:3-4"])
    assert pl.read_csv(tmp_path / "x.csv")["pos"].to_list() == [3, 4]


def test_pairs_have_no_regions(tmp_path):
    run = finished_run(tmp_path / "out", {"one": -2.5})
    with pytest.raises(InputError, match="no coordinates"):
        export_scores(run, str(tmp_path / "x.csv"), regions=["1:3-4"])


def test_a_table_without_rows_says_so(tmp_path):
    (tmp_path / "table/positions").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no positions yet"):
        export_scores(str(tmp_path / "table"), str(tmp_path / "x.bg"))


def test_a_folder_of_scores_without_any_beside_the_positions_does_not_matter(tmp_path, table):
    (tmp_path / "of/table/scores").mkdir()
    assert export_scores(table, str(tmp_path / "x.bg")).num_rows == 27
    assert export_scores(table, str(tmp_path / "x.csv")).num_rows == 81


def test_what_was_there_is_replaced_with_its_index(tmp_path, table):
    (tmp_path / "x.bedgraph.gz").write_text("before")
    (tmp_path / "x.bedgraph.gz.csi").write_text("before")
    export_scores(table, str(tmp_path / "x.bedgraph.gz"))
    assert sorted(path.name for path in tmp_path.glob("*x*")) == ["x.bedgraph.gz", "x.bedgraph.gz.tbi"]


def test_positions_behind_a_tbi_make_a_csi(tmp_path, table, monkeypatch):
    monkeypatch.setattr(export_tracks, "TBI_LIMIT", 8)
    monkeypatch.setattr(export_cadd, "TBI_LIMIT", 8)
    for name in ("x.bedgraph.gz", "x.cadd.tsv.gz"):
        done = export_scores(table, str(tmp_path / name))
        assert done.index == f"{tmp_path}/{name}.csi"
        with pysam.TabixFile(str(tmp_path / name), index=done.index) as file:
            assert len(list(file.fetch(file.contigs[0], 9, 10))) == (3 if "cadd" in name else 1)


def test_regions_that_were_added_later_lie_among_the_others(tmp_path):
    bases, identity = random_bases(100), Identity("f" * 16, "r" * 64)
    for start, end in ((1, 20), (61, 80), (21, 60), (81, 100)):
        table = write_positions(tmp_path / "table", {"1": bases[start - 1 : end]}, start=start, identity=identity)
    export_scores(table, str(tmp_path / "x.bg"))
    starts = [int(line.split("\t")[1]) for line in (tmp_path / "x.bg").read_text().splitlines()[2:]]
    assert starts == list(range(100))


def test_a_table_whose_manifest_names_no_model_is_exported_too(tmp_path, table):
    for manifest in (tmp_path / "of/table/runs").rglob("manifest.json"):
        manifest.write_text(json.dumps({"run_id": "x", "fingerprint": "f" * 16}))
    export_scores(table, str(tmp_path / "x.bg"))
    assert (tmp_path / "x.bg").read_text().startswith(f"# raygen fingerprint {'f' * 16}\n")


@pytest.mark.parametrize("name", ["x.bw", "x.bedgraph.gz", "x.cadd.tsv.gz"])
def test_a_disk_that_becomes_full_stops_with_a_sentence_alone(tmp_path, small_disk, capfd, name):
    disk, _ = small_disk
    if name == "x.bw":
        pytest.importorskip("pybigtools", reason=NO_WRITER)
    table = write_positions(tmp_path / "table", {"1": random_bases(300_000)})
    with pytest.raises(StoppedError, match=r"disk of .* is full|when a disk is full") as raised:
        export_scores(table, str(disk / name))
    assert raised.value.exit_code == 4 and not list(disk.iterdir())
    assert capfd.readouterr() == ("", "")
