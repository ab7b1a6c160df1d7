import json

import pytest

from raygen.errors import InputError, SettingsError
from raygen.model.cards import all_cards
from raygen.model.loading import load_network
from raygen.model.on_paper import model_on_paper, state_on_paper
from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.scoring.fingerprint import fingerprint
from tests.model.models import num_parameters, small_config, small_evo2_config


def test_a_state_on_paper_is_as_large_as_a_real_one():
    network = load_network("demo", device="cpu", dtype="float32").network
    assert state_on_paper(model_on_paper("demo"), "float32") == network.state_size()


def test_a_state_of_evo2_is_as_large_on_paper(tmp_path):
    write_random_checkpoint(tmp_path / "model", small_evo2_config(), seed=0)
    network = load_network(tmp_path / "model", device="cpu", dtype="float32").network
    assert state_on_paper(model_on_paper(str(tmp_path / "model")), "float32") == network.state_size()


def test_a_published_model_is_known_by_its_card():
    model = model_on_paper("togethercomputer/evo-1-8k-base", device="cuda")
    assert (model.context_length, model.num_parameters, model.device) == (8192, 6_452_781_056, "cuda")
    assert model.key == "togethercomputer/evo-1-8k-base@1.1_fix"


@pytest.mark.parametrize("name", ["demo", "togethercomputer/evo-1-8k-base"])
def test_a_model_on_paper_has_no_fingerprint(name):
    with pytest.raises(ValueError, match=f"{name} is known on paper only"):
        fingerprint(model_on_paper(name, device="cuda"), None, "forward")


def test_a_state_of_a_published_evo2_comes_from_its_card_without_the_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = model_on_paper("arcinstitute/evo2_7b_base", device="cuda")
    keys_and_values = 5 * 2 * 4096 * 2  # bytes a token: attention layers, keys and values, width, half precision
    assert state_on_paper(model).per_token == keys_and_values


def test_a_model_that_scoring_refuses_is_not_planned_unless_it_is_asked_for():
    with pytest.raises(SettingsError, match=r"evo2_40b needs FP8 .* model.allow_unvalidated: true"):
        model_on_paper("arcinstitute/evo2_40b")
    assert model_on_paper("arcinstitute/evo2_40b", allow_unvalidated=True).num_parameters > 4e10


def test_a_configuration_that_is_not_here_is_said_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"evo-1-8k-base at revision 1\.1_fix is not in the local hub cache"):
        state_on_paper(model_on_paper("togethercomputer/evo-1-8k-base"))


def test_of_a_model_on_the_hub_only_its_configuration_is_fetched(tmp_path, monkeypatch):
    config = small_config(max_seqlen=77)
    (tmp_path / "config.json").write_text(json.dumps(config.as_published()))
    asked = []
    monkeypatch.setattr("raygen.model.hub.fetch_from_hub", lambda *given: asked.append(given) or tmp_path)
    model = model_on_paper("org/fine-tuned", "main", device="cuda")
    assert (model.context_length, model.bos_id, model.num_parameters) == (77, 0, num_parameters(config))
    assert model.key == "org/fine-tuned@main" and state_on_paper(model).prefix(50) > 0
    assert {tuple(files) for *_, files in asked} == {("config.json",)}
    evo2 = small_evo2_config(use_fp8_input_projections=True)
    (tmp_path / "config.json").write_text(json.dumps(evo2.as_published()))
    with pytest.raises(SettingsError, match="needs FP8"):
        model_on_paper("org/fine-tuned")


def test_an_unknown_model_or_a_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"which is a file\. A model is a folder"):
        model_on_paper(str(tmp_path / "model.safetensors"))
    with pytest.raises(SettingsError, match="there is no such folder"):
        model_on_paper("nowhere")


@pytest.mark.parametrize("name", ["evo2_7b_base", "evo-1-8k-base"])
def test_a_card_that_is_asked_for_by_its_own_name_is_told_its_hub_id(name):
    hub_id = next(card.hub_id for card in all_cards() if card.name == name)
    with pytest.raises(SettingsError, match=f"there is no such folder. Did you mean {hub_id}"):
        model_on_paper(name)
