import numpy as np
import pytest
import torch

from raygen.model.evo1 import Evo1Network
from raygen.scoring.likelihood import load_model
from raygen.scoring.pair import score_token_pairs
from raygen.scoring.prefix_plan import first_difference
from raygen.sequence.tokens import encode
from tests.builders import bigram_model, random_bases

WT = random_bases(40, 1)
MUTS = {
    "snv": WT[:17] + "A" + WT[18:] if WT[17] != "A" else WT[:17] + "C" + WT[18:],
    "first base": ("C" if WT[0] != "C" else "G") + WT[1:],
    "last base": WT[:-1] + ("C" if WT[-1] != "C" else "G"),
    "insertion": (WT[:20] + "GATTACA" + WT[20:])[:40],
    "the same": WT,
}


def as_pairs(sequences):
    return [(encode(wt), encode(mut)) for wt, mut in sequences]


@pytest.mark.parametrize("kind", MUTS)
@pytest.mark.parametrize("bos_id", [0, None])
def test_delta_is_the_difference_of_the_two_log_likelihoods(kind, bos_id):
    model = bigram_model(bos_id)
    scored = score_token_pairs(model, as_pairs([(WT, MUTS[kind])]))
    ll_wt, ll_mut = model.log_likelihoods([WT, MUTS[kind]])
    np.testing.assert_allclose(scored.delta, [ll_mut - ll_wt], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose([scored.ll_wt[0], scored.ll_mut[0]], [ll_wt, ll_mut], rtol=1e-9)
    assert scored.num_tokens[0] == (40 if bos_id == 0 else 39)


def test_pairs_of_unequal_length_are_summed_over_what_each_has():
    model = bigram_model()
    scored = score_token_pairs(model, as_pairs([(WT, WT[:10] + WT[15:])]))
    ll_wt, ll_mut = model.log_likelihoods([WT, WT[:10] + WT[15:]])
    np.testing.assert_allclose(scored.delta, [ll_mut - ll_wt], rtol=1e-9)


def test_first_difference():
    assert first_difference(encode("ACGT"), encode("ACCT")) == 2
    assert first_difference(encode("ACGT"), encode("ACGT")) == 4
    assert first_difference(encode("ACGT"), encode("ACG")) == 3


def test_the_same_sequence_gives_exactly_zero_and_says_so():
    scored = score_token_pairs(load_model("demo"), as_pairs([(WT, WT)]))
    assert scored.delta.tolist() == [0.0]
    assert scored.same_sequence.tolist() == [True]


def test_a_score_does_not_depend_on_batch_mates_order_or_batch_size():
    rng = np.random.default_rng(3)
    windows = [random_bases(length, seed) for seed, length in enumerate(rng.integers(20, 300, 24))]
    pairs = as_pairs([(wt, wt[:9] + ("A" if wt[9] != "A" else "C") + wt[10:]) for wt in windows])
    expected = score_token_pairs(load_model("demo", max_batch_tokens=1), pairs).delta
    order = rng.permutation(len(pairs))
    for max_batch_tokens in (700, 100_000):
        model = load_model("demo", max_batch_tokens=max_batch_tokens)
        shuffled = score_token_pairs(model, [pairs[at] for at in order]).delta
        np.testing.assert_allclose(shuffled, expected[order], atol=1e-4)


def plain_log_likelihood(network: Evo1Network, sequence: str) -> float:
    """One forward pass of Evo 1 written out with torch alone: BOS, every layer token after token, log-softmax, sum.

    Long filters are run as the recurrence s_t = p s_{t-1} + x_t, attention as a full softmax.
    """
    config, body = network.config, network.backbone
    tokens = torch.tensor([0, *sequence.encode()])
    read, targets = tokens[:-1], tokens[1:]
    x = body.embedding_layer.weight[read].double()

    def norm(vectors, scale):
        return vectors / (vectors.pow(2).mean(-1, keepdim=True).sqrt() + config.eps) * scale.double()

    for index, block in enumerate(body.blocks):
        inside = norm(x, block.pre_norm.scale)
        if index in config.attn_layer_idxs:
            x = x + plain_attention(block.inner_mha_cls, inside, config)
        else:
            x = x + plain_hyena(block, inside, config)
        inside = norm(x, block.post_norm.scale)
        gate = torch.nn.functional.gelu(inside @ block.mlp.l1.weight.double().T)
        x = x + (gate * (inside @ block.mlp.l2.weight.double().T)) @ block.mlp.l3.weight.double().T
    logits = norm(x, body.norm.scale) @ body.embedding_layer.weight.double().T
    return float(torch.log_softmax(logits, -1)[torch.arange(len(targets)), targets].sum())


def plain_hyena(block, inside, config):
    filter_, width, heads = block.filter, config.hidden_size, config.num_attention_heads
    z = inside @ block.projections.weight.double().T + block.projections.bias.double()
    taps = filter_.short_filter_weight.double()[:, 0]
    padded = torch.cat([z.new_zeros(taps.shape[1] - 1, z.shape[1]), z])
    z = (
        sum(padded[tap : tap + len(z)] * taps[:, tap] for tap in range(taps.shape[1]))
        + filter_.short_filter_bias.double()
    )
    by_head = z.reshape(len(z), heads, 3, width // heads)
    x2, x1, v = (by_head[:, :, part].reshape(len(z), width) for part in range(3))
    poles = torch.view_as_complex(filter_.poles.double().contiguous())[..., 0]
    residues = torch.view_as_complex(filter_.residues.double().contiguous())[..., 0]
    state, outputs = torch.zeros_like(poles), []
    for gated in x1 * v:
        state = poles * state + gated[:, None]
        outputs.append((residues * state).real.sum(-1) + filter_.D.double() * gated)
    return (x2 * torch.stack(outputs)) @ block.out_filter_dense.weight.double().T + block.out_filter_dense.bias.double()


def plain_attention(layer, inside, config):
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    qkv = (inside @ layer.Wqkv.weight.double().T + layer.Wqkv.bias.double()).reshape(len(inside), 3, heads, size)
    q, k, v = qkv.permute(1, 2, 0, 3)
    frequencies = config.rotary_emb_base ** (-torch.arange(0, size, 2).double() / size)
    angles = torch.arange(len(inside)).double()[:, None] * frequencies

    def turn(vectors):
        low, high = vectors.chunk(2, -1)
        return torch.cat([low * angles.cos() - high * angles.sin(), high * angles.cos() + low * angles.sin()], -1)

    weights = turn(q) @ turn(k).transpose(-1, -2) / size**0.5
    weights = weights.masked_fill(torch.ones(weights.shape[-2:]).triu(1).bool(), -torch.inf).softmax(-1)
    mixed = (weights @ v).transpose(0, 1).reshape(len(inside), -1)
    return mixed @ layer.out_proj.weight.double().T + layer.out_proj.bias.double()


def test_a_pair_computed_by_hand_gives_the_same_delta():
    model = load_model("demo")
    wt = random_bases(90, 5)
    mut = wt[:40] + ("A" if wt[40] != "A" else "C") + wt[41:]
    with torch.no_grad():
        ll_wt, ll_mut = (plain_log_likelihood(model.loaded.network, sequence) for sequence in (wt, mut))
    scored = score_token_pairs(model, as_pairs([(wt, mut)]))
    assert abs(scored.delta[0]) > 0.1
    np.testing.assert_allclose(scored.delta, [ll_mut - ll_wt], atol=1e-4)
    np.testing.assert_allclose(scored.ll_wt, [ll_wt], atol=1e-3)
