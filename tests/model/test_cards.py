"""Model cards: every published checkpoint has one, and it holds over the hub's config.json where that is known to be wrong."""

from __future__ import annotations

import importlib.util
import json
import runpy
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml
from pydantic import ValidationError

from raygen.model.auto_classes import Evo1ForCausalLM, Evo1PreTrainedConfig
from raygen.model.cards import DEMO, DEMO_FOLDER, NO_CARD, ModelCard, all_cards, card_named, find_card, is_off_label
from raygen.model.checkpoint import expected_shapes, read_config
from raygen.model.convert import config_of
from raygen.model.loading import describe_network, load_network
from raygen.model.random_checkpoint import write_random_checkpoint
from tests.model.models import num_parameters, small_config

CONFIGS = Path(__file__).parents[2] / "configs" / "models"
PUBLISHED = {
    "togethercomputer/evo-1-8k-base": ("1.1_fix", 8192),
    "togethercomputer/evo-1-131k-base": ("1.1_fix", 131_072),
    "evo-design/evo-1.5-8k-base": ("main", 8192),
    "LongSafari/evo-1-8k-crispr": ("main", 8192),
    "LongSafari/evo-1-8k-transposon": ("main", 8192),
}


EVO2_LOSSES = {  # evo2 0.6.0, evo2/test/test_evo2.py
    "evo2_40b": 0.2159424,
    "evo2_7b": 0.3476563,
    "evo2_40b_base": 0.2149658,
    "evo2_7b_base": 0.3520508,
    "evo2_1b_base": 0.501953125,
    "evo2_20b": 0.2166748046875,
    "evo2_7b_262k": None,
    "evo2_7b_microviridae": None,
}


def test_the_cards_are_the_files_of_the_configuration() -> None:
    assert [card.name for card in all_cards()] == sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    evo1 = {card.hub_id for card in all_cards() if card.architecture is None}
    assert evo1 == {*PUBLISHED, None}


@pytest.mark.parametrize("hub_id", PUBLISHED)
def test_published_checkpoint_has_a_card(hub_id: str) -> None:
    card = find_card(hub_id)
    assert card is not None
    assert (card.revision, card.context_length) == PUBLISHED[hub_id]
    assert (card.bos_id, card.licence, card.num_parameters) == (0, "Apache-2.0", 6_452_781_056)
    assert set(card.domains) == {"bacteria", "archaea", "phage", "plasmid"}
    assert card.rotary_scaling == (16 if card.context_length > 8192 else 1)
    assert not card.needs_fp8


def test_revisions_are_those_that_the_public_scorer_loads() -> None:
    models = pytest.importorskip("evo.models", reason="evo-model is not installed", exc_type=ImportError)
    own = {card.name for card in all_cards() if card.architecture is None}
    assert own - {DEMO} == set(models.MODEL_NAMES)
    assert set(models.HF_MODEL_NAME_MAP.values()) == set(PUBLISHED)


def public_package() -> tuple[Path, dict[str, Any]]:
    """The folder of evo2 and the names in it; importing the package needs a GPU."""
    found = importlib.util.find_spec("evo2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("evo2 is not installed")
    folder = Path(found.submodule_search_locations[0])
    return folder, runpy.run_path(str(folder / "utils.py"))


@pytest.mark.parametrize("name", EVO2_LOSSES)
def test_cards_of_evo_2_say_what_the_public_package_says(name: str) -> None:
    """Its configurations, hub ids and the losses that its own test expects."""
    folder, names = public_package()
    published = yaml.safe_load((folder / names["CONFIG_MAP"][name]).read_text())
    card = card_named(name)
    assert card is not None and card.architecture is not None
    ours = card.architecture.config_settings(card.context_length, card.rotary_scaling)
    published.setdefault("use_interpolated_rotary_pos_emb", False)
    published.setdefault("rotary_emb_scaling_factor", 1)
    different = {key for key, value in ours.items() if published[key] != value}
    assert different <= {"max_seqlen"}
    assert published["max_seqlen"] == (32_768 if card.context_length == 8192 and "7b" in name else card.context_length)
    assert card.hub_id == names["HF_MODEL_NAME_MAP"][name]
    assert card.needs_fp8 == ("7b" not in name)
    assert card.published_loss == EVO2_LOSSES[name]
    assert (card.bos_id, card.licence, "virus" in card.domains) == (None, "Apache-2.0", False)
    assert card.num_parameters == num_parameters(config_of(card))


def test_every_model_of_the_public_package_has_a_card() -> None:
    names = public_package()[1]["MODEL_NAMES"]
    assert {card.name for card in all_cards() if card.architecture} == set(names) == set(EVO2_LOSSES)


def test_the_card_of_the_demo_is_true() -> None:
    card = find_card(DEMO)
    assert card is not None
    config = read_config(DEMO_FOLDER)
    assert card.context_length == config.max_seqlen
    assert card.num_parameters == sum(_size(shape) for shape in expected_shapes(config).values())
    assert card.domains == ("mitochondrion",)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


def test_an_unknown_key_or_domain_in_a_card_is_an_error() -> None:
    good = yaml.safe_load((CONFIGS / "demo.yaml").read_text())
    ModelCard.model_validate(good)
    for bad in ({**good, "license": "MIT"}, {**good, "domains": ["bacterium"]}, {**good, "context_length": 0}):
        with pytest.raises(ValidationError):
            ModelCard.model_validate(bad)


def test_a_folder_has_no_card_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_random_checkpoint(tmp_path / "togethercomputer/evo-1-8k-base", small_config(max_seqlen=77), seed=0)
    assert find_card("togethercomputer/evo-1-8k-base") is None
    described = describe_network("togethercomputer/evo-1-8k-base", device="cpu")
    assert (described.revision, described.context_length) == (None, 77)
    assert (described.domains, described.remarks) == (None, (NO_CARD,))


@pytest.mark.parametrize(
    ("domain", "trained_on", "off_label"),
    [
        ("eukaryote", ("bacteria",), True),
        ("bacteria", ("bacteria",), False),
        ("mitochondrion", (), True),
        (None, ("bacteria",), False),
        ("eukaryote", None, False),
    ],
)
def test_off_label_is_what_a_card_does_not_name(domain: str | None, trained_on: tuple | None, off_label: bool) -> None:
    assert is_off_label(domain, trained_on) is off_label


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot folder of evo-1-131k-base in a hub cache, under the card's revision; offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository, commit = tmp_path / "hub" / "models--togethercomputer--evo-1-131k-base", "c" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "1.1_fix").write_text(commit)
    (repository / "snapshots").mkdir()
    return repository / "snapshots" / commit


def test_the_card_holds_over_a_published_configuration_that_is_wrong(hub: Path) -> None:
    write_random_checkpoint(hub, small_config(max_seqlen=8192), seed=0)
    described = describe_network("togethercomputer/evo-1-131k-base", device="cpu")
    assert (described.revision, described.context_length) == ("1.1_fix", 131_072)
    assert described.remarks == (
        "config.json of evo-1-131k-base: max_seqlen is 8,192, the card's 131,072 holds.",
        "config.json of evo-1-131k-base: positions are divided by 1, the card's 16 holds.",
    )
    as_published = describe_network(str(hub), device="cpu")
    assert as_published.weights_hash != described.weights_hash


def test_saved_again_it_keeps_what_the_card_knew(hub: Path, tmp_path: Path) -> None:
    write_random_checkpoint(hub, small_config(max_seqlen=8192), seed=0)
    loaded = load_network("togethercomputer/evo-1-131k-base", device="cpu")
    model = Evo1ForCausalLM(Evo1PreTrainedConfig(**loaded.network.config.keys()))
    model.load_state_dict(loaded.network.state_dict())
    model.save_pretrained(tmp_path / "again")
    again = load_network(tmp_path / "again", device="cpu")
    assert (again.facts.context_length, again.facts.weights_hash) == (131_072, loaded.facts.weights_hash)


@pytest.mark.parametrize("hub_id", ["togethercomputer/evo-1-131k-base", "TogetherComputer/Evo-1-131k-Base"])
def test_a_hub_id_in_any_letters_has_its_card(hub_id: str) -> None:
    card = find_card(hub_id)
    assert card is not None and card.revision == "1.1_fix"
    assert find_card("Demo") is None


@pytest.mark.parametrize(
    "origin",
    [
        {"_name_or_path": "togethercomputer/evo-1-131k-base"},
        {"auto_map": {"AutoConfig": "togethercomputer/evo-1-131k-base--configuration_hyena.StripedHyenaConfig"}},
    ],
    ids=["name", "code"],
)
def test_a_copy_of_a_published_folder_with_a_wrong_configuration_says_so(tmp_path: Path, origin: dict) -> None:
    for number, config in enumerate(
        (
            small_config(max_seqlen=8192),
            small_config(max_seqlen=131_072, use_interpolated_rotary_pos_emb=True, rotary_emb_scaling_factor=16),
        )
    ):
        folder = tmp_path / str(number)
        write_random_checkpoint(folder, config, seed=0)
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**settings, **origin}))
    wrong, right = (describe_network(tmp_path / number, device="cpu").remarks for number in "01")
    assert right == (NO_CARD,)
    assert "comes from togethercomputer/evo-1-131k-base" in wrong[1]
    assert wrong[1].endswith("max_seqlen should be 131,072 and rotary_emb_scaling_factor 16.")


def test_a_published_configuration_that_agrees_is_left_alone(hub: Path) -> None:
    right = {"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": 16}
    write_random_checkpoint(hub, small_config(max_seqlen=131_072, **right), seed=0)
    described = describe_network("togethercomputer/evo-1-131k-base", device="cpu")
    assert described.remarks == ()
    assert described.weights_hash == describe_network(str(hub), device="cpu").weights_hash
    assert json.loads((hub / "config.json").read_text())["max_seqlen"] == 131_072
