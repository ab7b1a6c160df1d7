"""What a user types, and what the screen and the exit code say. Runs in this process; nothing here gets as far as Ray."""

import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import pysam
import pytest

from raygen import doctor
from raygen.cli import machine, main
from raygen.errors import Interrupted
from tests.builders import fasta, random_bases, shared, snvs, vcf
from tests.finished_runs import finished_run

BASES = random_bases(400, 5)


@pytest.fixture
def reference(tmp_path) -> Path:
    return fasta(tmp_path, {"1": BASES})


@pytest.fixture
def raygen(monkeypatch, capsys):
    """Run a command line; returns (exit code, standard output, standard error)."""

    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raygen", *map(str, arguments)])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_version(raygen):
    assert raygen("--version") == (0, "raygen 0.2.0.dev0\n", "")


def test_help_names_the_commands(raygen):
    code, out, _ = raygen("--help")
    assert code == 0
    for command in ("demo", "ingest", "score", "doctor", "config"):
        assert command in out


@pytest.mark.parametrize("arguments", [["scorr"], ["score", "--nosuch"], ["ingest"]])
def test_a_wrong_command_is_exit_2(raygen, arguments):
    assert raygen(*arguments)[0] == 2


def test_ingest_prints_the_counts_and_writes_the_tables(raygen, tmp_path, reference):
    variants = vcf(tmp_path, [*snvs("1", BASES, [5, 9]), "1 9 . N A"])
    code, out, _ = raygen("ingest", variants, "--reference", reference, "--out", tmp_path / "in")
    assert code == 0
    assert "3 records, 3 alleles in = 2 variants + 1 rejected" in out
    assert "non_acgt_allele" in out
    assert pq.read_table(tmp_path / "in/variants")["pos"].to_pylist() == [5, 9]


def test_ingest_names_flags_that_it_has_and_heeds_them(raygen, tmp_path, reference):
    given = ["--reference", reference, "--out", tmp_path / "in"]
    unknown = vcf(tmp_path, [*snvs("1", BASES, range(1, 41)), *snvs("Un", BASES, range(1, 11))], "unknown.vcf")
    code, _, err = raygen("ingest", unknown, *given)
    assert (code, "To score the rest alone, set --max-unknown-share (now 0.1)." in " ".join(err.split())) == (3, True)
    assert raygen("ingest", unknown, *given, "--max-unknown-share", "1")[0] == 0
    wrong = [f"1 {pos} . {'A' if BASES[pos - 1] != 'A' else 'T'} G" for pos in range(1, 11)]
    mismatched = vcf(tmp_path, [*snvs("1", BASES, range(11, 51)), *wrong], "wrong.vcf")
    given[-1] = tmp_path / "other"
    code, _, err = raygen("ingest", mismatched, *given)
    assert (code, "More than --max-mismatch-share (0.1) on a contig stop a run." in " ".join(err.split())) == (3, True)
    code, out, _ = raygen("ingest", mismatched, *given, "--max-mismatch-share", "0.2")
    assert (code, "50 alleles in = 40 variants + 10 rejected" in out) == (0, True)


def test_ingest_into_the_folder_of_another_input_is_exit_2_and_changes_nothing(raygen, tmp_path, reference):
    out, given = tmp_path / "in", ["--reference", reference, "--out", tmp_path / "in"]
    assert raygen("ingest", vcf(tmp_path, snvs("1", BASES, [5, 9]), "a.vcf"), *given)[0] == 0
    code, _, err = raygen("ingest", vcf(tmp_path, snvs("1", BASES, [7]), "other.vcf"), *given)
    assert (code, "holds the ingested variants of" in err) == (2, True)
    assert pq.read_table(out / "variants")["pos"].to_pylist() == [5, 9]
    assert raygen("ingest", tmp_path / "a.vcf", *given)[0] == 0


def broken_inputs(folder: Path) -> dict[str, Path]:
    """Files that cannot be used, each of its own kind."""
    whole = vcf(folder, snvs("1", BASES, range(1, 400)))
    (folder / "empty.vcf").write_text("")
    (folder / "garbage.vcf").write_bytes(os.urandom(4096))
    (folder / "truncated.vcf.gz").write_bytes(gzip.compress(whole.read_bytes())[:-200])
    pysam.tabix_compress(str(whole), str(folder / "block.vcf.gz"))
    (folder / "block.vcf.gz").write_bytes((folder / "block.vcf.gz").read_bytes()[:-28])
    names = ["empty.vcf", "garbage.vcf", "truncated.vcf.gz", "block.vcf.gz", "missing.vcf"]
    return {name: folder / name for name in names}


@pytest.mark.parametrize("name", ["empty.vcf", "garbage.vcf", "truncated.vcf.gz", "block.vcf.gz", "missing.vcf"])
@pytest.mark.parametrize("command", ["ingest", "score"])
def test_input_that_cannot_be_used_is_exit_3_and_leaves_nothing(raygen, tmp_path, reference, name, command):
    path = broken_inputs(tmp_path)[name]
    arguments = [path] if command == "ingest" else ["--variants", path]
    code, _, err = raygen(command, *arguments, "--reference", reference, "--out", tmp_path / "out")
    assert code == 3, err
    assert err.startswith("error: ")
    assert name in err
    assert "Traceback" not in err
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_vcf_of_another_assembly_is_exit_3(raygen, tmp_path):
    reference = tmp_path / "hg19.chrM.fa"
    reference.write_bytes(shared("malformed/hg19.chrM.wrong_assembly.fa").read_bytes())
    variants = shared("mt/mt.clinvar_20220525.vcf")
    code, _, err = raygen("score", "--variants", variants, "--reference", reference, "--out", tmp_path / "out")
    assert code == 3
    assert "another assembly" in err
    assert "Nothing was written" in err
    assert not (tmp_path / "out").exists()


def test_a_fasta_without_the_contig_is_exit_3(raygen, tmp_path, reference):
    variants = vcf(tmp_path, ["9 5 . A C"], contigs=("9",))
    code, _, err = raygen("ingest", variants, "--reference", reference, "--out", tmp_path / "out")
    assert code == 3
    assert "9" in err


def test_a_header_alone_is_no_variants_and_no_error(raygen, tmp_path, reference):
    code, out, _ = raygen("score", "--variants", vcf(tmp_path, []), "--reference", reference, "--out", tmp_path / "out")
    assert code == 0
    assert "The input has no variants." in out
    assert "Nothing is left" not in out
    assert "0 alleles in = 0 scored + 0 rejected + 0 already scored" in out


def test_settings_faults_are_listed_and_exit_2(raygen, tmp_path):
    (tmp_path / "run.yaml").write_text("modle: {}\nwindow: {lefft: 3}\n")
    code, _, err = raygen("config", "check", tmp_path / "run.yaml")
    assert code == 2
    for fault in ("modle: no such setting", "window.lefft: no such setting"):
        assert fault in err


def test_config_show_writes_every_default(raygen):
    code, out, _ = raygen("config", "show", "--set", "input.pairs=p.parquet", "--set", "output.path=out")
    assert code == 0
    assert "max_batch_tokens: auto" in out
    assert "- -7.0" in out


def test_an_unknown_model_says_what_a_name_can_be(raygen, tmp_path, reference):
    variants = vcf(tmp_path, snvs("1", BASES, [5]))
    arguments = [
        "score",
        "--variants",
        variants,
        "--reference",
        reference,
        "--out",
        tmp_path / "out",
        "--model",
        "evvo",
    ]
    code, _, err = raygen(*arguments)
    assert code == 2
    assert "hub id" in err


@pytest.mark.parametrize("command", ["score", "plan", "explain", "saturate", "compare-windows", "nightly", "doctor"])
def test_a_model_that_is_no_name_of_one_is_exit_2_whatever_the_command(
    raygen, monkeypatch, tmp_path, reference, command
):
    monkeypatch.setattr(doctor, "_ray", lambda: "not looked at here")
    (tmp_path / "empty").mkdir()
    variants = ["--variants", vcf(tmp_path, snvs("1", BASES, [5]))]
    given = {
        "score": variants,
        "plan": variants,
        "explain": [f"1-5-{BASES[4]}-{'ACGT'['CGTA'.index(BASES[4])]}"],
        "saturate": ["--region", "1:5-9"],
        "compare-windows": variants,
        "nightly": ["--landing", tmp_path / "empty"],
        "doctor": [],
    }[command]
    given += ["--reference", reference] if command != "doctor" else []
    given += ["--out", tmp_path / "out"] if command in ("score", "saturate", "nightly") else []
    code, out, err = raygen(command, *given, "--model", "evvo")
    assert code == 2
    assert "model.name is 'evvo'" in out + err


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_a_broken_model_folder_is_exit_3_and_names_the_tensor(raygen, tmp_path, reference, fault):
    from safetensors.torch import load_file, save_file

    from raygen.model.random_checkpoint import demo_config, write_random_checkpoint

    folder = tmp_path / "model"
    write_random_checkpoint(folder, demo_config(), seed=1)
    tensors = load_file(folder / "model.safetensors")
    name = "backbone.blocks.1.filter.poles"
    if fault == "missing":
        del tensors[name]
    elif fault == "extra":
        name = "backbone.blocks.1.surprise"
        tensors[name] = tensors["backbone.norm.scale"].clone()
    else:
        tensors[name] = tensors[name][:3].clone()
    save_file(tensors, folder / "model.safetensors")
    variants = vcf(tmp_path, snvs("1", BASES, [5]))
    arguments = [
        "score",
        "--variants",
        variants,
        "--reference",
        reference,
        "--out",
        tmp_path / "out",
        "--model",
        folder,
    ]
    code, _, err = raygen(*arguments)
    assert code == 3
    assert name in err


def test_a_vcf_in_the_place_of_the_settings_file_says_how_to_write_it(raygen):
    code, _, err = raygen("score", "a.vcf")
    assert code == 2
    assert "--variants a.vcf" in err


def test_input_on_a_filesystem_that_nothing_knows_is_refused_with_a_sentence(raygen, tmp_path, reference):
    code, _, err = raygen("score", "--variants", "tape://b/x.vcf", "--reference", reference, "--out", tmp_path / "out")
    assert code == 2
    assert "tape://b/x.vcf is on no filesystem that can be reached" in err


def test_settings_of_windows_do_not_go_with_pairs(raygen, tmp_path):
    code, _, err = raygen("score", "--pairs", "p.parquet", "--out", tmp_path, "--set", "window.strand=both")
    assert code == 2
    assert "window.strand: pairs bring their own sequences" in err


def test_brackets_in_a_path_are_printed_as_they_are(raygen, tmp_path, reference):
    out = tmp_path / "sh[bold]x"
    code, said, _ = raygen("score", "--variants", vcf(tmp_path, []), "--reference", reference, "--out", out)
    assert code == 0
    assert f"scores: {out}/scores" in said


@pytest.mark.parametrize("out", ["file", "file/below"])
@pytest.mark.parametrize("command", ["demo", "ingest V", "score V", "saturate S", "nightly N", "reclassify D C"])
def test_a_file_in_the_place_of_the_output_folder_is_exit_2_and_named(raygen, tmp_path, reference, command, out):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    given = {
        "V": ["--variants", vcf(tmp_path, snvs("1", BASES, [5])), "--reference", reference],
        "S": ["--region", "1:5-9", "--reference", reference],
        "N": ["--landing", tmp_path / "empty", "--reference", reference],
        "D": [finished_run(tmp_path / "run", {"1-2-C-G": -1.0})],
        "C": ["--cuts", "-7,-3,-1,1"],
    }
    name, *parts = command.split()
    words = [word for part in parts for word in given.get(part, [])]
    if name == "ingest":
        words = words[1:]
    code, _, err = raygen(name, *words, "--out", tmp_path / out)
    assert code == 2
    assert f"{tmp_path}/file is a file, not a folder." in err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["report", "card", "verify", "compact", "rollback --run x", "query 1-2-C-G"])
def test_a_folder_that_is_read_and_is_none_is_exit_3_and_named(raygen, tmp_path, command):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    name, *options = command.split()
    said = {path: raygen(name, tmp_path / path, *options) for path in ("file", "nosuch", "empty")}
    assert [code for code, _, _ in said.values()] == [3, 3, 3]
    assert said["file"][2] == f"error: {tmp_path}/file is a file, not a folder.\n"
    assert said["nosuch"][2] == f"error: No such folder: {tmp_path}/nosuch.\n"
    assert "o manifest" in said["empty"][2] or "holds no" in said["empty"][2]
    assert not (tmp_path / "nosuch").exists()


def test_compare_windows_prints_and_writes_a_table(raygen, tmp_path, reference):
    variants = vcf(tmp_path, snvs("1", BASES, range(100, 130)))
    arguments = ["--variants", variants, "--reference", reference, "--windows", "60+60, 60+20@64", "--sample", 25]
    code, out, err = raygen("compare-windows", *arguments, "--device", "cpu", "--out", tmp_path / "table.json")
    assert code == 0, err
    assert "25 variants under 2 windows" in out
    written = json.loads((tmp_path / "table.json").read_text())
    assert [one["window"] for one in written["windows"]] == ["60+60", "60+20@64"]
    assert written["windows"][1]["times_cheaper"] > 1


def labels_of(folder, positions):
    """A VCF with CLNSIG at these positions, every other one Pathogenic, so that an SNV of ``snvs`` there has a label."""
    values = ["Pathogenic", "Benign"] * len(positions)
    records = [f"{record} CLNSIG={value}" for record, value in zip(snvs("1", BASES, positions), values, strict=False)]
    path = vcf(folder, records, name="labels.vcf")
    header = '##INFO=<ID=CLNSIG,Number=1,Type=String,Description="x">\n#CHROM'
    path.write_text(path.read_text().replace("#CHROM", header))
    return path


def test_compare_windows_with_labels_scores_those_that_have_one_and_writes_what_they_gave(raygen, tmp_path, reference):
    variants = vcf(tmp_path, snvs("1", BASES, range(100, 200)))
    labels = ["--labels", labels_of(tmp_path, range(120, 160)), "--label-field", "CLNSIG", "--margin", 0.02]
    arguments = ["--variants", variants, "--reference", reference, "--windows", "60+60, 60+4@64"]
    code, out, err = raygen("compare-windows", *arguments, *labels, "--out", tmp_path / "table.json")
    assert code == 0, err
    assert "rows with labels: 40, labelled: 40, of them in the input: 40, in the sample: 40" in out
    assert "40 variants under 2 windows" in out
    assert "20 positive, 20 negative; intervals are paired, from 40 sites drawn again" in out
    written = json.loads((tmp_path / "table.json").read_text())
    assert (written["sample"], written["labels"]["label"], written["labels"]["margin"]) == (1000, "CLNSIG", 0.02)
    assert written["labels"]["clusters"] == "site"
    first, second = written["windows"]
    assert first["difference"] == 0
    assert second["difference"] == pytest.approx(second["auroc"] - first["auroc"])
    assert second["difference_interval"][0] <= second["difference"] <= second["difference_interval"][1]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--labels", "LABELS"], 2, "Name the labels once"),
        (["--label-field", "CLNSIG"], 2, "go with --labels FILE"),
        (["--labels", "no.vcf", "--label-field", "CLNSIG"], 3, "No such file or folder: no.vcf"),
        (["--labels", "LABELS", "--label-field", "CLASS"], 2, "has no column CLASS"),
        (
            ["--labels", "LABELS", "--label-field", "CLNSIG"],
            3,
            "None of the 40 variants that labels.vcf labels is among",
        ),
        (["--labels", "LABELS", "--label-field", "CLNSIG", "--margin", "nan"], 2, "--margin nan"),
        (["--labels", "LABELS", "--label-field", "CLNSIG", "--positive", "Benign"], 2, "go together"),
    ],
)
def test_compare_windows_refuses_labels_in_words(raygen, tmp_path, reference, more, code, words):
    labels = labels_of(tmp_path, range(120, 160))
    variants = vcf(tmp_path, snvs("1", BASES, [100, 101]))
    arguments = [labels if word == "LABELS" else word for word in more]
    exit_code, _, err = raygen("compare-windows", "--variants", variants, "--reference", reference, *arguments)
    assert (exit_code, "Traceback" in err) == (code, False)
    assert words in err


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--windows", "60-60"], 2, "left+right@stride"),
        (["--windows", "9000+1"], 2, "reads 4,096"),
        (["--circular", "MT"], 2, "does not have"),
        (["--windows", "60+60", "--out", "no/such/folder.json"], 2, "cannot be written"),
        (["--device", "tpu"], 2, "model.device"),
    ],
)
def test_compare_windows_refuses_in_words(raygen, tmp_path, reference, more, code, words):
    variants = vcf(tmp_path, snvs("1", BASES, [100, 101]))
    found, _, err = raygen("compare-windows", "--variants", variants, "--reference", reference, *more)
    assert (found, "Traceback" in err) == (code, False)
    assert words in err


def test_compare_windows_reads_the_input_as_the_settings_say_and_prints_what_it_warns_of(raygen, tmp_path, reference):
    """Half of the alleles are on a contig that the reference lacks; a quarter of the rest is too long by the settings."""
    records = [*snvs("1", BASES, range(100, 130)), *(f"decoy {pos} . A C" for pos in range(1, 41))]
    records += [f"1 {pos} . {BASES[pos - 1]} {BASES[pos - 1]}ACGT" for pos in range(140, 150)]
    (tmp_path / "run.yaml").write_text(f"input:\n  reference: {reference}\n  max_allele_length: 4\n")
    variants = vcf(tmp_path, records, contigs=["1", "decoy"])
    arguments = ["compare-windows", tmp_path / "run.yaml", "--variants", variants, "--windows", "60+60"]
    code, _, err = raygen(*arguments)
    assert code == 3
    assert "set input.max_unknown_share" in err
    code, out, err = raygen(*arguments, "--set", "input.max_unknown_share=1")
    assert code == 0, err
    assert "warning: reference.fa does not have the contigs of 40 alleles: decoy (40)." in out
    assert "30 variants under 1 window" in out


def test_compare_windows_without_a_variant_is_exit_3(raygen, tmp_path, reference):
    code, _, err = raygen("compare-windows", "--variants", vcf(tmp_path, []), "--reference", reference)
    assert code == 3
    assert "nothing to compare" in err


@pytest.mark.parametrize(
    ("region", "code", "words"),
    [("1:9-5", 2, "ends before it starts"), ("nowhere:1-2", 3, "no contig"), ("1:5-401", 3, "1 has 400 bases")],
)
def test_saturate_refuses_a_bad_region_in_words(raygen, tmp_path, reference, region, code, words):
    arguments = ["saturate", "--region", region, "--reference", reference, "--out", tmp_path / "out"]
    found, _, err = raygen(*arguments)
    assert found == code
    assert words in err
    assert not (tmp_path / "out").exists()


def test_saturate_takes_no_other_input(raygen, tmp_path, reference):
    code, _, err = raygen("saturate", "--region", "1:1-2", "--reference", reference, "--set", "input.pairs=p.parquet")
    assert (code, "makes its own variants: leave out input.pairs" in err) == (2, True)


def test_debug_shows_the_traceback_and_keeps_the_exit_code(raygen, tmp_path, reference):
    code, _, err = raygen("ingest", tmp_path / "no.vcf", "--reference", reference, "--out", tmp_path / "out", "--debug")
    assert code == 3
    assert "Traceback" in err


def test_an_output_folder_that_is_a_file_is_exit_2(raygen, tmp_path, reference):
    (tmp_path / "file").write_text("")
    variants = vcf(tmp_path, snvs("1", BASES, [5]))
    code, _, err = raygen("ingest", variants, "--reference", reference, "--out", tmp_path / "file" / "out")
    assert code == 2
    assert "cannot be written" in err


def test_interrupting_is_exit_4(raygen, monkeypatch):
    def interrupt(*_, **__):
        raise Interrupted

    monkeypatch.setattr(machine, "load_settings", interrupt)
    monkeypatch.setattr(os, "_exit", sys.exit)  # the command ends its process there, and this is the tests'
    code, _, err = raygen("config", "check", "x.yaml")
    assert code == 4
    assert "Stopped" in err


def test_errors_are_lines_of_json_where_the_log_is(raygen, monkeypatch):
    monkeypatch.setenv("RAYGEN_LOG", "json")
    code, _, err = raygen("config", "check", "17-41276135-T-G.yaml")
    (said,) = map(json.loads, err.splitlines())
    assert (code, said["event"], said["exit_code"]) == (2, "error", 2)
    assert "41276135" not in err


@pytest.fixture
def faulty(monkeypatch, tmp_path):
    """A command that fails by a fault of its own at 17-41276135-T-G; returns the folder for temporary files."""

    def fail(*_, **__):
        raise KeyError("17-41276135-T-G")

    monkeypatch.setattr(machine, "load_settings", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_fault_of_raygen_is_a_sentence_a_file_and_exit_70(raygen, faulty):
    code, _, err = raygen("config", "check", "x.yaml")
    (written,) = faulty.glob("raygen-traceback-*.txt")
    assert code == 70
    assert err == (
        "error: KeyError: '17-41276135-T-G'. This is a fault of raygen, not of your input. "
        f"The traceback is in {written}; please report it.\n"
    )
    assert "in fail" in written.read_text()
    assert written.read_text().startswith("Traceback")


def test_debug_shows_the_traceback_of_a_fault_and_writes_no_file(raygen, faulty):
    code, _, err = raygen("config", "check", "x.yaml", "--debug")
    assert code == 70
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("error: KeyError: ")
    assert not list(faulty.iterdir())


def test_a_fault_is_a_line_of_json_without_its_variant_where_the_log_is(raygen, faulty, monkeypatch):
    monkeypatch.setenv("RAYGEN_LOG", "json")
    code, _, err = raygen("config", "check", "x.yaml")
    (said,) = map(json.loads, err.splitlines())
    assert (code, said["event"], said["exit_code"]) == (70, "error", 70)
    assert said["traceback"] == str(next(faulty.iterdir()))
    assert "41276135" not in err


def test_a_traceback_that_cannot_be_written_is_shown(raygen, faulty, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(faulty / "nosuch"))
    code, _, err = raygen("config", "check", "x.yaml")
    assert (code, err.startswith("Traceback"), "stands above" in err) == (70, True, True)


@pytest.mark.ray
def test_a_run_without_a_home_scores_and_sigterm_stops_it_with_exit_4(tmp_path, reference):
    """A real process: HOME cannot be written, the first run is stopped by a signal, the second finishes it."""
    variants = vcf(tmp_path, snvs("1", BASES, range(1, 300)))
    environment = {name: value for name, value in os.environ.items() if name not in ("RAYGEN_CACHE", "RAY_AUTH_TOKEN")}
    environment |= {"HOME": "/proc/no-home"}
    command = [sys.executable, "-m", "raygen.cli", "score", "--variants", str(variants), "--reference", str(reference)]
    command += ["--out", str(tmp_path / "out"), "--set", "window.left=150", "--set", "window.right=150"]
    options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    slowly = ["--set", "scoring.max_batch_tokens=300", "--set", "cluster.actors=1"]
    first = subprocess.Popen([*command, *slowly], **options)
    while first.poll() is None and not list((tmp_path / "out/scores").glob("*/part-*.parquet")):
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)  # a spot reclaim, Slurm, Kubernetes; Ctrl-C takes the same way
    _, err = first.communicate(timeout=60)
    assert first.returncode == 4, err
    assert "The same command goes on" in err
    assert "*** SIGTERM" not in err
    second = subprocess.run(command, check=True, timeout=600, **options)
    assert "already scored" in second.stdout
    assert [line for line in second.stderr.splitlines() if " variants, " not in line] == []  # of progress
    from raygen.tables.layout import read_scores

    assert len(read_scores(str(tmp_path / "out"))) == 299


def test_settings_are_checked_away_from_the_files_they_name(raygen, tmp_path):
    (tmp_path / "run.yaml").write_text("input: {variants: /data/a.vcf, reference: /data/r.fa}\noutput: {path: out}\n")
    code, _, err = raygen("config", "check", tmp_path / "run.yaml")
    assert (code, "No such file or folder: input.variants /data/a.vcf" in err) == (3, True)
    code, out, _ = raygen("config", "check", "--no-files", tmp_path / "run.yaml")
    assert (code, "no errors" in out) == (0, True)
    code, _, err = raygen("config", "check", "--no-files", tmp_path / "run.yaml", "--set", "window.left=-1")
    assert (code, "window.left" in err) == (2, True)


@pytest.mark.parametrize("command", [["config", "check"], ["score"], ["plan"], ["nightly"]], ids=" ".join)
def test_a_model_that_cannot_be_one_is_named_before_anything_starts(raygen, tmp_path, reference, command):
    variants = vcf(tmp_path, snvs("1", BASES, range(1, 8)))
    source = f"landing: {{folder: {tmp_path}}}" if command == ["nightly"] else ""
    given = f"reference: {reference}" + ("" if source else f", variants: {variants}")
    text = f"{source}\ninput: {{{given}}}\noutput: {{path: {tmp_path}/out}}\nmodel: {{name: models/evo--1}}\n"
    (tmp_path / "run.yaml").write_text(text)
    code, _, err = raygen(*command, tmp_path / "run.yaml")
    assert (code, "model.name is 'models/evo--1', and there is no such folder" in err) == (2, True), err
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_of_scores_is_the_input_s_fault_and_named(raygen, tmp_path, reference):
    out = Path(finished_run(tmp_path / "run", {"1-2-C-G": -1.0, "1-5-A-C": 2.0}, reference=reference))
    (file,) = out.glob("scores/chrom=1/*.parquet")
    file.write_bytes(file.read_bytes()[:300])
    for command in (["query", out, "--region", "1:1-50"], ["card", out], ["export", out, "--to", tmp_path / "a.csv"]):
        code, _, err = raygen(*command)
        assert (code, file.name in err, "damaged" in err) == (3, True, True), err
    code, _, err = raygen("compact", out)
    assert (code, "damaged" in err) == (3, True), err


def test_tables_are_named_as_they_were_written(raygen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for fingerprint in ("aaaa", "bbbb"):
        finished_run(tmp_path / "nights" / fingerprint, {"1-2-C-G": -1.0, "1-5-A-C": 2.0}, shard_rows=1)
    assert raygen("verify", "nights/aaaa/")[1].splitlines()[-1].startswith("nights/aaaa: 2 files, 2 rows")
    lines = raygen("compact", "nights")[1].splitlines()
    assert [line.split(":")[0] for line in lines] == ["nights/aaaa", "table", "nights/bbbb", "table"]
    assert lines[1].startswith("table: nights/aaaa/scores; give other tools this folder, or nights/aaaa/scores/**/")
    assert raygen("compact", "nights")[1] == "nights/aaaa: nothing to merge\nnights/bbbb: nothing to merge\n"
    assert "Name one: nights/aaaa, nights/bbbb." in raygen("rollback", "nights", "--run", "x")[2]


def test_a_position_that_no_contig_has_is_a_mistake_in_typing(raygen, tmp_path, reference):
    out = finished_run(tmp_path / "run", {"1-2-C-G": -1.0}, reference=reference)
    for command in (
        ["query", out, "1-99999999999999999999-A-G"],
        ["query", out, "--region", "1:1-99999999999999999999999"],
        ["explain", "1:99999999999999999999:C:G", "--reference", reference, "--model", "demo"],
    ):
        code, _, err = raygen(*command)
        assert (code, "no contig is that long" in err) == (2, True), err


def test_a_variant_with_colons_is_no_picture(raygen, tmp_path, reference):
    out = finished_run(tmp_path / "run", {"1-2-C-G": -1.0}, reference=reference)
    _, said, err = raygen("query", out, "1:100:A:G", "nope:100:A:G")
    assert ":100:" in said + err


@pytest.mark.parametrize(
    "place", ["scores/chrom=1/d.parquet", "rejects/d.parquet", ".generations/d.parquet", "generations/d.parquet"]
)
def test_no_result_is_put_among_the_scores(raygen, tmp_path, reference, place):
    out = Path(finished_run(tmp_path / "run", {"1-2-C-G": -1.0}, reference=reference))
    to = out / place
    to.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        ["query", out, "--region", "1:1-9", "--out", to],
        ["diff", out, out, "--out", to],
        ["export", out, "--to", to],
        ["evaluate", "--scores", out, "--label-column", "flags", "--json", to.with_suffix(".json")],
        ["card", out, "--out", to.with_suffix(".md")],
    ):
        code, _, err = raygen(*command)
        assert (code, "lies among the scores themselves" in err) == (2, True), (command, err)
    assert not to.exists()


def test_a_cut_that_is_no_number_is_refused(raygen, tmp_path):
    for cut in ("nan", "inf"):
        code, _, err = raygen("evaluate", "--scores", tmp_path, "--label-column", "x", "--cut", cut)
        assert (code, f"--cut {cut} is no score" in err) == (2, True), err


def test_a_night_is_planned_as_what_lies_in_its_landing_folder(raygen, tmp_path, reference):
    (tmp_path / "land").mkdir()
    vcf(tmp_path / "land", snvs("1", BASES, range(1, 8)), "a.vcf")
    (tmp_path / "night.yaml").write_text(
        f"landing: {{folder: {tmp_path}/land}}\ninput: {{reference: {reference}}}\noutput: {{path: out}}\n"
        "window: {left: 16, right: 16}\n"
    )
    code, out, err = raygen("plan", tmp_path / "night.yaml")
    assert code == 0, err
    assert "all that lies in landing.folder" in err
    assert "7 variants" in out
    others = vcf(tmp_path, snvs("1", BASES, range(1, 4)), "others.vcf")
    code, out, err = raygen("plan", tmp_path / "night.yaml", "--variants", others)
    assert (code, "landing.folder" in err, "3 variants" in out) == (0, False, True), err


def test_ingest_explains_what_it_recognised_before_any_work(raygen, tmp_path):
    (tmp_path / "a.bim").write_text("1 rs1 0 5 A C\n")
    (tmp_path / "b.csv").write_text("CHR,start,ref,alt,gene\n1,5,A,C,x\n")
    code, out, err = raygen("ingest", tmp_path / "a.bim", tmp_path / "b.csv", "--explain", "--column", "pos=start")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "a.bim: PLINK's table of variants (.bim) with no header, 6 columns, CHROM ID CM POS ALT REF; which allele is REF is "
        "decided by the reference",
        "b.csv: table of text, columns parted by commas; chrom from CHR, pos from start, ref from ref, alt from alt; could be carried: gene",
    ]
    config = tmp_path / "run.yaml"
    config.write_text(f"input: {{variants: {tmp_path / 'b.csv'}, columns: {{pos: start}}}}\n")
    assert raygen("ingest", config, "--explain")[1] == out.splitlines()[1] + "\n"
    code, _, err = raygen("ingest", tmp_path / "b.csv", "--explain")
    assert code == 3
    assert "b.csv has no column for pos; it has CHR, start, ref, alt, gene. Say which they are" in err


def test_columns_that_ingest_cannot_take_are_exit_2(raygen, tmp_path):
    for options, message in [
        (["--column", "pos"], "write it as NAME=COLUMN"),
        (["--column", "position=x"], "position is not one of chrom, pos, ref, alt and id"),
        (["--column", "pos=x", "--id-column", "y"], "it holds contig, position and alleles"),
    ]:
        code, _, err = raygen("ingest", tmp_path / "a.csv", "--explain", *options)
        assert (code, message in err) == (2, True), err
