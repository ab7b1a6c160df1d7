"""``raygen precision-noise`` as a user types it."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from raygen.model.random_checkpoint import demo_config, write_random_checkpoint
from raygen.settings import load_settings
from raygen.trials.half_precision import measure_half_precision, noise_as_json
from tests.builders import fasta, random_bases, snvs, vcf
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)
from tests.object_storage import BUCKET, s3_server

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
    assert (code, err) == (
        0,
        "warning: reference.fa does not have the contigs of 1 alleles: decoy (1).\n1 of 11 alleles left out: 1 unknown_contig\n",
    )


def pairs(folder, rows, name="pairs.parquet"):
    """A Parquet of pairs: ``rows`` are (pair_id, WT, MUT), each of which may be None."""
    columns = dict(zip(("pair_id", "wt_sequence", "mut_sequence"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), folder / name)
    return str(folder / name)


def test_pairs_that_cannot_be_scored_are_left_out_and_counted(raygen, tmp_path):  # noqa: F811
    rows = [("1", "ACGTACGT", "ACGAACGT"), ("long", "A" * 5000, "C"), ("null", None, "ACGT"), ("2", "ACGTAA", "ACGTAC")]
    chosen = ["--set", f"input.pairs=[{pairs(tmp_path, rows)}]", "--set", "model.device=cpu", "--modes", "float16"]
    code, out, err = raygen("precision-noise", *chosen)
    assert (code, err) == (0, "2 of 4 pairs left out: 1 out_of_bounds, 1 malformed_record\n")
    assert json.loads(out.splitlines()[-1])["sample"] == 2
    nothing = ["--set", f"input.pairs=[{pairs(tmp_path, rows[1:3])}]", "--set", "model.device=cpu"]
    code, _, err = raygen("precision-noise", *nothing)
    assert (code, "No row of the input can be scored" in err) == (3, True), err


def test_what_holds_no_pairs_is_named(raygen, tmp_path):  # noqa: F811
    (tmp_path / "pairs.csv").write_text("pair_id,wt_sequence,mut_sequence\n1,ACGT,ACGA\n")
    code, _, err = raygen("precision-noise", "--set", f"input.pairs=[{tmp_path}/pairs.csv]")
    assert (code, "pairs.csv cannot be read as Parquet" in err) == (3, True), err


def test_a_nights_settings_are_of_the_variants_given_or_of_the_landing_folder(raygen, inputs, tmp_path):  # noqa: F811
    (tmp_path / "land").mkdir()
    vcf(tmp_path / "land", snvs("1", BASES, range(100, 103)))
    night = {"landing": {"folder": str(tmp_path / "land")}, "output": {"path": "unused"}}
    config = tmp_path / "nightly.yaml"
    config.write_text(yaml.safe_dump({"input": {"reference": inputs["reference"]}, **night}))
    chosen = [*SHORT, "--modes", "float16"]
    code, out, err = raygen("precision-noise", config, "--variants", inputs["variants"], *chosen)
    assert (code, err, json.loads(out.splitlines()[-1])["sample"]) == (0, "", 6)
    code, out, err = raygen("precision-noise", config, *chosen)
    assert (code, json.loads(out.splitlines()[-1])["sample"]) == (0, 3), err
    assert err.startswith("The sample is of all that lies in landing.folder")


def test_what_lies_on_object_storage_is_fetched(raygen, inputs, tmp_path):  # noqa: F811
    write_random_checkpoint(tmp_path / "model", demo_config(), seed=1)
    with s3_server() as server:
        variants, reference = (
            server.put(Path(inputs[name]).name, Path(inputs[name]).read_bytes()) for name in ("variants", "reference")
        )
        for file in (tmp_path / "model").iterdir():
            server.put(f"model/{file.name}", file.read_bytes())
        given = ["--variants", variants, "--reference", reference, "--model", server.uri("model")]
        code, out, err = raygen("precision-noise", *given, *SHORT, "--modes", "float16")
    assert (code, err) == (0, "")
    printed = json.loads(out.splitlines()[-1])
    assert (printed["sample"], printed["model"]) == (6, f"s3://{BUCKET}/model")


def test_alleles_as_long_as_the_settings_take_are_scored(raygen, tmp_path):  # noqa: F811
    bases = random_bases(3000)
    records = [*snvs("1", bases, [10]), f"1 500 . {bases[499:1700]} {bases[499]}"]
    given = ["--variants", vcf(tmp_path, records), "--reference", fasta(tmp_path, {"1": bases})]
    longer = ["--set", "input.max_allele_length=1500", "--set", "model.device=cpu", "--modes", "float16"]
    code, out, err = raygen("precision-noise", *given, *longer)
    assert (code, err) == (0, "")
    (noise,) = json.loads(out.splitlines()[-1])["noise"]
    assert (noise["num_variants"], noise["num_lost"]) == (2, 0)


def test_an_unknown_mode_is_refused_before_the_input_is_read(raygen, inputs, tmp_path):  # noqa: F811
    (tmp_path / "broken.vcf").write_text("no VCF\n")
    given = ["--variants", tmp_path / "broken.vcf", "--reference", inputs["reference"], *SHORT]
    code, _, err = raygen("precision-noise", *given, "--modes", "float8")
    assert (code, "'float8'" in err) == (2, True), err
