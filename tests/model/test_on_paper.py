import pytest

from raygen.errors import InputError, SettingsError
from raygen.model.evo2 import Evo2ForCausalLM
from raygen.model.loading import load_network
from raygen.model.on_paper import model_on_paper, state_bytes
from tests.model.models import small_evo2_config


def test_a_state_on_paper_is_as_large_as_a_real_one():
    network = load_network("demo", device="cpu", dtype="float32").network
    assert state_bytes(model_on_paper("demo"), 1000, "float32") == network.state_bytes(1000)


def test_a_state_of_evo2_is_as_large_on_paper(tmp_path):
    network = Evo2ForCausalLM(small_evo2_config())
    network.save_pretrained(tmp_path)
    assert state_bytes(model_on_paper(str(tmp_path)), 100, "float32") == network.state_bytes(100)


def test_a_published_model_is_known_by_its_card():
    model = model_on_paper("togethercomputer/evo-1-8k-base", device="cuda")
    assert (model.context_length, model.num_parameters, model.device) == (8192, 6_452_781_056, "cuda")
    assert model.key == "togethercomputer/evo-1-8k-base@1.1_fix"


def test_a_configuration_that_is_not_here_is_said_so(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"config\.json of .* is not here and cannot be fetched"):
        state_bytes(model_on_paper("togethercomputer/evo-1-8k-base"), 1000)


def test_an_unknown_model_is_refused():
    with pytest.raises(SettingsError, match="there is no such folder"):
        model_on_paper("nowhere")
