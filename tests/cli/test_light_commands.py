"""What reads scores or plans a run works where neither ray nor torch nor transformers is installed: each command in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raygen.model.random_checkpoint import demo_config, write_random_checkpoint
from tests.builders import fasta, random_bases, snvs, vcf
from tests.evaluation.embedded_rows import embedded_folder
from tests.finished_runs import finished_run
from tests.model.models import small_evo2_config
from tests.run_folders import row, run_folder

BASES = random_bases(400, 5)
WITHOUT = """
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())  # not None in sys.modules: scipy takes attributes of what is there under torch's name
from raygen.cli import main
main()
"""


def raygen(folder: Path, *arguments: object) -> str:
    """What a command prints, where it works."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "RAYGEN_CACHE": str(folder / "cache"), "COLUMNS": "120"}
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_fresh_process_has_no_torch(tmp_path):
    program = WITHOUT.replace("from raygen.cli import main\nmain()", "import torch")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "No module named 'torch'" in done.stderr


@pytest.fixture
def planned(tmp_path):
    """The options of a plan: eight SNVs of a contig of 400 bases."""
    variants = vcf(tmp_path, snvs("1", BASES, range(100, 260, 20)))
    return ["--variants", variants, "--reference", fasta(tmp_path, {"1": BASES}), "--set", "window.left=64"]


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        ("demo", ["5.6 MB of weights", "for each window that is open", "hours: not known for a model this small"]),
        ("togethercomputer/evo-1-8k-base", ["12.9 GB of weights", "without the model's config.json", "NVIDIA H100"]),
        ("arcinstitute/evo2_7b_base", ["13.0 GB of weights", "for each window that is open", "NVIDIA H100"]),
    ],
)
def test_a_plan_of_a_known_model(tmp_path, planned, model, lines):
    printed = raygen(tmp_path, "plan", *planned, "--model", model)
    assert "8 variants, window 64+" in printed
    assert all(line in printed for line in lines)


@pytest.mark.parametrize(("config", "size"), [(demo_config(), "0.5 MB"), (small_evo2_config(), "0.1 MB")])
def test_a_plan_of_a_checkpoint_folder(tmp_path, planned, config, size):
    write_random_checkpoint(tmp_path / "model", config, seed=1)
    printed = raygen(tmp_path, "plan", *planned, "--model", tmp_path / "model")
    assert "8 variants, window 64+" in printed
    assert f"{size} of weights in half precision" in printed


@pytest.fixture
def scores(tmp_path):
    """A finished run of thirty SNVs with labels, the later ones pathogenic and lower."""
    reference = fasta(tmp_path, {"1": "A" * 400}, "scored.fa")
    return run_of(tmp_path / "out", {pos: -pos / 5 for pos in range(1, 31)}, reference)


def run_of(folder: Path, deltas: dict[int, float], reference: Path) -> str:
    """A run of the SNVs A>C at these positions of contig 1."""
    names = {pos: f"1-{pos}-A-C" for pos in deltas}
    labels = {name: "Pathogenic" if pos > 15 else "Benign" for pos, name in names.items()}
    scored = {names[pos]: delta for pos, delta in deltas.items()}
    return finished_run(folder, scored, reference=reference, columns={"CLNSIG": labels})


def test_query(tmp_path, scores):
    printed = raygen(tmp_path, "query", scores, "1-10-A-C")
    assert "1-10-A-C" in printed and "-2.00" in printed


def test_export(tmp_path, scores):
    printed = raygen(tmp_path, "export", scores, "--to", "scored.vcf.gz")
    assert "scored.vcf.gz" in printed
    assert (tmp_path / "scored.vcf.gz.tbi").is_file()


def test_diff(tmp_path, scores):
    new = run_of(tmp_path / "new", {pos: -pos / 4 for pos in range(1, 31)}, tmp_path / "scored.fa")
    printed = raygen(tmp_path, "diff", scores, new, "--page", "diff.html", "--out", "changes.parquet")
    assert "changed" in printed
    assert (tmp_path / "diff.html").is_file() and (tmp_path / "changes.parquet").is_file()


def test_evaluate(tmp_path, scores):
    options = ["--label-column", "CLNSIG", "--bootstrap", 50, "--page", "evaluation.html"]
    printed = raygen(tmp_path, "evaluate", "--scores", scores, *options)
    assert "positive (15 with a score): Pathogenic" in printed
    assert (tmp_path / "evaluation.html").is_file()


def test_report(tmp_path):
    run = run_folder(tmp_path, [row("1", pos, "A", "C", -pos / 5) for pos in range(1, 31)])
    printed = raygen(tmp_path, "report", run)
    assert printed.startswith("report: ")
    assert "30" in Path(printed.removeprefix("report: ").strip()).read_text()


def test_a_head_is_trained_shown_and_applied_to_stored_states(tmp_path):
    folder, labels = embedded_folder(tmp_path), ["--label-column", "label", "--positive", "P", "--negative", "B"]
    out = raygen(tmp_path, "head", "train", "--scores", folder, *labels, "--bootstrap", 20, "--out", "h")
    assert "its column will be head_h" in out
    assert "The head is better than zero-shot" in raygen(tmp_path, "head", "show", "h")
    assert "columns of heads: head_h" in raygen(tmp_path, "reclassify", folder, "--heads", "h", "--out", "new")
