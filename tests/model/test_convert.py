"""Published Evo 2 checkpoints become folders that load, with the numbers of the public reference; broken ones are named."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from raygen.doctor import try_model
from raygen.errors import InputError, SettingsError, StoppedError
from raygen.model import convert, loading
from raygen.model.auto_classes import Evo2ForCausalLM
from raygen.model.cards import UNVALIDATED, Evo2Architecture, ModelCard, card_named
from raygen.model.convert import config_of, convert_checkpoint, convert_named, find_source
from raygen.model.evo2 import Evo2Config
from raygen.model.loading import describe_network, load_network
from raygen.settings import load_settings
from raygen.trials.window_comparison import ComparisonRequest, run_comparison
from tests.builders import fasta, random_bases, snvs, vcf
from tests.model.models import largest_difference, random_tokens, small_evo2_config
from tests.model.published_evo2 import load_into_reference, published_tensors, write_published
from tests.model.vortex_on_cpu import reference_logits, reference_of

SMALL = Evo2Architecture(
    layers="SMLA SML", hidden_size=32, num_attention_heads=2, filter_groups=8, inner_mlp_size=48, rotary_emb_base=10_000
)


@pytest.fixture(autouse=True)
def small_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cards of evo2_7b and evo2_40b, with small models behind them."""
    small = {}
    for name in ("evo2_7b", "evo2_40b"):
        card = card_named(name)
        assert card is not None
        small[name] = card.model_copy(update={"architecture": SMALL, "context_length": 500, "published_loss": None})

    def named(name: str) -> ModelCard | None:
        return small.get(name)

    monkeypatch.setattr("raygen.model.cards.card_named", named)
    monkeypatch.setattr(convert, "card_named", named)
    monkeypatch.setattr("raygen.model.cards._by_name", lambda: {card.hub_id: card for card in small.values()})


@pytest.fixture
def config() -> Evo2Config:
    return Evo2Config(**SMALL.config_settings(500, 128))


@pytest.fixture
def tensors(config: Evo2Config) -> dict[str, Any]:
    return published_tensors(config)


@pytest.mark.parametrize("num_parts", [0, 3])
def test_a_published_checkpoint_gives_the_numbers_of_the_reference(
    tmp_path: Path, tensors: dict[str, Any], num_parts: int
) -> None:
    made = convert_named(str(write_published(tmp_path / "evo2_7b.pt", tensors, num_parts)), tmp_path / "model")
    network = load_network(made.folder, device="cpu").network
    reference = reference_of(network)  # a model of the same shape, whose weights are now replaced
    load_into_reference(reference, tensors)
    reference.float()  # it takes the reordered Wqkv in the type of the file
    tokens = random_tokens(2, 300)
    with torch.inference_mode():
        assert largest_difference(network(tokens), reference_logits(reference, tokens)) < 1e-4


def test_what_is_not_taken_over_is_said(tmp_path: Path, tensors: dict[str, Any]) -> None:
    made = convert_named(str(write_published(tmp_path / "evo2_7b.pt", tensors)), tmp_path / "model")
    assert made.remarks == (
        "Not taken over: 2 entries ._extra_state (how FP8 layers were scaled).",
        "Not taken over: 2 entries .mixer.mixer.filter.t (a time axis).",
        "Not taken over: unembed.weight (the embedding again).",
    )
    assert made.num_tensors == len(tensors) - 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evo2_7b.pt", "model"]


def test_an_unembedding_that_differs_is_said(tmp_path: Path, tensors: dict[str, Any]) -> None:
    tensors["unembed.weight"] += 1
    made = convert_named(str(write_published(tmp_path / "evo2_7b.pt", tensors)), tmp_path / "model")
    assert "differs from the embedding" in made.remarks[-1]


def test_shards_and_the_card_are_in_the_folder(tmp_path: Path, tensors: dict[str, Any], config: Evo2Config) -> None:
    source = find_source(write_published(tmp_path / "evo2_7b.pt", tensors))
    card = card_named("evo2_7b")
    assert card is not None
    own = config_of(card.model_copy(update={"architecture": SMALL, "context_length": 500}))
    made = convert_checkpoint(source, own, tmp_path / "model", max_shard_bytes=40_000)
    assert made.num_files > 2 and (made.folder / "model.safetensors.index.json").is_file()
    described = describe_network(made.folder, device="cpu")
    assert (described.bos_id, described.context_length, described.num_layers) == (None, 500, 7)
    assert described.domains is not None and "eukaryote" in described.domains
    assert described.remarks == ()
    network = AutoModelForCausalLM.from_pretrained(made.folder)
    assert type(network) is Evo2ForCausalLM


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_leaves_filters_norms_and_frequencies_in_float32(
    tmp_path: Path, tensors: dict[str, Any], dtype: str
) -> None:
    made = convert_named(str(write_published(tmp_path / "evo2_7b.pt", tensors)), tmp_path / "model")
    network = load_network(made.folder, device="cpu", dtype=dtype).network
    for name, value in network.state_dict().items():
        endings = ("log_poles", "residues", "D", "h", "short_filter_weight", "scale", "inv_freq")
        kept = name.endswith(tuple(f".{ending}" for ending in endings))
        assert value.dtype == (torch.float32 if kept else getattr(torch, dtype)), name
    stored = tensors["blocks.3.inner_mha_cls.rotary_emb.inv_freq"]
    assert torch.equal(network.backbone.blocks[3].inner_mha_cls.rotary_emb.inv_freq, stored.float())


def test_a_fine_tuned_checkpoint_is_built_like_its_base_and_has_no_card(
    tmp_path: Path, tensors: dict[str, Any]
) -> None:
    file = write_published(tmp_path / "mine.pt", tensors)
    with pytest.raises(SettingsError, match="What mine is cannot be told from its name"):
        convert_named(str(file), tmp_path / "model")
    made = convert_named(str(file), tmp_path / "model", like="evo2_7b")
    described = describe_network(made.folder, device="cpu")
    assert (described.domains, described.bos_id, described.unvalidated) == (None, None, False)


def test_a_configuration_of_the_reference_is_taken(tmp_path: Path, tensors: dict[str, Any], config: Evo2Config) -> None:
    settings = {name: value for name, value in config.keys().items() if name != "card"}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({**settings, "column_split": True, "model_name": "mine"}))
    file = write_published(tmp_path / "mine.pt", tensors)
    by_config = convert_named(str(file), tmp_path / "a", config_file=str(tmp_path / "mine.yml"))
    by_card = convert_named(str(file), tmp_path / "b", like="evo2_7b")
    hashes = [describe_network(made.folder, device="cpu").weights_hash for made in (by_config, by_card)]
    assert hashes[0] == hashes[1]


def test_a_hub_id_is_fetched_and_converted_once(
    tmp_path: Path, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_published(tmp_path / "evo2_7b.pt", tensors)
    asked = []
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loading, "fetch_from_hub", lambda *given: asked.append(given) or tmp_path)
    first = describe_network("arcinstitute/evo2_7b", device="cpu")
    assert first.remarks[0].startswith("evo2_7b was converted to safetensors once: ")
    monkeypatch.setattr(convert, "convert_checkpoint", lambda *_: pytest.fail("converted again"))
    again = describe_network("arcinstitute/evo2_7b", device="cpu")
    assert (again.remarks, again.weights_hash, again.revision) == ((), first.weights_hash, "main")
    assert asked == [("arcinstitute/evo2_7b", "main", ("*.pt", "*.pt.part*"))] * 2


@pytest.mark.parametrize(
    ("wrap", "remark"),
    [
        (lambda found: {"model": found, "optimizer": {}, "step": 5}, "under model, but not optimizer, step."),
        (lambda found: {"state_dict": found}, "Taken over: what lies under state_dict."),
        (lambda found: {f"module.{name}": value for name, value in found.items()}, "begins with module."),
        (lambda found: {f"backbone.{name}": value for name, value in found.items()}, "begins with backbone."),
    ],
    ids=["model beside optimizer", "state_dict", "module.", "backbone."],
)
def test_what_a_training_script_puts_around_tensors_is_taken_off(
    tmp_path: Path, tensors: dict[str, Any], wrap: Any, remark: str
) -> None:
    made = convert_named(str(write_published(tmp_path / "evo2_7b.pt", wrap(tensors))), tmp_path / "model")
    assert remark in made.remarks[0]
    assert made.num_tensors == len(tensors) - 5


def test_tensors_in_two_places_are_refused(tmp_path: Path, tensors: dict[str, Any]) -> None:
    file = write_published(tmp_path / "evo2_7b.pt", {"model": tensors, "state_dict": tensors})
    with pytest.raises(InputError, match="holds tensors under model and state_dict"):
        convert_named(str(file), tmp_path / "model")


def test_a_file_in_the_old_format_is_read(tmp_path: Path, tensors: dict[str, Any]) -> None:
    torch.save(tensors, tmp_path / "evo2_7b.pt", _use_new_zipfile_serialization=False)
    made = convert_named(str(tmp_path / "evo2_7b.pt"), tmp_path / "model")
    assert made.num_tensors == len(tensors) - 5


def test_tensors_that_share_memory_are_written_each(tmp_path: Path, tensors: dict[str, Any]) -> None:
    one = torch.ones(32)
    shared = {name: one for name in tensors if name.endswith("filter.D")}
    assert len(shared) > 1
    file = write_published(tmp_path / "evo2_7b.pt", {**tensors, **shared})
    made = convert_named(str(file), tmp_path / "model")
    state = load_network(made.folder, device="cpu").network.state_dict()
    assert all(torch.equal(state[f"backbone.{name}"], one) for name in shared)


def test_a_configuration_may_name_a_model_type(tmp_path: Path, tensors: dict[str, Any], config: Evo2Config) -> None:
    settings = {name: value for name, value in config.keys().items() if name != "card"}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({**settings, "model_type": "stripedhyena"}))
    file = write_published(tmp_path / "mine.pt", tensors)
    made = convert_named(str(file), tmp_path / "model", config_file=str(tmp_path / "mine.yml"))
    assert json.loads((made.folder / "config.json").read_text())["model_type"] == "stripedhyena2"


def test_another_way_of_converting_is_another_folder(
    tmp_path: Path, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_published(tmp_path / "evo2_7b.pt", tensors)
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))
    card = convert.card_named("evo2_7b")
    assert card is not None
    first, _ = convert.converted_folder(card, tmp_path)
    assert convert.converted_folder(card, tmp_path)[0] == first
    monkeypatch.setattr(convert, "CONVERSION_VERSION", convert.CONVERSION_VERSION + 1)
    assert convert.converted_folder(card, tmp_path)[0] != first


# FP8


def test_a_model_that_needs_fp8_is_refused_before_it_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "fetch_from_hub", lambda *_: pytest.fail("fetched"))
    with pytest.raises(
        SettingsError, match=r"evo2_40b needs FP8 .* its publishers say.* model.allow_unvalidated: true"
    ):
        describe_network("arcinstitute/evo2_40b", device="cpu")


def test_a_converted_folder_that_needs_fp8_is_refused_or_flagged(tmp_path: Path, tensors: dict[str, Any]) -> None:
    made = convert_named(str(write_published(tmp_path / "evo2_40b.pt", tensors)), tmp_path / "model")
    with pytest.raises(SettingsError, match="evo2_40b needs FP8"):
        load_network(made.folder, device="cpu")
    loaded = load_network(made.folder, device="cpu", allow_unvalidated=True)
    described = describe_network(made.folder, device="cpu", allow_unvalidated=True)
    assert loaded.facts.unvalidated and described.unvalidated
    assert UNVALIDATED in described.remarks[-1]


def test_windows_are_compared_and_the_doctor_tries_it_when_told(tmp_path: Path, tensors: dict[str, Any]) -> None:
    made = convert_named(str(write_published(tmp_path / "evo2_40b.pt", tensors)), tmp_path / "model")
    bases = random_bases(200, 1)
    given = {
        "input.variants": [str(vcf(tmp_path, snvs("1", bases, range(50, 60))))],
        "input.reference": str(fasta(tmp_path, {"1": bases})),
        "model.name": str(made.folder),
        "model.device": "cpu",
        "output.path": "not-written",
    }
    request = ComparisonRequest(load_settings(None, given=given), ["16+16", "16+8"])
    with pytest.raises(SettingsError, match="evo2_40b needs FP8"):
        run_comparison(request, say=lambda line: None)
    allowed = load_settings(None, given={**given, "model.allow_unvalidated": True})
    compared = run_comparison(replace(request, settings=allowed), say=lambda line: None).windows
    assert [one.window for one in compared] == ["16+16", "16+8"]
    assert all(one.rank_correlation is not None for one in compared)
    with pytest.raises(SettingsError, match="evo2_40b needs FP8"):
        try_model(str(made.folder), "cpu")
    assert "scores a pair" in try_model(str(made.folder), "cpu", allow_unvalidated=True)


def test_without_a_card_the_configuration_says_whether_fp8_is_needed(tmp_path: Path, tensors: dict[str, Any]) -> None:
    made = convert_named(str(write_published(tmp_path / "mine.pt", tensors)), tmp_path / "model", like="evo2_40b")
    with pytest.raises(SettingsError, match=r"model needs FP8 .* use_fp8_input_projections"):
        describe_network(made.folder, device="cpu")


# What is wrong


def test_every_tensor_that_does_not_fit_is_named_and_nothing_is_written(
    tmp_path: Path, tensors: dict[str, Any]
) -> None:
    del tensors["norm.scale"]
    tensors["blocks.0.filter.q"] = torch.zeros(3)
    tensors["blocks.1.filter.h"] = torch.zeros(9, 1, 128)
    tensors["blocks.2.filter.D"] = torch.zeros(32, dtype=torch.int64)
    with pytest.raises(InputError) as raised:
        convert_named(str(write_published(tmp_path / "evo2_7b.pt", tensors)), tmp_path / "model")
    for said in (
        "evo2_7b does not fit the architecture that was named.",
        "1 missing: backbone.norm.scale.",
        "1 left over: backbone.blocks.0.filter.q.",
        "backbone.blocks.1.filter.h is float32 [9, 1, 128], not [8, 1, 128]",
        "backbone.blocks.2.filter.D is int64 [32], not [32]",
    ):
        assert said in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["evo2_7b.pt"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.empty(32, device="meta"), "is without values float32 [32], not [32]"),
        (torch.ones(32).to_sparse(), "is sparse float32 [32], not [32]"),
        (torch.ones(32).to(torch.float8_e4m3fn), "is float8_e4m3fn [32], not [32] of float64, float32, bfloat16 or"),
    ],
    ids=["meta", "sparse", "FP8"],
)
def test_a_tensor_that_cannot_be_written_is_named_before_anything_is(
    tmp_path: Path, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch, value: torch.Tensor, said: str
) -> None:
    monkeypatch.setattr(convert, "_write", lambda *_: pytest.fail("written"))
    file = write_published(tmp_path / "evo2_7b.pt", {**tensors, "norm.scale": value, "unembed.weight": value})
    with pytest.raises(InputError) as raised:
        convert_named(str(file), tmp_path / "model")
    assert f"backbone.norm.scale {said}" in str(raised.value)


def test_values_that_are_no_numbers_are_named(tmp_path: Path, tensors: dict[str, Any]) -> None:
    tensors["norm.scale"][3] = float("nan")
    with pytest.raises(InputError, match=r"evo2_7b is broken. 1 with values .*NaN.: backbone.norm.scale"):
        convert_named(str(write_published(tmp_path / "evo2_7b.pt", tensors)), tmp_path / "model")


def test_the_wrong_rotary_base_is_another_model(tmp_path: Path, tensors: dict[str, Any]) -> None:
    source = find_source(write_published(tmp_path / "evo2_7b.pt", tensors))
    other = Evo2Config(**{**SMALL.config_settings(500, 128), "rotary_emb_base": 1_000_000})
    with pytest.raises(InputError, match=r"not of the rotary base 1e\+06: backbone.blocks.3"):
        convert_checkpoint(source, other, tmp_path / "model")


def test_random_weights_have_the_frequencies_of_their_configuration(tmp_path: Path) -> None:
    other = Evo2Config(**{**SMALL.config_settings(500, 128), "rotary_emb_base": 1_000_000})
    source = find_source(write_published(tmp_path / "mine.pt", published_tensors(other)))
    assert convert_checkpoint(source, other, tmp_path / "model").folder.is_dir()


def test_a_pickle_that_would_run_code_is_not_opened(tmp_path: Path, tensors: dict[str, Any]) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    with pytest.raises(InputError, match="holds more than tensors and is not opened"):
        convert_named(str(write_published(tmp_path / "evo2_7b.pt", {**tensors, "evil": Evil()})), tmp_path / "model")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"a": 1})])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "evo2_7b.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"evo2_7b.pt .*cannot be read as a checkpoint|holds more than"):
        convert_named(str(tmp_path / "evo2_7b.pt"), tmp_path / "model")


def test_half_a_download_is_named(tmp_path: Path, tensors: dict[str, Any]) -> None:
    file = write_published(tmp_path / "evo2_7b.pt", tensors)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match="Was it copied or downloaded completely"):
        convert_named(str(file), tmp_path / "model")


def test_parts_in_the_wrong_order_are_told_by_the_name_of_the_source(tmp_path: Path, tensors: dict[str, Any]) -> None:
    first = write_published(tmp_path / "evo2_7b.pt", tensors, 2)
    second, spare = first.with_name("evo2_7b.pt.part1"), first.with_name("spare")
    first.rename(spare), second.rename(first), spare.rename(second)
    with pytest.raises(InputError, match=r"evo2_7b.pt \(2 parts put together\) .* the order of its parts right"):
        convert_named(str(first), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_missing_part_is_named(tmp_path: Path, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_published(tmp_path / "evo2_7b.pt", tensors, 3)
    Path(f"{tmp_path / 'evo2_7b.pt'}.part1").unlink()
    for given in (first, tmp_path / "evo2_7b.pt", tmp_path):
        with pytest.raises(InputError, match=r"1 of 3 parts are not there: evo2_7b.pt.part1"):
            find_source(given)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{tmp_path}: 1 of 3 parts"):
        find_source(Path("evo2_7b.pt.part0"))


def test_of_many_tensors_that_do_not_fit_the_first_five_are_named(tmp_path: Path) -> None:
    source = find_source(
        write_published(tmp_path / "evo2_7b.pt", {f"x{number}": torch.zeros(1) for number in range(8)})
    )
    with pytest.raises(InputError, match=r"8 left over: [^,]+x0(, [^,]+x[1-4]){4} and 3 more\."):
        convert_checkpoint(source, small_evo2_config(), tmp_path / "model")


@pytest.mark.parametrize(("name", "sentence"), [("x.pt", "No such file: .*x.pt"), ("x.bin", "is neither a .pt file")])
def test_a_missing_file_is_named(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        find_source(tmp_path / name)


def test_a_folder_holds_one_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no .pt file"):
        find_source(tmp_path)
    (tmp_path / "a.pt").touch()
    assert find_source(tmp_path).files == (tmp_path / "a.pt",)
    (tmp_path / "b.pt").touch()
    with pytest.raises(InputError, match=r"holds several checkpoints \(a.pt, b.pt\): name one"):
        find_source(tmp_path)


def test_a_target_that_exists_and_two_answers_are_refused(tmp_path: Path, tensors: dict[str, Any]) -> None:
    file = str(write_published(tmp_path / "evo2_7b.pt", tensors))
    convert_named(file, tmp_path / "model")
    with pytest.raises(SettingsError, match="exists already"):
        convert_named(file, tmp_path / "model")
    with pytest.raises(SettingsError, match="--model and --like say what the checkpoint is"):
        convert_named(file, tmp_path / "other", model="evo2_7b", like="evo2_7b")
    with pytest.raises(SettingsError, match="There is no Evo 2 checkpoint evo3"):
        convert_named(file, tmp_path / "other", model="evo3")


def test_a_small_disk_is_seen_beforehand(
    tmp_path: Path, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_published(tmp_path / "evo2_7b.pt", tensors, 2)
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: type("usage", (), {"free": 1000}))
    with pytest.raises(StoppedError, match=r"0.0 GB free, .* evo2_7b takes .* put together first\)\. Make room"):
        convert_named(str(file), tmp_path / "model")


def test_the_room_is_that_of_what_is_written(
    tmp_path: Path, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_published(tmp_path / "evo2_7b.pt", {"model": tensors, "optimizer": torch.zeros(1_000_000)})
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: type("usage", (), {"free": 1_000_000}))
    convert_named(str(file), tmp_path / "model")
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: type("usage", (), {"free": 50_000}))
    with pytest.raises(StoppedError, match=r"0.0 GB free, and converting evo2_7b takes 0.0 GB\. Make room"):
        convert_named(str(file), tmp_path / "other")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "The disk of TARGET is full. Make room and run"),
        (SafetensorError("I/O error: No space left (os error 28)"), "The disk of TARGET is full. Make room and run"),
        (
            SafetensorError("I/O error: File too large (os error 27)"),
            "TARGET could not be written: File too large. Run",
        ),
    ],
)
def test_a_shard_that_cannot_be_written_stops_with_the_name_of_the_target(
    tmp_path: Path, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(convert, "save_file", full)
    file = write_published(tmp_path / "evo2_7b.pt", tensors)
    with pytest.raises(StoppedError, match=words.replace("TARGET", str(tmp_path / "model"))):
        convert_named(str(file), tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["evo2_7b.pt"]


def test_a_target_that_came_meanwhile_and_a_link_to_nothing_are_named(
    tmp_path: Path, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(write_published(tmp_path / "evo2_7b.pt", tensors))
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(SettingsError, match="link exists already"):
        convert_named(file, tmp_path / "link")
    checked = convert.check_checkpoint

    def another_is_first(*given: Any) -> None:
        checked(*given)
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").touch()

    monkeypatch.setattr(convert, "check_checkpoint", another_is_first)
    with pytest.raises(SettingsError, match=rf"^{tmp_path / 'model'} exists by now"):
        convert_named(file, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evo2_7b.pt", "link", "model"]


def test_a_configuration_with_faults_lists_them() -> None:
    settings = small_evo2_config().keys()
    bad = {"hidden_size": 34, "hcm_filter_length": 64, "interleave": False, "hcl_layer_idxs": [9], "state_size": None}
    with pytest.raises(InputError) as raised:
        Evo2Config(**{**settings, **bad})
    for said in ("missing state_size", "hcm_filter_length is 64", "interleave is False, only true is supported"):
        assert said in str(raised.value)
    with pytest.raises(InputError, match=r"name the layers \[0, 1, 3, 9\].*not divisible into 8 groups"):
        Evo2Config(**{**settings, "hidden_size": 36, "hcl_layer_idxs": [9]})


def test_the_folder_written_is_json_that_says_its_card(tmp_path: Path, tensors: dict[str, Any]) -> None:
    made = convert_named(str(write_published(tmp_path / "evo2_7b.pt", tensors)), tmp_path / "model")
    written = json.loads((made.folder / "config.json").read_text())
    assert (written["card"], written["dtype"], written["rotary_emb_scaling_factor"]) == ("evo2_7b", "bfloat16", 128)
