"""``raygen export``, ``query`` and ``diff`` as a user types them: screen, files and exit codes."""

import json
import subprocess
import sys

import pytest

from tests.builders import fasta, vcf
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)
from tests.finished_runs import finished_run
from tests.position_tables import write_positions

BASES = "ACGTACGTTTGGCCAACGTA"
DELTAS = {"1-2-C-G": -8.125, "1-2-C-T": 0.1, "1-7-GT-G": -3.5}


@pytest.fixture
def out(tmp_path):
    return finished_run(tmp_path / "out", DELTAS, reference=fasta(tmp_path, {"1": BASES, "2": BASES}))


def test_export_prints_the_counts_and_where_the_files_are(raygen, tmp_path, out):  # noqa: F811
    given = vcf(tmp_path, ["chr1 2 . C G,T", "chr1 5 . A N", "chr1 8 . TT T"], contigs=["chr1"])
    code, said, err = raygen("export", out, "--vcf", given, "--to", tmp_path / "to.vcf.gz")
    assert (code, err) == (0, "")
    assert "3 records, 4 alleles = 3 with a score + 1 non_acgt_allele" in said
    assert f"index: {tmp_path}/to.vcf.gz.tbi" in said
    assert raygen("export", out, "--vcf", given, "--to", tmp_path / "to.vcf.gz")[1] == said  # and again


def test_export_chooses_columns(raygen, tmp_path, out):  # noqa: F811
    code, said, _ = raygen("export", out, "--to", tmp_path / "to.csv", "--fields", "delta_llr, classification")
    assert code == 0
    assert "3 scores" in said
    assert (tmp_path / "to.csv").read_text().splitlines()[:2] == [
        "variant_id,delta_llr,classification",
        "1-2-C-G,-8.125,pathogenic",
    ]


def test_query_answers_on_the_screen_and_says_what_is_not_scored(raygen, out):  # noqa: F811
    code, said, _ = raygen("query", out, "chr1-2-C-G", "2-3-G-A")
    assert code == 0
    assert "1-2-C-G        -8.125  pathogenic" in said
    assert "1 score (model demo" in said
    assert "2-3-G-A: not scored here" in said


def test_in_a_pipe_no_cell_is_cut_or_folded(raygen, tmp_path):  # noqa: F811
    name = f"1-2-C-{'ACGT' * 30}"
    old = finished_run(tmp_path / "old", {name: -5.0}, columns={"note": {name: "word " * 30 + "end"}})
    new = finished_run(tmp_path / "new", {name: 5.0})
    (found,) = [line for line in raygen("query", old, "--region", "1:1-9")[1].splitlines() if line.startswith(name)]
    assert found.split()[2] == "likely_pathogenic"
    assert found.endswith("word end")
    (found,) = [line for line in raygen("diff", old, new)[1].splitlines() if line.startswith(name)]
    assert found.split()[1:3] == ["likely_pathogenic", "gain_of_function"]


def test_query_gives_json_alone_on_standard_output(raygen, out):  # noqa: F811
    code, said, err = raygen("query", out, "--region", "1:1-20", "--region", "2:1-20", "--json")
    assert code == 0
    assert {row["variant_id"]: row["delta_llr"] for row in json.loads(said)} == DELTAS
    assert err == "2:1-20: not scored here (no score in 2:1-20)\n"


def test_query_takes_genes_and_writes_a_file(raygen, tmp_path, out):  # noqa: F811
    (tmp_path / "genes.bed").write_text("1\t0\t4\tA\n1\t5\t9\tB\n")
    code, said, _ = raygen("query", out, "--genes", tmp_path / "genes.bed", "A,B", "--out", tmp_path / "found.csv")
    assert code == 0
    assert f"3 scores: {tmp_path}/found.csv" in said
    assert len((tmp_path / "found.csv").read_text().splitlines()) == 4


def test_diff_prints_and_writes_and_can_fail(raygen, tmp_path, out):  # noqa: F811
    new = finished_run(tmp_path / "new", {**DELTAS, "1-2-C-T": -9.0})
    arguments = ["diff", out, new, "--page", tmp_path / "page.html", "--out", tmp_path / "changes.tsv"]
    code, said, _ = raygen(*arguments)
    assert code == 0
    assert said.startswith("1 of 3 variants (33.3%) changed class: 1 towards pathogenic")
    assert "1 of 3 variants" in (tmp_path / "page.html").read_text()
    assert (
        (tmp_path / "changes.tsv")
        .read_text()
        .splitlines()[1]
        .startswith("1-2-C-T\tbenign\tpathogenic\t0.1\t-9.0\t-9.1")
    )
    assert [raygen(*arguments, "--fail-on", number)[0] for number in (1, 2)] == [1, 0]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["export", "{tmp}/none", "--to", "{tmp}/x.csv"], 3, "No such folder: {tmp}/none."),
        (["export", "{out}", "--to", "{tmp}/x.docx"], 2, "the file's end says what is written"),
        (["export", "{out}", "--to", "{tmp}/x.vcf", "--vcf", "{tmp}/none.vcf"], 3, "no such file"),
        (["export", "{out}", "--to", "{tmp}/x.vcf", "--vcf", "{tmp}/reference.fa"], 3, "cannot be read as VCF"),
        (["export", "{out}", "--to", "{tmp}/no/x.csv"], 2, "there is no folder"),
        (["export", "{out}", "--to", "{out}"], 2, "the file's end"),
        (["query", "{out}"], 2, "Nothing is asked for"),
        (["query", "{tmp}/none", "1-2-C-G"], 3, "No such folder: {tmp}/none."),
        (["query", "{tmp}/reference.fa", "1-2-C-G"], 3, "{tmp}/reference.fa is a file, not a folder."),
        (["query", "{tmp}", "1-2-C-G"], 3, "Name one of them: {tmp}/out."),
        (["card", "{tmp}"], 3, "Name one of them: {tmp}/out."),
        (["query", "{out}", "17-2-C-G"], 3, "have a contig '17'"),
        (["query", "{out}", "BRCA1"], 2, "is no variant"),
        (["query", "{out}", "1-2-C-G", "--json", "--tsv"], 2, "exclude each other"),
        (["query", "{out}", "1-2-C-G", "--out", "{tmp}/x.txt"], 2, "--out {tmp}/x.txt: the end of a table's name"),
        (["query", "{tmp}/none", "1-2-C-G", "--out", "{tmp}/x.txt"], 2, "the end of a table's name"),  # before the work
        (["query", "{tmp}/none", "1-2-C-G", "--out", "{tmp}/no/x.csv"], 2, "there is no folder"),
        (["diff", "{out}", "{tmp}/none", "--out", "{tmp}/x.txt"], 2, "--out {tmp}/x.txt: the end of a table's name"),
        (["query", "{out}", "--genes", "{tmp}/none.bed", "A"], 3, "no such file"),
        (["diff", "{out}", "{tmp}/none"], 3, "No such folder: {tmp}/none."),
        (["diff", "{out}", "{tmp}/apart", "--page", "{tmp}/x.html"], 3, "No variant is in both runs"),
        (["diff", "{out}", "{out}", "--page", "{tmp}/no/x.html"], 2, "there is no folder"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_an_exit_code(raygen, tmp_path, out, arguments, code, words):  # noqa: F811
    if "{tmp}/apart" in arguments:  # made for them alone: others list what lies in the folder
        finished_run(tmp_path / "apart", {"2-2-C-G": 1.0})
    found, _, err = raygen(*(one.format(tmp=tmp_path, out=out) for one in arguments))
    assert found == code, err
    assert words.format(tmp=tmp_path) in " ".join(err.split())
    assert "Traceback" not in err
    assert not list(tmp_path.glob(".*")), "something is left behind"


def test_a_query_loads_neither_polars_nor_htslib_nor_a_model(out):
    code = (
        "import sys; sys.argv = ['raygen', 'query', sys.argv[1], '1-2-C-G', '--region', '1:1-9', '--tsv']\n"
        "from raygen.cli import main\nmain()\n"
        "print({'polars', 'pysam', 'torch', 'ray'} & set(sys.modules), file=sys.stderr)\n"
    )
    code = code.replace("main()\nprint", "try:\n    main()\nexcept SystemExit: pass\nprint")
    done = subprocess.run([sys.executable, "-c", code, out], check=True, capture_output=True, text=True)
    assert done.stderr == "set()\n"
    assert len(done.stdout.splitlines()) == 5


def test_export_writes_tracks_of_a_position_table(raygen, tmp_path):  # noqa: F811
    table = write_positions(tmp_path / "table", {"chr1": "ACGTN"})
    code, out, err = raygen("export", table, "--to", tmp_path / "x.bg", "--region", "1:2-9", "--track", "all")
    assert (code, err) == (0, "")
    assert out.splitlines()[-10:] == [
        line
        for name, number in (("x.bg", 3), ("x.A.bg", 3), ("x.C.bg", 2), ("x.G.bg", 2), ("x.T.bg", 2))
        for line in (f"{number} values", f"file: {tmp_path}/{name}")
    ]


def test_export_says_which_contigs_a_position_table_has(raygen, tmp_path):  # noqa: F811
    table = write_positions(tmp_path / "table", {"chr1": "ACGTN"})
    code, _, err = raygen("export", table, "--to", tmp_path / "x.bg", "--contig", "3")
    assert (code, err) == (3, f"error: --contig 3: {table} holds no scores of 3. It has those of chr1.\n")
