"""``raygen precision-noise`` as a user types it."""

import json

import pytest
import yaml

from raygen.settings import load_settings
from raygen.trials.half_precision import measure_half_precision, noise_as_json
from tests.builders import fasta, random_bases, snvs, vcf
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)

BASES = random_bases(300)
SHORT = ["--set", "window.left=16", "--set", "window.right=16", "--set", "model.device=cpu", "--sample", "6"]


@pytest.fixture
def inputs(tmp_path):
    return {
        "variants": str(vcf(tmp_path, snvs("1", BASES, range(20, 60, 4)))),
        "reference": str(fasta(tmp_path, {"1": BASES})),
    }


def test_the_noise_of_half_precision_is_measured_on_a_users_variants(raygen, inputs):  # noqa: F811
    given = ["--variants", inputs["variants"], "--reference", inputs["reference"]]
    code, out, err = raygen("precision-noise", *given, *SHORT)
    assert (code, err) == (0, "")
    *table, line = out.splitlines()
    assert [row.split()[0] for row in table] == ["mode", "bfloat16", "float16"]
    printed = json.loads(line)
    measured = {noise["mode"]: noise for noise in printed["noise"]}
    assert all(noise["num_variants"] == 6 and noise["num_lost"] == 0 for noise in measured.values())
    assert 0 < measured["float16"]["rms"] < measured["bfloat16"]["rms"] < 1
    assert (printed["model"], printed["sample"], printed["seed"], printed["method"]) == ("demo", 6, 0, "fork")
    assert printed["window"]["left"] == 16


def test_a_settings_file_says_it_all_and_modes_may_be_chosen(raygen, inputs, tmp_path):  # noqa: F811
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({"input": inputs, "output": {"path": "unused"}}))
    code, out, _ = raygen("precision-noise", config, *SHORT, "--modes", "float16")
    assert code == 0
    assert [noise["mode"] for noise in json.loads(out.splitlines()[-1])["noise"]] == ["float16"]
    assert not (tmp_path / "unused").exists()


def test_what_cannot_be_used_is_refused_in_words(raygen, inputs):  # noqa: F811
    given = ["--variants", inputs["variants"], "--reference", inputs["reference"], *SHORT]
    code, _, err = raygen("precision-noise", *given, "--modes", "float8")
    assert (code, "model.dtype is 'float8'" in err) == (2, True)
    code, _, err = raygen("precision-noise", *given, "--model", "evvo")
    assert (code, "model.name is 'evvo'" in err) == (2, True)


def test_another_seed_draws_other_variants(inputs):
    chosen = {"input.variants": [inputs["variants"]], "input.reference": inputs["reference"], "output.path": "unused"}
    chosen |= {"window.left": 16, "window.right": 16, "model.device": "cpu"}
    settings = load_settings(None, given=chosen)
    noises = [
        noise_as_json(measure_half_precision(settings, ["float16"], 3, seed, say=print), settings, seed)["noise"]
        for seed in (0, 1)
    ]
    assert noises[0] != noises[1]


def test_inputs_on_another_filesystem_are_fetched_and_what_ingest_warns_of_is_said(raygen, inputs, tmp_path):  # noqa: F811
    path = vcf(tmp_path, [*snvs("1", BASES, range(20, 60, 4)), "decoy 5 . A C"], contigs=["1", "decoy"])
    given = ["--variants", f"file://{path}", "--reference", f"file://{inputs['reference']}"]
    code, _, err = raygen("precision-noise", *given, *SHORT, "--modes", "float16")
    assert (code, err) == (0, "warning: reference.fa does not have the contigs of 1 alleles: decoy (1).\n")
