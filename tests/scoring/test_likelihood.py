import numpy as np
import pyarrow as pa
import pytest
import torch

from raygen.errors import SettingsError, StoppedError
from raygen.scoring.batches import TokenBudget, run_in_batches
from raygen.scoring.likelihood import load_model
from raygen.scoring.passes import next_batch
from tests.builders import bigram_model, random_bases

SEQUENCES = [random_bases(length, length) for length in (1, 2, 7, 30, 31, 400)]


def test_the_sum_runs_over_every_base_with_bos_before_the_first():
    model = bigram_model()
    by_hand = [model.loaded.network.log_likelihood(sequence) for sequence in SEQUENCES]
    np.testing.assert_allclose(model.log_likelihoods(SEQUENCES), by_hand, rtol=1e-6)


def test_without_bos_the_first_base_is_not_counted():
    model = bigram_model(bos_id=None)
    network = model.loaded.network
    by_hand = [network.log_likelihood(sequence) - network.log_prob(sequence[0], None) for sequence in SEQUENCES]
    np.testing.assert_allclose(model.log_likelihoods(SEQUENCES), by_hand, rtol=1e-6, atol=1e-9)


def test_result_is_float64_and_empty_input_gives_an_empty_result():
    assert bigram_model().log_likelihoods(["ACGT"]).dtype == np.float64
    assert bigram_model().log_likelihoods([]).shape == (0,)


def test_an_empty_sequence_has_the_log_likelihood_zero():
    np.testing.assert_array_equal(bigram_model().log_likelihoods(["", "ACGT"])[0], 0)


def test_lower_case_and_other_letters_are_read_as_the_model_knows_them():
    upper, lower, other = bigram_model().log_likelihoods(["ACNGT", "acngt", "ACRGT"])
    assert upper == lower == other


@pytest.mark.parametrize("given", [tuple, iter, np.array, pa.array, lambda found: (one for one in found)])
def test_sequences_come_in_any_container(given):
    np.testing.assert_array_equal(
        bigram_model().log_likelihoods(given(SEQUENCES)), bigram_model().log_likelihoods(SEQUENCES)
    )


def test_sequences_that_can_be_read_once_are_scored_again_in_wider_numbers():
    model = bigram_model()
    model.to_rescore = lambda *values: np.array([1, 3])
    model._in_float32 = bigram_model()
    expected = bigram_model().log_likelihoods(SEQUENCES)
    np.testing.assert_array_equal(model.log_likelihoods(iter(SEQUENCES)), expected)
    assert model.num_rescored == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ACGT", "a list of sequences, not str"),
        (b"ACGT", "a list of sequences, not bytes"),
        ({"ACGT": 1}, "a list of sequences, not dict"),
        (["ACGT", None], "number 1 is None"),
        ([5], "number 0 is 5"),
    ],
)
def test_what_are_no_sequences_is_refused(given, said):
    with pytest.raises(TypeError, match=said):
        bigram_model().log_likelihoods(given)


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_model_without_a_name_is_not_the_folder_one_is_in(name):
    with pytest.raises(SettingsError, match="give demo, the folder of a checkpoint or a hub id"):
        load_model(name)


@pytest.mark.parametrize("tokens", [0, -5, "10", 1.5, None, True])
def test_a_batch_holds_at_least_one_token(tokens):
    with pytest.raises(SettingsError, match=r"max_batch_tokens is .*; give a whole number of at least 1, or 'auto'"):
        load_model("demo", max_batch_tokens=tokens)


def test_padding_is_not_counted():
    alone = [bigram_model().log_likelihoods([sequence])[0] for sequence in SEQUENCES]
    np.testing.assert_allclose(bigram_model().log_likelihoods(SEQUENCES), alone, rtol=1e-7)


def test_only_wanted_bases_are_predicted():
    model = bigram_model()
    tokens = np.frombuffer(b"ACGTA", np.uint8)
    log_probs = model.token_log_probs([tokens, tokens[:3]], first=[3, 0])
    assert np.count_nonzero(log_probs[0]) == 2
    assert np.count_nonzero(log_probs[1]) == 3


def test_a_batch_holds_as_many_rows_as_fit_and_at_least_one():
    lengths = [50, 40, 10, 10]
    assert list(next_batch([0, 1, 2, 3], 0, lengths, 100)) == [0, 1]
    assert list(next_batch([0, 1, 2, 3], 2, lengths, 100)) == [2, 3]
    assert list(next_batch([0, 1, 2, 3], 0, lengths, 10)) == [0]


def test_every_row_is_worked_on_once_in_batches_of_like_length():
    batches = []
    lengths = [3, 9, 3, 9, 1]
    run_in_batches(lengths, TokenBudget(9), lambda batch: batches.append(list(batch)))
    assert batches == [[1], [3], [0, 2, 4]]


def test_out_of_memory_halves_the_batch_and_remembers():
    budget, sizes = TokenBudget(80), []

    def work(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(batch))

    run_in_batches([10] * 8, budget, work)
    assert sizes == [2, 2, 2, 2]
    assert (budget.max_batch_tokens, budget.num_halvings) == (20, 2)


def test_host_memory_counts_as_memory_too():
    seen = []

    def work(batch):
        seen.append(len(batch))
        if len(batch) > 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    run_in_batches([10, 10], TokenBudget(20), work)
    assert seen == [2, 1, 1]


def test_one_row_that_does_not_fit_stops_the_run():
    def work(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(StoppedError, match="One sequence of 10 tokens does not fit"):
        run_in_batches([10], TokenBudget(20), work)


def test_other_errors_are_not_taken_for_memory():
    def work(batch):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        run_in_batches([10, 10], TokenBudget(20), work)
