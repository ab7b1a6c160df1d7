"""What ``raygen explain`` does, without its command line."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest

from raygen.classes.background import snv_contexts
from raygen.classes.background_file import write_background
from raygen.classes.class_rule import class_rule
from raygen.classes.contexts import ContextSums
from raygen.errors import InputError, SettingsError
from raygen.model.random_checkpoint import demo_config, write_random_checkpoint
from raygen.sequence.reference import open_reference
from raygen.tables.layout import RunFolder
from raygen.trials.explain_request import ExplainRequest, run_explanation, settings_of
from raygen.trials.explain_text import class_of, headline
from tests.builders import fasta, random_bases
from tests.ranked_folders import background_of, ranked_folder
from tests.run_folders import RUN, made_manifest, row

BASES = random_bases(400, 5)
VARIANT = f"1-200-{BASES[199]}-{'ACGT'['CGTA'.index(BASES[199])]}"
WINDOW = ["window.left=64", "window.right=32", "model.device=cpu"]


@pytest.fixture
def given(tmp_path):
    return {"input.reference": str(fasta(tmp_path, {"1": BASES})), "model.name": None}


def like_a_run(folder, **resolved):
    """A folder whose latest run had these values."""
    manifest = made_manifest(0, (), {"fingerprint": "0" * 16})
    manifest["settings"] |= {"model": {"dtype": "float32"}, "input": {"domain": "mitochondrion"}}
    manifest["resolved"] |= {
        "reference": "run.fa",
        "circular": ["MT"],
        "strand": "both",
        "model_source": "demo",
        "revision": None,
        "window": {"left": 64, "right": 32, "anchor": "variant", "stride": None},
        **resolved,
    }
    RunFolder(str(folder)).write_manifest(RUN, manifest)
    return str(folder)


def test_what_comes_out_is_the_variant_its_cuts_and_what_computed_it(given):
    said = []
    done = run_explanation(ExplainRequest(VARIANT, [*WINDOW, "classes.cuts=[-9,-8,-7,9]"], given), say=said.append)
    assert done.explanation.variant_id == VARIANT
    assert done.cuts == (-9, -8, -7, 9)
    assert done.about.startswith("model demo, window 64+32 bases, strand forward, fingerprint ")
    assert said[0] == done.about
    assert said[1].startswith("warning: the model is demo")


def test_a_model_on_another_filesystem_is_fetched_and_called_by_its_uri(tmp_path, given):
    write_random_checkpoint(tmp_path / "model", demo_config(), seed=1)
    uri = f"file://{tmp_path}/model"
    here, there = (
        run_explanation(ExplainRequest(VARIANT, WINDOW, {**given, "model.name": name}), say=lambda line: None)
        for name in (str(tmp_path / "model"), uri)
    )
    assert there.about == here.about.replace(str(tmp_path / "model"), uri)


def test_settings_of_a_run_hold_where_the_user_gave_none(tmp_path):
    out = like_a_run(tmp_path / "out")
    given = {"input.reference": "mine.fa", "model.name": None}
    settings, stored = settings_of(ExplainRequest(VARIANT, ["window.right=16"], given, out))
    assert (settings.input.reference, settings.model.name, settings.input.circular) == ("mine.fa", "demo", ["MT"])
    assert (settings.window.left, settings.window.right, settings.window.strand) == (64, 16, "both")
    assert stored == "0" * 16


def test_scores_of_another_fingerprint_are_warned_of(tmp_path, given):
    out, said = like_a_run(tmp_path / "out", circular=[]), []
    run_explanation(ExplainRequest(VARIANT, ["model.device=cpu"], given, out), say=said.append)
    assert said[1:] == [
        f"warning: the scores of {out} have the fingerprint {'0' * 16}, so theirs may differ from what is shown here."
    ]


def test_what_cannot_be_explained_is_refused(tmp_path, given):
    with pytest.raises(SettingsError, match="give --reference, or --like a run"):
        run_explanation(ExplainRequest(VARIANT))
    with pytest.raises(SettingsError, match="scored pairs of sequences, which have no variant to explain"):
        settings_of(ExplainRequest(VARIANT, like=like_a_run(tmp_path / "pairs", window=None)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there is no folder of a run"):
        settings_of(ExplainRequest(VARIANT, like=str(tmp_path / "empty")))


def test_classes_that_are_cut_on_ranks_or_contexts_need_the_background(tmp_path, given):
    """A change whose context makes -50 nats likely is no harmful one on delta_context."""
    said = []
    plain = run_explanation(ExplainRequest(VARIANT, WINDOW, given), say=said.append)
    own = said[0].rsplit(" ", 1)[1]
    delta, alleles = plain.explanation.delta, plain.explanation.alleles
    snv = alleles.filter(pa.compute.equal(alleles["variant_id"], VARIANT))
    codes = snv_contexts(snv, lambda chrom: np.frombuffer(BASES.encode(), np.uint8))
    facts = {"fingerprint": own, "reference_digest": open_reference(given["input.reference"]).digest}
    background = replace(
        background_of([delta, 1.0, 2.0, 3.0], **facts), contexts=ContextSums.of(codes, np.array([-50.0]))
    )
    write_background(background, tmp_path / "b.zip")
    on = [f"classes.background={tmp_path / 'b.zip'}", "classes.cuts=[1,2,5,6]"]
    ranked = run_explanation(ExplainRequest(VARIANT, [*WINDOW, *on, "classes.on=phred"], given), say=said.append)
    assert ranked.cuts == background.cuts_of_phred((1, 2, 5, 6))
    assert headline(ranked.explanation, ranked.cuts).endswith("nats: pathogenic")  # the lowest of four: PHRED 6.02
    in_nats = [on[0], "classes.on=delta_context"]
    done = run_explanation(ExplainRequest(VARIANT, [*WINDOW, *in_nats], given), say=said.append)
    assert done.explanation.expected[VARIANT] == pytest.approx(-50)
    assert headline(done.explanation, done.cuts).endswith(f", delta_context {delta + 50:+.2f}: gain of function")
    assert class_of(done.explanation, "an indel", -8.0, done.cuts) == "pathogenic"
    with pytest.raises(SettingsError, match="background of the fingerprint"):
        run_explanation(ExplainRequest(VARIANT, [*WINDOW, "window.left=63", *in_nats], given), say=said.append)


def test_no_class_is_shown_like_scores_whose_contexts_are_not_at_hand(tmp_path, given):
    rule = class_rule((-7, -3, -1, 1), "delta_context", background_of([-1.0], {11: -1.0}))
    out, said = ranked_folder(tmp_path, [row("1", 11, "G", "A", -1.0)], rule), []
    like_a_run(out, circular=[])
    done = run_explanation(ExplainRequest(VARIANT, ["model.device=cpu"], given, out), say=said.append)
    assert done.cuts is None and "none are shown" in said[-1]
    assert headline(done.explanation, done.cuts).endswith(")")
    assert class_of(done.explanation, VARIANT, -8.0, None) == ""
