"""Layers that are tapped are the modules of the public reference implementations, on random weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from raygen.errors import SettingsError
from raygen.model import layers as layer_pieces
from raygen.model.layer_names import evo_layers, refuse_layers
from raygen.model.loading import describe_layers, load_network
from raygen.model.on_paper import layers_on_paper, model_on_paper
from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.model.taps import Taps
from tests.model.models import largest_difference, random_model, random_tokens, small_config, small_evo2_config
from tests.model.other_models import TOKENS, write_llama, write_neox, write_roberta

CONFIGS = {"evo1": small_config, "evo2": small_evo2_config}


def tapped(network: Any, tokens: Tensor, layers: Sequence[str], stops: bool = False, **how: Any) -> dict[str, Tensor]:
    states: dict[str, Tensor] = {}
    with torch.inference_mode():
        network.hidden_states(tokens, taps=Taps(layers, states.__setitem__, stops), **how)
    return states


def hooked(module: nn.Module, names: Sequence[str], run: Callable[[], Any]) -> dict[str, Tensor]:
    """What modules gave when ``run`` was called."""
    outputs: dict[str, Tensor] = {}
    for name in names:

        def keep(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            outputs[name] = output[0] if isinstance(output, tuple) else output

        module.get_submodule(name).register_forward_hook(keep)
    with torch.inference_mode():
        run()
    return outputs


def assert_alike(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, states in ours.items():
        assert states.dtype == torch.float32
        assert largest_difference(states, theirs[name].float()) < 1e-4, name


@pytest.mark.parametrize("num_tokens", [1, 63, 300])
def test_layers_of_evo1_are_the_modules_of_stripedhyena(num_tokens: int) -> None:
    pytest.importorskip("stripedhyena")
    from tests.model.stripedhyena_on_cpu import reference_of

    model, tokens = random_model(small_config()), random_tokens(2, num_tokens)
    reference = reference_of(model, filter_tokens=num_tokens)
    layers = model.layer_names()
    assert_alike(tapped(model, tokens, layers), hooked(reference, layers, lambda: reference(tokens)))


@pytest.mark.parametrize("num_tokens", [1, 63, 300])
def test_layers_of_evo2_are_the_modules_of_vortex(num_tokens: int) -> None:
    pytest.importorskip("vortex")
    from tests.model.vortex_on_cpu import reference_logits, reference_of

    model, tokens = random_model(small_evo2_config()), random_tokens(2, num_tokens)
    reference, layers = reference_of(model), model.layer_names()
    assert_alike(tapped(model, tokens, layers), hooked(reference, layers, lambda: reference_logits(reference, tokens)))


@pytest.mark.parametrize("family", CONFIGS)
def test_a_block_that_is_read_in_pieces_gives_the_same_states(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = random_model(CONFIGS[family]()), random_tokens(2, 700)
    whole = tapped(model, tokens, model.layer_names())
    monkeypatch.setattr(layer_pieces, "CPU_PIECE_TOKENS", 512)
    assert_alike(tapped(model, tokens, model.layer_names()), whole)


@pytest.mark.parametrize("family", CONFIGS)
def test_reading_on_from_a_state_gives_the_same_states(family: str) -> None:
    model, tokens = random_model(CONFIGS[family]()), random_tokens(2, 200)
    layers = ["blocks.1", "blocks.0.mlp.l3"]
    whole = tapped(model, tokens, layers)
    for stops in (False, True):
        with torch.inference_mode():
            _, state = model.hidden_states(tokens[:, :90], None, True, taps=Taps(layers, lambda *_: None, stops))
        after = tapped(model, tokens[:, 90:], layers, stops, state=state)
        assert_alike(after, {name: states[:, 90:] for name, states in whole.items()})


def test_layers_whose_weights_lie_elsewhere_give_their_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate hands copies of lists and tensors to a module that is offloaded."""
    accelerate = pytest.importorskip("accelerate")
    model, tokens = random_model(small_config()), random_tokens(2, 600)
    whole = tapped(model, tokens, model.layer_names())
    monkeypatch.setattr(layer_pieces, "CPU_PIECE_TOKENS", 512)
    offloaded = accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    assert_alike(tapped(offloaded, tokens, model.layer_names()), whole)


@pytest.mark.parametrize("family", CONFIGS)
def test_taps_change_no_output(family: str) -> None:
    model, tokens = random_model(CONFIGS[family]()), random_tokens(2, 100)
    with torch.inference_mode():
        plain, _ = model.hidden_states(tokens)
        beside, _ = model.hidden_states(tokens, taps=Taps(model.layer_names(), lambda *_: None))
    assert torch.equal(plain, beside)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize(
    ("layers", "num_read"), [(["blocks.0"], 1), (["blocks.0", "blocks.1.mlp.l3"], 2), (["norm"], None)]
)
def test_no_block_behind_the_deepest_tap_is_run(family: str, layers: list[str], num_read: int | None) -> None:
    model, tokens = random_model(CONFIGS[family]()), random_tokens(1, 50)
    names = [f"blocks.{layer}" for layer in range(len(model.backbone.blocks))]
    run = hooked(model.backbone, names, lambda: tapped(model, tokens, layers, stops=True))
    assert list(run) == names[:num_read]
    assert_alike(tapped(model, tokens, layers, stops=True), tapped(model, tokens, layers))


@pytest.mark.parametrize(
    ("write", "modules"),
    [
        (write_llama, {"blocks.0": "model.layers.0", "norm": "model.norm"}),
        (write_neox, {"blocks.0": "gpt_neox.layers.0", "norm": "gpt_neox.final_layer_norm"}),
        (write_roberta, {"blocks.0": "roberta.encoder.layer.0", "blocks.1": "roberta.encoder.layer.1"}),
    ],
)
def test_layers_of_other_models_are_the_modules_that_transformers_runs(
    tmp_path: Path, write: Any, modules: dict[str, str]
) -> None:
    folder = write(tmp_path / "model")
    if write is write_neox:
        (folder / "config.json").write_text(_with_tokens((folder / "config.json").read_text()))
    network = load_network(folder, device="cpu").network
    assert network.layer_names() == describe_layers(folder) == tuple(modules)
    tokens = torch.randint(5, 9, (2, 60), generator=torch.Generator().manual_seed(0))
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    outputs = hooked(theirs, list(modules.values()), lambda: theirs(tokens))
    assert_alike(tapped(network, tokens, list(modules)), {name: outputs[module] for name, module in modules.items()})


def _with_tokens(config: str) -> str:
    return json.dumps({**json.loads(config), "raygen_tokens": TOKENS})


def test_the_layers_of_a_model_are_known_without_its_weights(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "evo2", small_evo2_config(), seed=0)
    assert (
        layers_on_paper(model_on_paper(str(tmp_path / "evo2"))) == evo_layers(4) == describe_layers(tmp_path / "evo2")
    )
    assert layers_on_paper(model_on_paper(str(write_llama(tmp_path / "llama")))) == ("blocks.0", "norm")
    assert len(layers_on_paper(model_on_paper("arcinstitute/evo2_7b_base"))) == 65


def test_a_layer_that_is_not_there_is_refused_and_the_others_are_listed() -> None:
    refuse_layers("m", ["blocks.3.mlp.l3", "norm"], evo_layers(4))
    with pytest.raises(SettingsError) as refusal:
        refuse_layers("m", ["norm", "blocks.4"], evo_layers(4))
    assert str(refusal.value) == (
        "m has no layer 'blocks.4' (embed.layers). It has blocks.0 to blocks.3, blocks.0.mlp.l3 to blocks.3.mlp.l3, norm."
    )
