"""``raygen doctor`` on a settings file: does the model know what the reference holds?"""

import pytest

from raygen import doctor
from raygen.doctor import examine


@pytest.fixture(autouse=True)
def only_the_reference(monkeypatch):
    """The machine is looked at in tests/cli; here no model is loaded and no Ray started."""
    for name in ("_versions", "_cache", "_memory", "_devices", "_ray"):
        monkeypatch.setattr(doctor, name, lambda: "not looked at here")
    monkeypatch.setattr(doctor, "try_model", lambda *_: "not looked at here")


@pytest.fixture
def human(tmp_path):
    """A FASTA that says by its index that it is chromosome 20 of GRCh38; of the bases nothing is read."""
    (tmp_path / "GRCh38.fa").write_text(">chr20\nACGT\n")
    (tmp_path / "GRCh38.fa.fai").write_text("chr20\t64444167\t7\t60\t61\n")
    return str(tmp_path / "GRCh38.fa")


@pytest.mark.parametrize(
    ("model", "warning", "words"),
    [
        ("togethercomputer/evo-1-8k-base", True, "was trained on bacteria, archaea"),
        ("demo", True, "on no human chromosome"),
        ("some/model-without-card", True, "what some/model-without-card was trained on is not known"),
        ("arcinstitute/evo2_7b_base", False, "was trained on eukaryotes; set input.domain to eukaryote"),
    ],
)
def test_a_model_that_saw_no_human_base_is_a_warning_on_a_human_reference(human, model, warning, words):
    finding = examine(model, "cpu", reference=human)[-1]
    assert (finding.check, finding.good, finding.warning, finding.exit_code) == ("reference", True, warning, 0)
    assert f"{human} is GRCh38" in finding.says and words in finding.says


def test_a_domain_that_is_declared_is_not_asked_for_again(human):
    assert examine("arcinstitute/evo2_7b_base", "cpu", reference=human, domain="eukaryote")[-1].says.endswith(
        "eukaryotes"
    )


def test_a_reference_that_is_not_human_is_no_warning(tmp_path):
    (tmp_path / "phage.fa").write_text(">phage\nACGT\n")
    finding = examine("togethercomputer/evo-1-8k-base", "cpu", reference=str(tmp_path / "phage.fa"))[-1]
    assert (finding.good, finding.warning) == (True, False) and "no chromosome" in finding.says


def test_without_a_reference_nothing_is_said_of_it():
    assert [finding.check for finding in examine("demo", "cpu")] == [
        *("versions", "cache", "memory", "devices", "ray", "model")
    ]


def test_a_reference_that_is_not_there_is_a_fault_of_the_input(tmp_path):
    finding = examine("demo", "cpu", reference=str(tmp_path / "nosuch.fa"))[-1]
    assert (finding.good, finding.exit_code) == (False, 3)
