"""The examples of jobs/examples run as they are, on what ships with the package, without a network and without Ray."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "jobs/examples").glob("*.py"))


def run(name: str, folder: Path, *arguments: str) -> str:
    [script] = [path for path in EXAMPLES if path.stem == name]
    command = [sys.executable, str(script), *arguments]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_vcf_is_scored_and_plotted(tmp_path):
    printed = run("score_and_plot", tmp_path, "plot.html")
    assert "delta_llr" in printed and "pathogenic" in printed
    page = (tmp_path / "plot.html").read_text()
    assert "225 SNVs of MT-TL1" in page and page.count('"delta_llr"') > 200


def test_two_models_are_compared_by_what_they_tell_apart(tmp_path):
    lines = run("compare_models", tmp_path).splitlines()
    rows = [[word for word in line.split() if word not in "│┆"] for line in lines if line.startswith("│ ")]
    medians = {
        row[0]: (float(row[2]), float(row[3])) for row in rows if row[0] in ("stop_gained", "synonymous_variant")
    }
    (stop, random_stop), (synonymous, random_synonymous) = medians["stop_gained"], medians["synonymous_variant"]
    assert stop < synonymous - 5 and abs(random_stop - random_synonymous) < 2
    assert lines[-1].startswith("rank correlation of the two models: ")


def test_a_variant_is_looked_into(tmp_path):
    printed = run("look_into_a_variant", tmp_path)
    assert printed.startswith("MT-3243-A-G: delta_llr -")
    assert {"MT-3243-A-C", "MT-3243-A-T"} <= set(printed.split())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_teaches(path):
    text = path.read_text()
    assert len(text.splitlines()) < 40
    assert "You learn: " in text.split('"""')[1]
