"""What stands in jobs/ and configs/ works as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from raygen.settings import load_settings
from tests.builders import fasta, random_bases, snvs, vcf

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "configs/runs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_run_configuration_loads(path):
    load_settings(str(path))


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


def test_the_noise_of_half_precision_is_measured_on_a_users_variants(tmp_path):
    bases = random_bases(300)
    variants, reference = vcf(tmp_path, snvs("1", bases, range(20, 60, 4))), fasta(tmp_path, {"1": bases})
    command = [sys.executable, ROOT / "jobs/precision_noise.py", "--variants", variants, "--reference", reference]
    flags = ["--set", "window.left=16", "--set", "window.right=16", "--set", "model.device=cpu", "--sample", "6"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=True)
    *table, line = done.stdout.splitlines()
    assert [row.split()[0] for row in table] == ["mode", "bfloat16", "float16"]
    measured = {noise["mode"]: noise for noise in json.loads(line)["noise"]}
    assert all(noise["num_variants"] == 6 and noise["num_lost"] == 0 for noise in measured.values())
    assert 0 < measured["float16"]["rms"] < measured["bfloat16"]["rms"] < 1
