import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from raygen.classes.head import HEAD_PREFIX, apply_head, site_digests
from raygen.classes.head_file import write_head
from raygen.classes.stored_states import pooled_states
from raygen.errors import InputError, SettingsError
from raygen.evaluation.beside import CONSEQUENCE, POSITION
from raygen.evaluation.head_fit import HEAD, TOGETHER, ZERO_SHOT, TrainPlan, train_head
from raygen.evaluation.head_rows import StateChoice
from tests.evaluation.embedded_rows import LAYER, POOL, embedded_folder, request_of

QUICK = {"replicates": 50}


def trained(folder, **plan):
    return train_head(request_of(folder), TrainPlan(**(QUICK | plan)))


def test_states_that_tell_labels_make_a_head_that_is_better_than_zero_shot(tmp_path):
    facts = trained(embedded_folder(tmp_path)).facts
    areas = facts.result.areas
    assert list(areas) == [HEAD, ZERO_SHOT, POSITION, TOGETHER]
    assert areas[HEAD].auroc > 0.95 > areas[ZERO_SHOT].auroc > 0.55
    assert areas[ZERO_SHOT].difference_interval[1] < 0
    assert areas[TOGETHER].auroc > areas[HEAD].auroc - 0.01
    assert abs(areas[POSITION].auroc - 0.5) < 0.1, "labels were drawn without regard to position"
    assert facts.verdict[0].startswith("The head is better than zero-shot on these rows: AUROC 0.9")
    assert (facts.folds.level, facts.folds.groups, facts.folds.num_folds) == ("gene", "12 genes", 5)
    assert facts.result.num_groups == 12
    assert facts.labels.num_positive + facts.labels.num_negative == 360


def test_embeddings_that_a_killed_run_left_are_not_read(tmp_path):
    folder = embedded_folder(tmp_path)
    before = trained(folder).facts
    committed = next((tmp_path / "out/embeddings").glob("*/*.parquet"))
    shutil.copy(committed, committed.with_name("part-left.parquet"))
    assert trained(folder).facts == before


def test_states_that_tell_nothing_make_a_head_that_is_not_better_and_says_so(tmp_path):
    facts = trained(embedded_folder(tmp_path, strength=0, zero_shot=1.0)).facts
    assert facts.result.areas[HEAD].auroc < 0.6
    assert facts.verdict[0].startswith("The head is worse than zero-shot on these rows")
    assert facts.verdict[1].startswith("The head is not better than position alone on these rows")
    assert facts.penalty >= 1


def test_the_head_that_is_kept_gives_stored_states_the_log_odds_it_was_fitted_to(tmp_path):
    folder = embedded_folder(tmp_path)
    result = trained(folder, states=StateChoice(strand_use="concat"))
    numbers = result.numbers
    head = write_head(
        tmp_path / "head",
        result.facts,
        numbers.centre,
        numbers.scale,
        numbers.weight,
        numbers.intercept,
        result.training_sites,
    )
    parts = [pq.ParquetFile(file).read() for file in sorted((tmp_path / "out/embeddings").glob("*/*.parquet"))]
    log_odds = []
    for part in parts:
        by_strand = pooled_states(part, [(LAYER, POOL)], head.facts.inputs.strands)
        ref, delta = ({s: getattr(p, kind)[LAYER, POOL] for s, p in by_strand.items()} for kind in ("ref", "delta"))
        log_odds.append(apply_head(head, ref, delta))
    positive = result.labelled.frame["positive"].to_numpy()
    together = np.concatenate(log_odds)
    assert roc_auc_score(positive, together) > 0.98
    assert (1 / (1 + np.exp(-together))).mean() == pytest.approx(positive.mean(), abs=1e-3), (
        "the intercept is not held back"
    )


def test_training_is_the_same_for_the_same_seed(tmp_path):
    folder = embedded_folder(tmp_path)
    first, second, other = trained(folder), trained(folder), trained(folder, seed=1)
    assert first.facts == second.facts
    assert np.array_equal(first.numbers.weight, second.numbers.weight)
    assert first.facts.result != other.facts.result


def test_no_allele_of_a_site_is_apart_from_the_others_in_folds_of_random_rows(tmp_path):
    """The state is noise that both alleles of a site share, and so is the label: rows drawn one by one would tell it."""
    folder = embedded_folder(tmp_path, strength=0, label=np.repeat(np.random.default_rng(5).choice(["P", "B"], 180), 2))
    for file in (tmp_path / "out/embeddings").glob("*/*.parquet"):
        table = pq.ParquetFile(file).read()
        for number, name in enumerate(table.column_names):
            if name.startswith(("ref_", "delta_")):
                values = table[name].to_pylist()
                values = [values[place // 2 * 2] for place in range(len(values))]
                table = table.set_column(number, name, [values])
        pq.write_table(table.cast(pq.ParquetFile(file).schema_arrow), file)
    facts = trained(folder, random_rows=True).facts
    assert abs(facts.result.areas[HEAD].auroc - 0.5) < 0.12
    assert (facts.folds.level, facts.folds.random_rows) == ("site", True)
    assert facts.verdict[-1].startswith("Folds are of random rows, as asked for")


def test_folds_of_random_rows_are_refused_unless_asked_for(tmp_path):
    folder = embedded_folder(tmp_path, gene=["."] * 360)
    words = (
        "Nothing but sites can be kept whole in folds .*--random-rows, which the head then says wherever it is shown"
    )
    with pytest.raises(SettingsError, match=words):
        trained(folder)
    with pytest.raises(SettingsError, match="Nothing but sites"):
        trained(folder, cluster="site")
    assert trained(folder, random_rows=True).facts.folds.random_rows
    with pytest.raises(SettingsError, match="--random-rows and --cluster gene are two kinds of folds"):
        trained(folder, random_rows=True, cluster="gene")


def test_labels_of_one_class_are_refused(tmp_path):
    """The one benign variant has no states."""
    folder = embedded_folder(tmp_path, label=["B"] + ["P"] * 359, missing=[0])
    with pytest.raises(
        InputError, match="All 359 labelled variants with states are positive: a head learns what tells two labels"
    ):
        trained(folder)


def test_one_group_only_is_refused(tmp_path):
    folder = embedded_folder(tmp_path)
    words = r"no fold can be left out: all in one chromosome \(1 chromosome\), which no fold may part. Take labels from more"
    with pytest.raises(InputError, match=words):
        trained(folder, cluster="chromosome")


def test_a_label_in_one_gene_is_refused(tmp_path):
    label = np.where(np.arange(360) < 20, "P", "B")
    with pytest.raises(InputError, match="positives in one gene"):
        trained(embedded_folder(tmp_path, label=label), cluster="gene")


def test_a_label_in_two_genes_leaves_none_to_choose_the_penalty_by(tmp_path):
    label = np.where((np.arange(360) % 30 < 10) & (np.arange(360) < 60), "P", "B")
    with pytest.raises(InputError, match="With a fold left out, positives in one gene: no penalty could be chosen"):
        trained(embedded_folder(tmp_path, label=label), cluster="gene")


def test_rows_without_states_train_nothing_and_are_counted(tmp_path):
    result = trained(embedded_folder(tmp_path, missing=[3, 4, 200]))
    assert len(result.labelled.frame) == 357
    assert "3 labelled variants with a score had no states, and trained nothing." in result.facts.remarks


def test_consequence_alone_and_areas_under_each_stand_beside_the_head(tmp_path):
    generator = np.random.default_rng(2)
    consequence = generator.choice(["missense_variant", "synonymous_variant", "rare"], 960, p=[0.6, 0.35, 0.05])
    folder = embedded_folder(tmp_path, num_genes=12, of_each=80, consequence=consequence)
    facts = trained(folder).facts
    assert list(facts.result.areas) == [HEAD, ZERO_SHOT, POSITION, CONSEQUENCE, TOGETHER]
    assert abs(facts.result.areas[CONSEQUENCE].auroc - 0.5) < 0.1
    assert list(facts.by_consequence) == ["missense_variant", "synonymous_variant"]
    part = facts.by_consequence["missense_variant"]
    assert part.num_positive + part.num_negative == (consequence == "missense_variant").sum()
    assert part.num_groups == 12
    assert part.areas[HEAD].auroc > 0.9


def test_the_score_and_the_consequence_can_be_features_too(tmp_path):
    consequence = np.where(np.random.default_rng(0).random(360) < 0.5, "a", "b")
    consequence[:5] = "rare"
    folder = embedded_folder(tmp_path, strength=0, zero_shot=3.0, consequence=consequence)
    alone = trained(folder).facts
    beside = trained(folder, states=StateChoice(beside=("delta_llr", "consequence"))).facts
    assert beside.inputs.columns == ["delta_llr", "consequence"]
    assert beside.inputs.consequences == ("a", "b")
    assert beside.inputs.num_features == alone.inputs.num_features + 3
    assert alone.result.areas[HEAD].auroc < 0.6 < 0.9 < beside.result.areas[HEAD].auroc


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({}, "Name one with --layer: the run stored blocks.1, norm"),
        ({"layer": "blocks.7"}, "--layer blocks.7: the run stored blocks.1, norm"),
        ({"layer": "norm", "pool": "suffix"}, "--pool suffix: the run stored right:8"),
        ({"layer": "norm", "beside": ["consequence"]}, "--with consequence: no column names consequences"),
    ],
)
def test_states_and_columns_that_are_not_there_are_refused(tmp_path, choice, words):
    folder = embedded_folder(tmp_path, layers=("blocks.1", "norm"))
    with pytest.raises(SettingsError, match=words):
        trained(folder, states=StateChoice(**choice))


def test_a_folder_without_states_is_refused(tmp_path):
    folder = embedded_folder(tmp_path)
    (tmp_path / "out/embeddings").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"has no embeddings. Score with --set embed.layers=\[...\] into a new folder"):
        trained(folder)


def test_states_of_no_labelled_variant_are_refused(tmp_path):
    folder = embedded_folder(tmp_path, missing=range(360))
    with pytest.raises(InputError, match=r"None of the 360 labelled variants with a score has states of blocks.1"):
        trained(folder)


def test_the_sites_that_trained_it_are_kept(tmp_path):
    result = trained(embedded_folder(tmp_path))
    assert len(result.training_sites) == 180
    assert np.isin(site_digests(["1-101", "1-111"]), result.training_sites).all()
    assert HEAD_PREFIX == "head_"
