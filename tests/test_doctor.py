"""``raygen doctor`` on a settings file: does the model know what the reference holds?"""

import pytest

from raygen import doctor
from raygen.doctor import examine, suits


@pytest.fixture(autouse=True)
def only_the_reference(monkeypatch):
    """The machine is looked at in tests/cli; here no model is loaded and no Ray started."""
    for name in ("_versions", "_cache", "_memory", "_devices", "_ray"):
        monkeypatch.setattr(doctor, name, lambda: "not looked at here")
    monkeypatch.setattr(doctor, "try_model", lambda *_: "not looked at here")


HUMAN = {"chr20": 64_444_167}
"""Lengths of a reference that holds chromosome 20 of GRCh38."""


@pytest.mark.parametrize(
    ("model", "warning", "words"),
    [
        ("togethercomputer/evo-1-8k-base", True, "was trained on bacteria, archaea"),
        ("demo", True, "on no human chromosome"),
        ("some/model-without-card", True, "what some/model-without-card was trained on is not known"),
        ("arcinstitute/evo2_7b_base", False, "was trained on eukaryotes; set input.domain to eukaryote"),
    ],
)
def test_a_model_that_saw_no_human_base_is_a_warning_on_a_human_reference(model, warning, words):
    finding = suits(model, "hg38.fa", HUMAN)
    assert (finding.check, finding.good, finding.warning, finding.exit_code) == ("reference", True, warning, 0)
    assert "hg38.fa is GRCh38" in finding.says and words in finding.says


def test_a_domain_that_is_declared_is_not_asked_for_again():
    assert suits("arcinstitute/evo2_7b_base", "hg38.fa", HUMAN, domain="eukaryote").says.endswith("eukaryotes")


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


def test_an_index_of_another_fasta_decides_nothing(tmp_path):
    (tmp_path / "phage.fa").write_text(">phage\nACGT\n")
    (tmp_path / "phage.fa.fai").write_text("chr20\t64444167\t7\t60\t61\n")
    finding = examine("demo", "cpu", reference=str(tmp_path / "phage.fa"))[-1]
    assert finding.good and "no chromosome" in finding.says


def test_a_reference_of_which_only_the_index_is_there_is_a_fault(tmp_path):
    (tmp_path / "gone.fa.fai").write_text("chr20\t64444167\t7\t60\t61\n")
    finding = examine("demo", "cpu", reference=str(tmp_path / "gone.fa"))[-1]
    assert (finding.good, finding.exit_code) == (False, 3) and "No such reference" in finding.says


def test_an_index_that_cannot_be_read_is_no_fault_of_the_reference(tmp_path):
    (tmp_path / "phage.fa").write_text(">phage\nACGT\n")
    (tmp_path / "phage.fa.fai").symlink_to("/proc/self/mem")  # an input/output error, for root too
    assert examine("demo", "cpu", reference=str(tmp_path / "phage.fa"))[-1].good
