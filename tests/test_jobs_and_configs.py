"""What stands in jobs/ and configs/ works as it is."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from raygen.cli import job
from raygen.model.random_checkpoint import demo_config, write_random_checkpoint
from raygen.pipeline.chosen_window import choose_window
from raygen.pipeline.intake import take_input
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings
from raygen.tables.layout import RunFolder
from tests.builders import fasta, random_bases, snvs, vcf

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "configs/runs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_run_configuration_loads(path):
    load_settings(str(path))


def test_the_runs_that_the_documentation_names_are_there():
    assert {path.stem for path in (ROOT / "configs/runs").glob("*.yaml")} >= {
        "laptop",
        "one-gpu",
        "eight-gpus",
        "biobank-cluster",
        "nightly",
    }


@pytest.mark.parametrize("path", sorted((ROOT / "configs/runs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_window_of_every_run_configuration_fits_its_model(path):
    settings = load_settings(str(path))
    choose_window(settings, context_length=8192)


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run_job(monkeypatch, capsys):
    """Runs a script of jobs/ in this process, which spares the seconds that torch takes to import."""

    def run(name, *arguments):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        monkeypatch.setattr(sys, "argv", [str(ROOT / "jobs" / name), *map(str, arguments)])
        capsys.readouterr()
        try:
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(ROOT / "jobs" / name), run_name="__main__")
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Done(ended.value.code or 0, *capsys.readouterr())

    return run


def settings_file(folder, **more):
    bases = random_bases(90)
    variants, reference = vcf(folder, snvs("1", bases, [5, 9])), fasta(folder, {"1": bases})
    tree = {"input": {"variants": str(variants), "reference": str(reference)}, "output": {"path": str(folder / "out")}}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**tree, **more}))
    return path


def test_the_ingest_job_lays_the_input_where_a_run_with_the_same_settings_looks(tmp_path, run_job):
    config = settings_file(tmp_path)
    done = run_job("ingest.py", config)
    assert "2 alleles in = 2 variants + 0 rejected" in done.stdout, done.stderr
    settings = load_settings(str(config))
    folder, reference = RunFolder(str(tmp_path / "out")), open_reference(settings.input.reference)
    taken = take_input(settings, folder, reference, context_length=8192)
    assert f"variants: {taken.variants_dir}" in done.stdout
    assert "2 alleles in" in run_job("ingest.py", config).stdout  # a second time it is there already


def test_the_ingest_job_writes_to_a_folder_of_its_own_where_one_is_named(tmp_path, run_job):
    done = run_job("ingest.py", settings_file(tmp_path), "--out", tmp_path / "in")
    assert done.returncode == 0, done.stderr
    assert pq.read_table(tmp_path / "in/variants").num_rows == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["in.vcf"], "needs --reference and --out"),
        (["none.yaml"], "No such settings file"),
        (["run.yaml", "--max-allele-length", "5"], "say the rest in it"),
    ],
)
def test_the_ingest_job_refuses_what_it_cannot_use(arguments, said, run_job):
    done = run_job("ingest.py", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("name", "on_output", "command"),
    [
        ("report", [], ["report", "OUT", "--x"]),
        ("calibrate", ["--scores"], ["calibrate", "--scores", "OUT", "--x", "--out", "OUT/calibration.json"]),
    ],
)
def test_a_job_on_a_finished_run_takes_its_folder_from_the_settings(tmp_path, monkeypatch, name, on_output, command):
    config = settings_file(tmp_path, output={"path": "OUT"})
    monkeypatch.setattr(sys, "argv", [f"{name}.py", str(config), "--x"])
    monkeypatch.setattr(job, "main", lambda: None)
    job.run_job(name, on_output)
    assert sys.argv[1:] == command
    assert f'run_job("{name}", on_output={json.dumps(on_output)})' in (ROOT / f"jobs/{name}.py").read_text()


@pytest.mark.parametrize(
    ("columns", "given", "more"),
    [
        ([], [], ["--out", "OUT/calibration.json"]),
        (["CLNSIG"], [], ["--out", "OUT/calibration.json", "--label-column", "CLNSIG"]),
        (["CLNSIG"], ["--labels", "own.vcf", "--label-field", "X", "--out=c.json"], []),
    ],
)
def test_what_a_calibration_needs_besides_is_taken_from_the_settings(tmp_path, monkeypatch, columns, given, more):
    inputs = {"variants": "a.vcf", "reference": "r.fa", "source_columns": columns}
    config = settings_file(tmp_path, input=inputs, output={"path": "OUT"})
    monkeypatch.setattr(sys, "argv", ["calibrate.py", str(config), *given])
    monkeypatch.setattr(job, "main", lambda: None)
    job.run_job("calibrate", ["--scores"])
    assert sys.argv[1:] == ["calibrate", "--scores", "OUT", *given, *more]


def test_training_needs_nothing_but_its_settings_and_says_where_the_corpus_should_be(tmp_path, run_job, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "jobs/training"))  # as the interpreter does for a script
    done = run_job("training/train_demo_model.py", ROOT / "configs/training/demo.yaml")
    assert done.returncode == 3
    assert "corpus holds no *.fa.xz files" in done.stderr


BENCH = ["--variants", "4", "--width", "64", "--layers", "2", "--window", "512", "--stride", "64", "--threads", "1"]


def bench_input(tmp_path):
    bases = random_bases(900)
    variants, reference = vcf(tmp_path, snvs("1", bases, range(400, 440, 10))), fasta(tmp_path, {"1": bases})
    config = tmp_path / "bench.yaml"
    tree = {
        "input": {"variants": str(variants), "reference": str(reference)},
        "output": {"path": str(tmp_path / "out")},
    }
    config.write_text(yaml.safe_dump(tree))
    return config, variants, reference


def test_the_benchmark_takes_a_settings_file_or_variants_and_reference(tmp_path, run_job):
    config, variants, reference = bench_input(tmp_path)
    for given in ([config], [variants, reference]):
        done = run_job("benchmarks/bench_scoring.py", *given, "--skip-reference", *BENCH)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["variants"] == 4


def test_the_benchmark_says_what_it_lacks_where_there_are_no_tests(tmp_path):
    config, variants, _ = bench_input(tmp_path)
    shutil.copytree(ROOT / "jobs", tmp_path / "copy/jobs")
    (tmp_path / "copy/raygen").symlink_to(ROOT / "raygen")
    script = tmp_path / "copy/jobs/benchmarks/bench_scoring.py"
    without = {**os.environ, "PYTHONPATH": str(tmp_path / "copy")}
    for given, said in (([config], "--skip-reference"), ([variants], "give the FASTA after it")):
        command = [sys.executable, "-P", str(script), *map(str, given), *BENCH]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=without)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_the_model_benchmark_writes_the_shape_and_measures_it(tmp_path, run_job, monkeypatch):
    monkeypatch.setattr("raygen.model.random_checkpoint.evo1_8k_config", demo_config)  # which is that shape, but small
    sizes = ["--window", "300", "--right", "32", "--stride", "64", "--windows", "2", "--variants", "4"]
    done = run_job("benchmarks/bench_model.py", "--dtype", "float16", "--scratch", tmp_path, *sizes)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["agrees"] and said["loaded"]["dtype"] == "float16"
    assert said["whole_windows"]["tokens"] == 2 * 300
    assert said["fork"]["tokens"] < said["pair"]["tokens"] / 2
    assert said["whole_windows"]["share_of_peak"] > 0
    assert list(tmp_path.iterdir()) == []


def test_the_model_benchmark_takes_a_folder_and_names_an_unknown_shape(tmp_path, run_job):
    write_random_checkpoint(tmp_path / "model", demo_config(), seed=1)
    sizes = ["--window", "200", "--right", "32", "--stride", "64", "--windows", "1", "--variants", "2", "--skip-pair"]
    said = json.loads(
        run_job("benchmarks/bench_model.py", "--model", tmp_path / "model", "--dtype", "float32", *sizes).stdout
    )
    assert said["loaded"]["dtype"] == "float32" and "written" not in said and "pair" not in said
    done = run_job("benchmarks/bench_model.py", "--like", "evo-3")
    assert (done.returncode, done.stdout) == (2, "") and "no checkpoint evo-3" in done.stderr


@pytest.mark.slow  # seven processes, one after the other
@pytest.mark.parametrize("strands", ["one", "both"])
def test_the_benchmark_of_position_tables_finds_every_variant(tmp_path, strands):
    script, sizes = ROOT / "jobs/benchmarks/bench_positions.py", ["--bases", "20000", "--variants", "1000"]
    command = [sys.executable, str(script), *sizes, "--strands", strands, "--folder", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert (measured["bases"], measured["variants"]) == (20000, 1000)
    assert 14 < measured["bytes_a_base"] < (25 if strands == "one" else 50)
    assert measured["snvs_a_second_from_vcf"] > 0 and measured["ms_for_a_variant"] > 0
    assert list(tmp_path.iterdir()) == []


def test_the_questions_to_a_gpu_are_all_answered_by_a_small_model_too(tmp_path, run_job, monkeypatch):
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)  # of this process, for the tests after it
    done = run_job("benchmarks/gpu_questions.py", "--small", "--device", "cpu", "--scratch", tmp_path)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers["agrees"] and answers["loaded"]["why"] and answers["product_peak"]["tflops"] > 0
    for right, rows in ((16, 64), (128, 8), (512, 8)):
        branches, both = answers[f"branches_{right}"], answers[f"fork_and_pair_{right}"]
        assert (branches["rows"], branches["tokens"]) == (rows, rows * right)
        assert branches["share_of_peak"] > 0
        assert both["variants"] == 6 and both["fork_tokens"] < both["pair_tokens"]
    assert answers["wt"]["share_of_peak"] > 0 and done.stderr.count("\n") == 10
    assert list(tmp_path.iterdir()) == []


def test_the_ingest_job_is_the_command(tmp_path):
    bases = random_bases(90)
    variants, reference = vcf(tmp_path, snvs("1", bases, [5, 9])), fasta(tmp_path, {"1": bases})
    command = [sys.executable, ROOT / "jobs/ingest.py", variants, "--reference", reference, "--out", tmp_path / "in"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 alleles in = 2 variants + 0 rejected" in done.stdout


def test_the_scoring_job_returns_the_exit_code_of_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "jobs/score_variants.py", "none.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "No such settings file" in done.stderr
