"""Random models: the same bits everywhere, and numbers that are worth computing."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from raygen.errors import InputError
from raygen.model.cards import find_card
from raygen.model.checkpoint import check_checkpoint, expected_shapes, read_config
from raygen.model.random_checkpoint import demo_config, evo1_8k_config, random_weights, write_random_checkpoint
from tests.model.models import largest_difference, random_model, random_tokens, small_config


def test_same_seed_same_file_on_every_machine(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "model", small_config(), seed=1)
    found = sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert found == "968090c5d6999445a327ea59acc5de93c3e7921729a6a473ba4f768c27cf9c25"


def test_another_seed_is_another_model() -> None:
    one, two = random_weights(small_config(), 1), random_weights(small_config(), 2)
    assert all(not torch.equal(one[name], two[name]) for name in one)


def test_filters_decay_and_turn() -> None:
    poles = torch.view_as_complex(random_weights(demo_config(), 0)["backbone.blocks.0.filter.poles"])
    size, angle = poles.abs(), poles.angle()
    assert size.max() < 1
    assert (size > 0.99).float().mean() > 0.2 and (size < 0.9).float().mean() > 0.2
    assert angle.min() < -3 and angle.max() > 3


def test_logits_spread_by_about_a_nat_and_depend_on_what_was_read() -> None:
    model, tokens = random_model(demo_config()), random_tokens(2, 1000)
    changed = tokens.clone()
    changed[:, 500] = tokens[:, 500].roll(1) + 1
    with torch.inference_mode():
        before, after = model(tokens), model(changed)
    assert before.isfinite().all()
    assert 0.5 < before.std() < 2
    assert largest_difference(before[:, :500], after[:, :500]) < 1e-5
    for distance in (0, 1, 10, 100, 400):
        assert (before - after)[:, 500 + distance].abs().mean() > 0.01


def test_written_folder_is_a_good_checkpoint(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "deep" / "model", demo_config(), seed=1)
    config = read_config(tmp_path / "deep" / "model")
    check_checkpoint(tmp_path / "deep" / "model", config)
    assert config.architecture() == demo_config().architecture()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]


def test_in_shards_and_in_half_precision_it_is_the_same_model(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path / "model", small_config(), 1, max_shard_bytes=20_000, dtype=torch.bfloat16)
    files = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(files) > 4
    check_checkpoint(tmp_path / "model", read_config(tmp_path / "model"))
    stored = {name: tensor for file in files for name, tensor in load_file(file).items()}
    for name, tensor in random_weights(small_config(), 1).items():
        dtype = torch.float32 if name.endswith(("poles", "residues")) else torch.bfloat16
        assert torch.equal(stored.pop(name), tensor.to(dtype)), name
    assert not stored


def test_the_published_shape_has_as_many_parameters_as_its_card_says() -> None:
    card = find_card("togethercomputer/evo-1-8k-base")
    assert card is not None
    assert sum(map(math.prod, expected_shapes(evo1_8k_config()).values())) == card.num_parameters


def test_two_at_once_write_one_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write_random_checkpoint(tmp_path / "model", small_config(), seed=1), range(8)))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_something_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("only copy")
    with pytest.raises(InputError, match="holds something else already"):
        write_random_checkpoint(tmp_path / "model", small_config(), seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "thesis.txt").read_text() == "only copy"
