"""Other causal models of transformers behind the protocol: tokens, likelihoods, state, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, XLNetConfig

from raygen.errors import InputError, SettingsError
from raygen.model.causal_lm import CausalLM, every_triple
from raygen.model.library_cache import cache_of
from raygen.model.loading import describe_network, load_network
from raygen.model.state import PrefixState
from raygen.model.trial import make_trial, try_network
from raygen.scoring.likelihood import load_model
from raygen.scoring.pair import score_token_pairs
from raygen.scoring.scorer import PairScorer
from raygen.sequence.tokens import encode
from tests.builders import random_bases
from tests.model.models import largest_difference
from tests.model.other_models import (
    TOKENS,
    overflow_float16,
    saturate_attention,
    write_bpe_tokenizer,
    write_family,
    write_gemma3,
    write_llama,
    write_model,
    write_neox,
    write_reformer,
    write_roberta,
    write_tokenizer,
)

VOCABULARY = {"[PAD]": 0, "[UNK]": 1, "<s>": 2, "A": 5, "C": 6, "G": 7, "T": 8, "N": 9}


def by_hand(folder: Path, sequence: str, bos: int | None = None) -> float:
    """ln P of a sequence from the model as transformers loads it."""
    ids = [*([] if bos is None else [bos]), *(TOKENS[base] for base in sequence)]
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0].double()
    log_probs = torch.log_softmax(logits, -1)
    return float(sum(log_probs[at - 1, ids[at]] for at in range(1, len(ids))))


@pytest.mark.parametrize("write", [write_llama, write_neox])
def test_log_likelihoods_are_those_of_the_model_itself(tmp_path: Path, write: Any) -> None:
    folder = write(tmp_path / "model")
    if write is write_neox:
        write_tokenizer(folder, VOCABULARY)
    model = load_model(str(folder), device="cpu")
    sequences = ["ACGTNACGTTAG", "G" * 40, random_bases(300)]
    expected = [by_hand(folder, sequence) for sequence in sequences]
    np.testing.assert_allclose(model.log_likelihoods(sequences), expected, atol=1e-3)
    assert model.num_uncounted == 1 and model.loaded.network.fork_refusal is None


def test_a_token_that_the_tokenizer_puts_first_is_read_before_the_first_base(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model", tokens=None)
    write_tokenizer(folder, VOCABULARY, bos="<s>")
    model = load_model(str(folder), device="cpu")
    assert (model.loaded.facts.bos_id, model.loaded.facts.pad_id, model.num_uncounted) == (2, 0, 0)
    np.testing.assert_allclose(model.log_likelihoods(["ACGTT"]), [by_hand(folder, "ACGTT", bos=2)], atol=1e-4)


def test_lower_case_tokens_and_a_missing_n_are_found(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model", tokens=None)
    write_tokenizer(folder, {"[PAD]": 0, "[UNK]": 1, "a": 5, "c": 6, "g": 7, "t": 8})
    table = load_network(folder, device="cpu").token_ids
    assert table is not None
    assert [int(table[ord(letter)]) for letter in "ACGTNx"] == [5, 6, 7, 8, 1, 1]


def test_bytes_may_be_the_tokens(tmp_path: Path) -> None:
    loaded = load_network(write_llama(tmp_path / "model", tokens="bytes", vocab_size=128), device="cpu")
    assert loaded.token_ids is not None and loaded.token_ids[ord("G")] == ord("G")


def test_reading_in_pieces_is_reading_at_once(tmp_path: Path) -> None:
    for write in (write_llama, write_neox):
        folder = write(tmp_path / write.__name__)
        write_tokenizer(folder, VOCABULARY)
        network = load_network(folder, device="cpu").network
        tokens = torch.from_numpy(np.random.default_rng(0).integers(5, 9, (3, 1 + 63 + 700)))
        whole, _ = network.hidden_states(tokens)
        pieces, state = [], None
        for piece in tokens.split([1, 63, 700], dim=1):
            logits, after = network.hidden_states(piece, state, return_state=True)
            if state is not None:  # it was not changed by reading on
                again, _ = network.hidden_states(piece, state)
                assert torch.equal(again, logits)
            pieces.append(logits)
            state = after
        assert largest_difference(torch.cat(pieces, dim=1), whole) < 1e-4
        assert state is not None and state.num_bytes == 3 * network.state_size().prefix(764)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.4), ("float16", 0.05)])
def test_half_precision_is_near_float32(tmp_path: Path, dtype: str, tolerance: float) -> None:
    folder, sequence = write_llama(tmp_path / "model"), [random_bases(300)]
    exact, half = (
        load_model(str(folder), device="cpu", dtype=one).log_likelihoods(sequence) for one in ("float32", dtype)
    )
    assert abs(exact - half)[0] < tolerance * 300**0.5


def test_description_says_what_loading_gives(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model")
    described, loaded = describe_network(folder, device="cpu"), load_network(folder, device="cpu")
    assert described.weights_hash == loaded.facts.weights_hash
    assert (described.context_length, described.vocab_size, described.num_layers) == (1200, 12, 2)
    assert described.num_parameters == sum(one.numel() for one in loaded.network.parameters())  # type: ignore[attr-defined]
    other = describe_network(write_llama(tmp_path / "b", tokens={**TOKENS, "bos": 2}), device="cpu")
    assert other.weights_hash != described.weights_hash


# What is refused


def test_a_model_with_a_state_of_its_own_is_scored_by_pair_only(tmp_path: Path) -> None:
    folder = str(write_family(tmp_path / "model", "mamba"))
    model = load_model(folder, device="cpu")
    assert describe_network(folder, device="cpu").fork_refusal == model.loaded.network.fork_refusal
    with pytest.raises(SettingsError, match=r"by the method fork: transformers reads on .* Set scoring.method: pair"):
        PairScorer(model, "fork")
    wt, mut = encode(random_bases(100)), encode(random_bases(50) + "A" + random_bases(100)[51:])
    scored = score_token_pairs(model, [(wt, mut)])
    assert np.isfinite(scored.delta).all()


def test_a_cache_that_does_not_carry_on_is_found_when_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgotten(state: PrefixState) -> Any:
        copied = state.select([0] * state.num_rows)
        for tensor in (tensor for layer in copied.layers for tensor in layer.tensors()):
            tensor.zero_()
        return cache_of(copied)

    folder = write_llama(tmp_path / "model")
    monkeypatch.setattr("raygen.model.causal_lm.cache_of", forgotten)
    network = load_network(folder, device="cpu").network
    assert network.fork_refusal is not None
    assert "read in pieces its logits differ by" in network.fork_refusal


def test_a_model_that_reads_ahead_is_refused(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=12)
    folder = write_model(tmp_path / "model", config, raygen_tokens=TOKENS)
    with pytest.raises(InputError, match="reads ahead: its answers change by"):
        load_network(folder, device="cpu")


def test_a_model_that_reads_ahead_is_refused_where_its_attention_is_saturated(tmp_path: Path) -> None:
    """Of these weights no answer to bases with N changes with the last token."""
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=12)
    folder = write_model(tmp_path / "model", config, seed=2, raygen_tokens=TOKENS)
    saturate_attention(folder)
    with pytest.raises(InputError, match="reads ahead: its answers change by"):
        load_network(folder, device="cpu")


def test_a_model_without_a_limit_that_could_be_named_is_refused_without_advice(tmp_path: Path) -> None:
    config = XLNetConfig(d_model=32, n_layer=2, n_head=4, d_inner=48, vocab_size=12)
    folder = write_model(tmp_path / "model", config, raygen_tokens=TOKENS)
    with pytest.raises(
        InputError, match=r"models of the type 'xlnet' no number of tokens .* takes none from config.json"
    ):
        describe_network(folder, device="cpu")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 1000}))
    with pytest.raises(
        InputError, match=r"can load: The model xlnet is one of the few models that has no sequence length limit"
    ):
        describe_network(folder, device="cpu")


@pytest.mark.parametrize(("key", "value"), [("hidden_size", "many"), ("hidden_act", "unheard"), ("layer_types", ["x"])])
def test_a_configuration_of_wrong_values_is_refused_in_words(tmp_path: Path, key: str, value: Any) -> None:
    folder = write_llama(tmp_path / "model")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, key: value}))
    with pytest.raises(InputError, match=r"is no model that transformers can load: |cannot build the model: "):
        describe_network(folder, device="cpu")


def test_tokens_of_several_bases_are_refused(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model", tokens=None)
    write_tokenizer(folder, VOCABULARY, split=" ")
    with pytest.raises(InputError, match="are not single bases: 227 bases are 1 tokens"):
        load_network(folder, device="cpu")


def test_every_triple_of_letters_is_tried_once() -> None:
    text = every_triple("ACGTN")
    assert len({text[at : at + 3] for at in range(125)}) == 125 == len(text) - 2


@pytest.mark.parametrize("merges", [["TG"], ["CT"], ["NN"], ["AC", "ACG"]])
def test_a_few_joined_bases_are_found(tmp_path: Path, merges: list[str]) -> None:
    folder = write_llama(tmp_path / "model", tokens=None)
    write_bpe_tokenizer(folder, {**VOCABULARY, **{merge: 10 + at for at, merge in enumerate(merges)}}, merges)
    with pytest.raises(InputError, match=r"are not single bases: 227 bases are 2\d\d tokens"):
        describe_network(folder, device="cpu")


def test_a_token_that_the_model_does_not_have_is_named(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model", tokens=None)
    for vocabulary, bos, what in (
        ({**VOCABULARY, "T": 12}, None, "T"),
        ({**VOCABULARY, "<s>": 12}, "<s>", "the start"),
    ):
        write_tokenizer(folder, vocabulary, bos)
        with pytest.raises(InputError, match=f"gives {what} the token 12, but the model's vocab_size is 12"):
            describe_network(folder, device="cpu")


def test_padding_that_the_model_does_not_have_is_replaced(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model", tokens=None)
    write_tokenizer(folder, {**VOCABULARY, "[PAD]": 12})
    model = load_model(str(folder), device="cpu")
    assert model.loaded.facts.pad_id == TOKENS["N"]
    expected = [by_hand(folder, "ACGTT"), by_hand(folder, "ACGTTACG")]
    np.testing.assert_allclose(model.log_likelihoods(["ACGTT", "ACGTTACG"]), expected, atol=1e-4)


def test_a_tokenizer_that_can_read_no_n_is_named(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model", tokens=None)
    write_tokenizer(folder, {"[PAD]": 0, "A": 5, "C": 6, "G": 7, "T": 8}, unknown=None)
    with pytest.raises(InputError, match=r"the tokenizer cannot read N .* name raygen_tokens in config.json"):
        describe_network(folder, device="cpu")


# What a batch or a length changes


LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
}


def test_positions_that_depend_on_batch_mates_are_refused(tmp_path: Path) -> None:
    changed = {**LONGROPE, "original_max_position_embeddings": 128}
    folder = write_llama(tmp_path / "model", rope_parameters=changed)
    with pytest.raises(InputError, match=r"longrope.* once one is past 128, so a score would depend on what else"):
        describe_network(folder, device="cpu")


def test_the_same_positions_are_scored_where_the_context_is_the_original_one(tmp_path: Path) -> None:
    same = {**LONGROPE, "original_max_position_embeddings": 1200}
    folder = write_llama(tmp_path / "model", rope_parameters=same)
    assert load_network(folder, device="cpu").network.fork_refusal is None


def test_positions_that_depend_on_length_are_found_when_they_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raygen.model.causal_lm._refuse_positions_that_depend_on_length", lambda *_: None)
    folder = write_llama(tmp_path / "model", rope_parameters={**LONGROPE, "original_max_position_embeddings": 500})
    with pytest.raises(InputError, match="with the number of tokens, the padding or the sequences beside"):
        load_network(folder, device="cpu")


def test_a_model_that_draws_at_random_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"when it reads the same tokens again. It draws at random"):
        load_network(write_reformer(tmp_path / "model"), device="cpu")


def test_positions_that_skip_padding_are_not_carried_on(tmp_path: Path) -> None:
    folder = write_roberta(tmp_path / "skips_n", pad_token_id=TOKENS["N"])
    assert "read in pieces its logits differ by" in str(load_network(folder, device="cpu").network.fork_refusal)
    folder = write_roberta(tmp_path / "skips_other", pad_token_id=0)
    assert load_network(folder, device="cpu").network.fork_refusal is None


@pytest.mark.parametrize("pad_id", [0, 9])
def test_a_sequence_as_long_as_the_context_can_be_read(tmp_path: Path, pad_id: int) -> None:
    folder = write_roberta(tmp_path / "model", pad_token_id=pad_id)
    assert describe_network(folder, device="cpu").context_length == 100 - pad_id - 1
    model = load_model(str(write_roberta(tmp_path / "bos", {**TOKENS, "bos": 2}, pad_token_id=pad_id)), device="cpu")
    sequence = random_bases(model.context_length)
    (whole,) = model.log_likelihoods([sequence])
    assert whole < by_hand(tmp_path / "bos", sequence[:-1], bos=2) + 1e-3


def test_a_context_too_short_to_be_tried_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reads 16 tokens at once, too few to be tried: 24 are needed"):
        load_network(write_llama(tmp_path / "model", max_position_embeddings=16), device="cpu")
    assert (
        load_network(write_llama(tmp_path / "b", max_position_embeddings=24), device="cpu").facts.context_length == 24
    )


# Attention that is another beyond a length that the configuration names


def test_the_best_keys_of_many_are_tried_beyond_their_number(tmp_path: Path) -> None:
    """Of equally good keys, which are taken changes with how many stand beside: seen beyond 1,000 tokens alone."""
    folder = write_family(tmp_path / "model", "deepseek_v32", index_topk=1000)
    with pytest.raises(InputError, match=r"its answers change by .* with the number of tokens"):
        load_network(folder, device="cpu")
    assert (
        load_network(write_family(tmp_path / "all", "deepseek_v32", index_topk=1200), device="cpu").network.fork_refusal
        is None
    )


@pytest.mark.parametrize("key", ["sliding_window", "attention_chunk_size", "index_topk", "window_size", "block_size"])
def test_the_trial_is_as_long_as_the_length_that_the_configuration_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("raygen.model.causal_lm._refuse_positions_that_depend_on_length", lambda *_: None)
    changed = {**LONGROPE, "original_max_position_embeddings": 1000}
    short = write_llama(tmp_path / "short", rope_parameters=changed)
    assert load_network(short, device="cpu").facts.context_length == 1200  # what is beyond 600 tokens is not seen
    folder = write_llama(tmp_path / "model", rope_parameters=changed, **{key: 900})
    with pytest.raises(InputError, match="with the number of tokens, the padding or the sequences beside"):
        load_network(folder, device="cpu")


def test_a_length_that_is_too_long_to_be_tried_is_the_context(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "model", "mistral", sliding_window=5000)
    assert describe_network(folder, device="cpu").context_length == 1200
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 8000}))
    facts = load_network(folder, device="cpu").facts
    assert facts.context_length == 5000
    assert any("beyond sliding_window (5,000 in its config.json) it attends otherwise" in one for one in facts.remarks)


def test_the_trial_reads_4_rows_a_part_and_the_pieces(tmp_path: Path) -> None:
    for named, length, split in ((0, 600, 300), (700, 956, 828), (1100, 1200, 1150), (1200, 1200, 600)):
        trial = make_trial(np.arange(256), 1, 1200, named)
        assert (trial.length, trial.split) == (length, split)
        assert set(trial.bases_T.tolist()) == set(b"ACGT") and set(trial.with_n_T.tolist()) == set(b"ACGTN")
        assert not (trial.bases_T == trial.others_T).any()
    network = load_network(write_llama(tmp_path / "model"), device="cpu").network
    read = []
    network.model.register_forward_pre_hook(  # type: ignore[attr-defined]
        lambda _, __, inputs: read.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    try_network(network, make_trial(np.array([TOKENS.get(chr(byte), 9) for byte in range(256)]), 0, 1200))
    assert sum(read) == 4 * 600 + 401 + 600


def test_a_configuration_inside_another_is_read(tmp_path: Path) -> None:
    folder = write_gemma3(tmp_path / "model")
    described = describe_network(folder, device="cpu")
    assert (described.vocab_size, described.hidden_size, described.num_layers, described.context_length) == (
        12,
        32,
        2,
        300,
    )
    sequence = random_bases(200)
    model = load_model(str(folder), device="cpu")
    np.testing.assert_allclose(model.log_likelihoods([sequence]), [by_hand(folder, sequence)], atol=1e-3)


# What half precision cannot hold


def test_overflow_is_not_taken_for_reading_ahead(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model")
    overflow_float16(folder)
    with pytest.raises(InputError, match=r"do not fit float16. Set model.dtype: bfloat16 or float32"):
        load_network(folder, device="cpu", dtype="float16")
    assert load_network(folder, device="cpu", dtype="bfloat16").network.fork_refusal is None


def test_a_model_that_is_not_finite_in_any_precision_is_named(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model")
    overflow_float16(folder, 1e30)
    with pytest.raises(InputError, match=r"gives values that are not finite. Its weights may be damaged"):
        load_network(folder, device="cpu")


def test_routers_in_half_precision_are_warned_of(tmp_path: Path) -> None:
    mixture, plain = write_family(tmp_path / "lfm2_moe", "lfm2_moe"), write_llama(tmp_path / "llama")
    for folder, dtype, is_warned in (
        (mixture, "bfloat16", True),
        (mixture, "float32", False),
        (plain, "bfloat16", False),
    ):
        for look in (describe_network, load_network):
            looked = look(folder, device="cpu", dtype=dtype)
            remarks = getattr(looked, "facts", looked).remarks
            assert (
                any("in half precision rounding sends some tokens to other experts" in one for one in remarks)
                is is_warned
            )


# Other things that are refused


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (None, "has no tokenizer that transformers can load .* names no raygen_tokens"),
        ({"A": 5}, "raygen_tokens names A, C, G, T, N and perhaps bos"),
        ({**TOKENS, "T": 5}, "must be different numbers below vocab_size"),
        ({**TOKENS, "T": 99}, r"different numbers below vocab_size \(12\), not T 99"),
    ],
)
def test_tokens_that_cannot_be_used_are_named(tmp_path: Path, tokens: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        describe_network(write_llama(tmp_path / "model", tokens=tokens), device="cpu")


def test_a_context_that_nobody_says_is_asked_for(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model", max_position_embeddings=10**9)
    with pytest.raises(InputError, match="put max_position_embeddings into its config"):
        describe_network(folder, device="cpu")


def test_code_from_the_hub_is_not_run(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "their_own", "auto_map": {"AutoConfig": "x.Config"}}')
    (folder / "x.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(InputError, match="needs code of its own from the hub, which is never run here"):
        load_network(folder, device="cpu")


def test_a_type_that_is_no_causal_model_is_named(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(InputError, match="no causal language model of the type 'vit'"):
        load_network(folder, device="cpu")


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "model")
    config = (folder / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    (folder / "config.json").write_text(config)
    with pytest.raises(InputError, match=r"does not fit its config.json. \d+ missing keys: model.layers.2"):
        load_network(folder, device="cpu")


def test_outputs_are_logits_whose_unembedding_is_nothing(tmp_path: Path) -> None:
    network = load_network(write_llama(tmp_path / "model"), device="cpu").network
    assert isinstance(network, CausalLM)
    logits, _ = network.hidden_states(torch.tensor([[5, 6, 7]]))
    assert network.unembed(logits) is logits and logits.shape == (1, 3, 12)
