"""`raygen background` and the ranks that `reclassify` gives, as a user types them."""

import pytest

from tests.builders import fasta, random_bases
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)
from tests.finished_runs import finished_run

BASES = random_bases(400, 5)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A reference and a finished run of SNVs with an effect, in the working folder."""
    monkeypatch.chdir(tmp_path)
    reference = fasta(tmp_path, {"1": BASES})
    deltas = {f"1-{pos}-{BASES[pos - 1]}-{'C' if BASES[pos - 1] != 'C' else 'G'}": -pos / 10 for pos in range(20, 120)}
    effects = {name: "synonymous" if -delta < 5 else "missense" for name, delta in deltas.items()}
    finished_run(tmp_path / "run", deltas, reference=reference, columns={"effect": effects}, shard_rows=60)
    return tmp_path


def test_a_background_is_made_and_ranks_a_run(raygen, folders):  # noqa: F811
    code, out, _ = raygen("background", "run", "--by", "effect", "--neutral", "effect=synonymous", "--out", "b.zip")
    assert code == 0
    assert "SNV, missense" in out
    assert "PHRED reaches 20.0" in out
    assert "contexts learnt from 30 changes, effect=synonymous" in out
    code, out, _ = raygen("reclassify", "run", "--background", "b.zip", "--out", "ranked")
    assert (code, "0 of 100 rows changed class" in out) == (0, True)
    code, out, _ = raygen("query", "ranked", f"1-119-{BASES[118]}-{'C' if BASES[118] != 'C' else 'G'}")
    assert (code, "SNV, missense" in out, "20.0" in out) == (0, True, True)
    options = ["--background", "b.zip", "--cuts", "0,5,10,15", "--on", "phred", "--out", "cut"]
    code, out, _ = raygen("reclassify", "run", *options)
    assert code == 0
    code, out, _ = raygen("verify", "cut")
    assert code == 0


@pytest.mark.parametrize(
    ("command", "expected", "said"),
    [
        (["background", "--out", "b.zip"], 2, "Name position tables or folders of finished runs"),
        (["background", "nothing", "--out", "b.zip"], 3, "No such folder: nothing"),
        (["background", "run", "--out", "no/b.zip"], 2, "there is no folder"),
        (["background", "run", "--model", "demo", "--out", "b.zip"], 2, "for --sample alone"),
        (["background", "run", "other", "--sample", "3", "--out", "b.zip"], 2, "one settings file"),
        (["background", "--sample", "3", "--out", "b.zip"], 2, "give --reference FASTA"),
        (["background", "reference.fa", "--out", "b.zip"], 3, "is no background of `raygen background`"),
        (["background", "--sample", "3", "--by", "effect", "--out", "b.zip"], 2, "has no columns of its own"),
        (
            ["background", "--sample", "3", "--reference", "reference.fa", "--kinds", "odd.bed", "--out", "b.zip"],
            3,
            "odd.bed: no such file",
        ),
        (["reclassify", "run", "--out", "x"], 2, "Give --cuts or --calibration, or --background"),
        (
            ["reclassify", "run", "--background", "reference.fa", "--out", "x"],
            3,
            "is no background of `raygen background`",
        ),
        (["reclassify", "run", "--cuts=0,1,2,3", "--on", "phred", "--out", "x"], 2, "--on phred needs --background"),
        (
            ["reclassify", "run", "--background", "b", "--cuts=-1,1,2,3", "--on", "phred", "--out", "x"],
            2,
            "PHRED is never below 0",
        ),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_what_is_wrong_is_said(raygen, folders, command, expected, said):  # noqa: F811
    code, _, err = raygen(*command)
    assert code == expected, err
    assert said in " ".join(err.split())


def test_a_settings_file_may_say_on(raygen, folders):  # noqa: F811
    """YAML 1.1 reads the key as the truth value."""
    settings = "input: {variants: v, reference: r}\noutput: {path: o}\nclasses:\n  background: b.zip\n  on: phred\n  cuts: [0, 10, 20, 30]\n"
    (folders / "run.yaml").write_text(settings)
    code, out, err = raygen("config", "show", "run.yaml")
    assert code == 0, err
    (folders / "shown.yaml").write_text(out)
    code, again, err = raygen("config", "show", "shown.yaml")
    assert (code, again) == (0, out), err
    (folders / "run.yaml").write_text(settings.replace("phred", "sometimes"))
    code, _, err = raygen("config", "check", "--no-files", "run.yaml")
    assert (code, "classes.on" in err) == (2, True)


def test_groups_are_printed_as_they_are_called(raygen, folders):  # noqa: F811
    (folders / "kinds.bed").write_text("1\t0\t70\t[/x]\n")
    code, out, err = raygen("background", "run", "--kinds", "kinds.bed", "--out", "b.zip")
    assert (code, "SNV, [/x]" in out) == (0, True), err


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_sample_of_the_reference_is_drawn_scored_and_counted(raygen, folders):  # noqa: F811
    window = ["--set", "window.left=32", "--set", "window.right=32", "--set", "model.device=cpu"]
    given = ["--sample", "40", "--reference", "reference.fa", "--neutral", "all", "--out", "s.zip", *window]
    code, out, err = raygen("background", *given)
    assert code == 0, err
    assert "from s.zip.sample: 40 scores" in out
    assert (folders / "s.zip.sample" / "scores").is_dir()
    code, again, _ = raygen("background", *given)
    assert code == 0
    assert "Nothing is left to score" in again
    assert out.splitlines()[-1] == again.splitlines()[-1], "the same seed gives the same background"
