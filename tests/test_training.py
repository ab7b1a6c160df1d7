"""The jobs that train and measure the shipped model: corpus, sampler, baseline, resume. Small, on built genomes."""

import lzma
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from raygen.errors import InputError, SettingsError
from raygen.sequence.tokens import encode, reverse_complement
from tests.builders import random_bases, shared

JOBS = Path(__file__).parents[1] / "jobs" / "training"
sys.path.insert(0, str(JOBS))

from markov_baseline import MarkovModel  # noqa: E402
from mitochondrial_corpus import WindowSampler, held_out_windows, read_corpus  # noqa: E402
from train_demo_model import Trainer, next_base_loss, read_settings  # noqa: E402

SETTINGS = Path(__file__).parents[1] / "configs" / "training" / "demo.yaml"


def corpus(folder: Path, names: dict[str, list[str]], length: int = 400) -> Path:
    """``{group: [species, ...]}`` to one xz-compressed FASTA a group; every genome is random."""
    folder.mkdir()
    seed = 0
    for group, species in names.items():
        with lzma.open(folder / f"{group}.fa.xz", "wt") as file:
            for name in species:
                seed += 1
                file.write(f">ACC{seed}.1 {name}\n{random_bases(length, seed)}\n")
    return folder


def small_settings(tmp_path: Path, **changes) -> Path:
    tree = yaml.safe_load(SETTINGS.read_text())
    tree["model"] |= {"hidden_size": 16, "num_layers": 2, "attn_layer_idxs": [1], "num_attention_heads": 2}
    tree["model"] |= {"inner_mlp_size": 32, "state_size": 2}
    tree |= {"corpus": {"mammals": 1.0}, "phases": [{"steps": 4, "rows": 2, "tokens": 32}], "warmup_steps": 1}
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump(tree | changes))
    return path


SPECIES = [f"Genus{number} species{number}" for number in range(60)]


def test_a_species_is_held_out_whole_and_great_apes_always(tmp_path):
    names = {"mammals": [*SPECIES, *(f"{name} subspecies" for name in SPECIES)], "great_apes": ["Pan paniscus"]}
    genomes = read_corpus(corpus(tmp_path / "c", names))
    by_species: dict[str, set[bool]] = {}
    for genome in genomes:
        by_species.setdefault(genome.species, set()).add(genome.held_out)
    assert all(len(kinds) == 1 for kinds in by_species.values())
    assert by_species["Pan paniscus"] == {True}
    assert 0 < sum(kinds == {True} for kinds in by_species.values()) - 1 < 12


def test_human_sequence_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"human sequences \(ACC1\.1\)"):
        read_corpus(corpus(tmp_path / "c", {"great_apes": ["Homo sapiens"]}))


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no .*fa.xz files"):
        read_corpus(tmp_path)


def test_a_window_is_a_piece_of_the_circle_on_one_of_its_strands(tmp_path):
    genomes = read_corpus(corpus(tmp_path / "c", {"mammals": SPECIES}, length=50))
    circles = [np.concatenate([genome.tokens] * 2) for genome in genomes if not genome.held_out]
    both = b"|".join(strand.tobytes() for circle in circles for strand in (circle, reverse_complement(circle)))
    windows = WindowSampler(genomes, {"mammals": 1.0}, seed=3).batch(7, rows=40, length=30)
    assert all(window.tobytes() in both for window in windows)


def test_a_batch_depends_on_seed_and_number_alone(tmp_path):
    genomes = read_corpus(corpus(tmp_path / "c", {"mammals": SPECIES}))
    once, again = (WindowSampler(genomes, {"mammals": 1.0}, seed=3) for _ in range(2))
    once.batch(0, 4, 20)
    assert (once.batch(5, 4, 20) == again.batch(5, 4, 20)).all()
    assert (once.batch(5, 4, 20) != once.batch(6, 4, 20)).any()


def test_held_out_windows_hold_both_strands(tmp_path):
    windows = held_out_windows(read_corpus(corpus(tmp_path / "c", {"great_apes": ["Pan paniscus"]}, 100)), 50)
    first, second, third, fourth = windows["great_apes"]
    assert (np.concatenate([third, fourth]) == reverse_complement(np.concatenate([first, second]))).all()


def test_the_baseline_knows_a_repeat_and_nothing_of_noise():
    repeat = encode("AACAG" * 400)
    model = MarkovModel([repeat], order=4)
    assert model.bits_per_base(repeat[None, :500]) < 0.1
    assert model.bits_per_base(encode(random_bases(2000, 9))[None]) > 2


def test_the_baseline_of_order_zero_by_hand():
    """Both strands of AAC hold A 2, C 1, G 1, T 2; with a prior of 4 uniform bases P(A) = (2 + 4/4) / (6 + 4) = 0.3."""
    model = MarkovModel([encode("AAC")], order=0)
    assert model.bits_per_base(encode("A")[None]) == pytest.approx(-math.log2(0.3))


def test_training_goes_on_where_it_was_stopped(tmp_path):
    """Two steps, then a new trainer for the rest, against four steps at once: the same weights to rounding."""
    folder, settings = corpus(tmp_path / "c", {"mammals": SPECIES}), read_settings(str(small_settings(tmp_path)))
    at_once = Trainer(settings, folder, torch.device("cpu"))
    at_once.train(tmp_path / "once")
    first = Trainer(settings, folder, torch.device("cpu"))
    for _ in range(2):
        first.one_step(settings.phase_of(first.step))
        first.step += 1
    first.save(tmp_path / "twice")
    second = Trainer(settings, folder, torch.device("cpu"))
    second.resume(tmp_path / "twice")
    assert second.step == 2
    second.train(tmp_path / "twice")
    for name, weight in at_once.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], weight, atol=1e-4, rtol=1e-3, msg=name)


def test_a_run_with_other_settings_is_not_resumed(tmp_path):
    folder = corpus(tmp_path / "c", {"mammals": SPECIES})
    Trainer(read_settings(str(small_settings(tmp_path))), folder, torch.device("cpu")).save(tmp_path / "run")
    other = Trainer(read_settings(str(small_settings(tmp_path, seed=2))), folder, torch.device("cpu"))
    with pytest.raises(SettingsError, match="other settings"):
        other.resume(tmp_path / "run")


def test_the_first_loss_is_that_of_a_model_that_knows_nothing(tmp_path):
    """512 tokens, nearly alike: 9 bits, and training lowers it."""
    folder, settings = corpus(tmp_path / "c", {"mammals": SPECIES}), read_settings(str(small_settings(tmp_path)))
    trainer = Trainer(settings, folder, torch.device("cpu"))
    window = torch.from_numpy(trainer.sampler.batch(0, 4, 32)).long()
    before = next_base_loss(trainer.model, window).item() / math.log(2)
    trainer.train(tmp_path / "run")
    assert 7 < before < 13
    assert next_base_loss(trainer.model, window).item() / math.log(2) < before


def test_what_is_written_loads_as_a_published_checkpoint(tmp_path):
    import raygen

    folder, settings = corpus(tmp_path / "c", {"mammals": SPECIES}), read_settings(str(small_settings(tmp_path)))
    trainer = Trainer(settings, folder, torch.device("cpu"))
    trainer.save(tmp_path / "run")
    [found] = raygen.load_model(str(tmp_path / "run")).log_likelihoods(["ACGT" * 8])
    window = torch.from_numpy(encode("ACGT" * 8).astype(np.int64))[None]
    assert found == pytest.approx(-32 * next_base_loss(trainer.model, window).item(), rel=1e-2)  # bfloat16 in training


def test_the_shipped_settings_are_sound():
    settings = read_settings(str(SETTINGS))
    assert settings.rate(0) < 0.1
    assert settings.rate(settings.num_steps // 3) == 1
    assert 0 < settings.rate(settings.num_steps - 1) < 0.01


def test_the_corpus_holds_no_human_and_all_apes_are_held_out():
    genomes = read_corpus(shared("mitocorpus"))
    assert len(genomes) == 3986
    apes = [genome for genome in genomes if genome.species.split()[0] in ("Gorilla", "Pan", "Pongo")]
    assert len(apes) == 7
    assert all(genome.held_out for genome in apes)
    held = sum(genome.held_out for genome in genomes)
    assert 0.03 * len(genomes) < held < 0.07 * len(genomes)
