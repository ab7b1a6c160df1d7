"""Train the small model that ships as ``demo``: python jobs/training/train_demo_model.py CONFIG.yaml [--corpus FOLDER] [--out FOLDER]

In: a settings file (``configs/training/demo.yaml``) and a folder of mitochondrial genomes (see ``mitochondrial_corpus``).
Out: in ``--out`` the checkpoint as Evo 1 is published (config.json, model.safetensors) and ``progress.pt``, from which the
same command goes on where it was stopped. Loss and held-out loss are printed in bits per base.

It trains the layers of ``raygen.model.evo1`` themselves; there is no second copy of the architecture. On a CPU and a GPU
alike matrix products run in bfloat16 (autocast) on float32 weights, filters and logits in float32. Batches depend on the
seed and the step alone. Not bit-reproducible: the order of sums differs between processors and numbers of threads.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from mitochondrial_corpus import WindowSampler, held_out_windows, read_corpus
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save_file
from torch import Tensor, nn

from raygen.errors import RaygenError, SettingsError
from raygen.model import evo1, layers
from raygen.model.random_checkpoint import random_weights
from raygen.model.striped_hyena import HyenaBlock

LN2 = math.log(2)
BOS_ID = 0  # as the published models
MAX_POLE = 0.9999  # of a pole's size: a filter that forgets within some 10,000 bases
SAVE_EVERY, PRINT_EVERY, CHECK_EVERY = 250, 25, 250  # steps
CHECK_WINDOWS = 12  # held-out windows a group in a check on the way


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelShape(_Section):
    """What may be chosen of the architecture; the rest is as published."""

    hidden_size: int
    num_layers: int
    attn_layer_idxs: list[int]
    num_attention_heads: int
    inner_mlp_size: int
    state_size: int
    max_seqlen: int


class Phase(_Section):
    """So many steps of batches of rows x tokens."""

    steps: int = Field(ge=1)
    rows: int = Field(ge=1)
    tokens: int = Field(ge=2)


class LearningRates(_Section):
    """matrices: Muon. The others: AdamW."""

    matrices: float
    embedding: float
    vectors: float
    filters: float


class TrainingSettings(_Section):
    """A whole training run."""

    seed: int
    model: ModelShape
    corpus: dict[str, float] = Field(description="how often a window comes from each group")
    phases: list[Phase]
    learning_rates: LearningRates
    weight_decay: float = Field(ge=0, description="of matrices")
    warmup_steps: int = Field(ge=0)
    decay_share: float = Field(ge=0, le=1, description="of all steps, at the end, over which the rates fall to zero")

    @property
    def num_steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase_of(self, step: int) -> Phase:
        """The phase of a step counted from 0."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise AssertionError("a step after the last one")

    def rate(self, step: int) -> float:
        """Between 0 and 1: the share of the full learning rates at a step."""
        decay_steps = self.decay_share * self.num_steps
        falling = (self.num_steps - step) / decay_steps if decay_steps else 1.0
        return min(1.0, (step + 1) / max(self.warmup_steps, 1), falling)


class Trainer:
    """Model, optimisers and data of one run, and where it stands."""

    def __init__(self, settings: TrainingSettings, corpus: Path, device: torch.device) -> None:
        genomes = read_corpus(corpus)
        torch.manual_seed(settings.seed)
        self.settings, self.device, self.step = settings, device, 0
        self.sampler = WindowSampler(genomes, settings.corpus, settings.seed)
        self.held_out = held_out_windows(genomes, settings.phases[0].tokens)
        self.model = new_model(settings).to(device)
        _keep_filters_in_float32(self.model, device)
        self.optimizers = make_optimizers(self.model, settings)

    def train(self, out: Path) -> None:
        """Every step that is left, saved on the way."""
        sums, counted, since = 0.0, 0, time.monotonic()
        while self.step < self.settings.num_steps:
            phase = self.settings.phase_of(self.step)
            sums, counted = sums + self.one_step(phase), counted + 1
            self.step += 1
            if self.step % PRINT_EVERY == 0 or self.step == self.settings.num_steps:
                rate = counted * phase.rows * phase.tokens / (time.monotonic() - since)
                print(f"step {self.step:5d}  {sums / counted:.4f} bits/base  {rate:,.0f} tokens/s", flush=True)
                sums, counted, since = 0.0, 0, time.monotonic()
            if self.step % CHECK_EVERY == 0:
                self.print_held_out(CHECK_WINDOWS)
                since = time.monotonic()
            if self.step % SAVE_EVERY == 0 or self.step == self.settings.num_steps:
                self.save(out)

    def one_step(self, phase: Phase) -> float:
        """One optimiser step; its loss in bits per base."""
        rate = self.settings.rate(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * rate
            optimizer.zero_grad(set_to_none=True)
        window = torch.from_numpy(self.sampler.batch(self.step, phase.rows, phase.tokens)).to(self.device)
        loss = next_base_loss(self.model, window.long())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        _stabilise_poles(self.model)
        return loss.item() / LN2

    @torch.no_grad()
    def print_held_out(self, most: int | None = None) -> dict[str, float]:
        """Bits per base on held-out species by group, of at most so many windows a group."""
        found = {}
        for group, windows in self.held_out.items():
            chosen = windows if most is None else windows[:: max(len(windows) // most, 1)][:most]
            losses = [self._loss_of(part) * len(part) for part in np.array_split(chosen, -(-len(chosen) // 8))]
            found[group] = sum(losses) / len(chosen)
        print("  held out: " + "  ".join(f"{group} {bits:.4f}" for group, bits in found.items()), flush=True)
        return found

    def _loss_of(self, windows: np.ndarray) -> float:
        return next_base_loss(self.model, torch.from_numpy(windows).to(self.device).long()).item() / LN2

    def save(self, out: Path) -> None:
        """The state of the run, whole or not at all, and the checkpoint as it is now."""
        out.mkdir(parents=True, exist_ok=True)
        state = {
            "settings": self.settings.model_dump(),
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        partial = out / ".progress.pt"
        torch.save(state, partial)
        partial.replace(out / "progress.pt")
        write_checkpoint(self.model, out)

    def resume(self, out: Path) -> None:
        """Go on from what ``save`` wrote, if anything.

        Raises:
            SettingsError: it was trained with other settings.
        """
        if not (out / "progress.pt").exists():
            return
        state = torch.load(out / "progress.pt", map_location=self.device, weights_only=True)
        if state["settings"] != self.settings.model_dump():
            raise SettingsError(f"{out} holds a run with other settings. Give another --out.")
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]
        print(f"resumed at step {self.step}", flush=True)


def new_model(settings: TrainingSettings) -> evo1.Evo1Network:
    """A model that starts as the identity: seeded weights, and zero where a block adds to the residual stream."""
    config = evo1.Evo1Config(
        **settings.model.model_dump(),
        hyena_layer_idxs=[
            layer for layer in range(settings.model.num_layers) if layer not in settings.model.attn_layer_idxs
        ],
        vocab_size=512,
        short_filter_length=3,
        short_filter_bias=True,
        eps=1e-6,
        column_split_hyena=True,
        tie_embeddings=True,
        qkv_proj_bias=True,
        mha_out_proj_bias=True,
        rotary_emb_base=10000,
        use_interpolated_rotary_pos_emb=False,
        mlp_activation="gelu",
        proj_groups=1,
        hyena_filter_groups=1,
        final_norm=True,
    )
    model = evo1.Evo1Network(config)
    model.load_state_dict(random_weights(config, settings.seed))
    for name, weight in model.named_parameters():
        if name.endswith(("mlp.l3.weight", "out_proj.weight", "out_filter_dense.weight", ".bias", "filter_bias")):
            nn.init.zeros_(weight)
        elif name.endswith("scale"):
            nn.init.ones_(weight)
    return model


def next_base_loss(model: evo1.Evo1Network, window_BT: Tensor) -> Tensor:
    """Mean of −ln P(base | BOS and the bases before it), nats, over all bases of (B, T) windows and the whole vocabulary."""
    bos_B1 = window_BT.new_full((len(window_BT), 1), BOS_ID)
    read_BT = torch.cat([bos_B1, window_BT[:, :-1]], dim=1)
    with torch.autocast(window_BT.device.type, dtype=torch.bfloat16):
        hidden_BTD, _ = model.hidden_states(read_BT)
    return F.cross_entropy(model.unembed(hidden_BTD).flatten(0, 1), window_BT.flatten())


def make_optimizers(model: nn.Module, settings: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for all else."""
    rates = settings.learning_rates
    matrices, embedding, filters, vectors = [], [], [], []
    for name, weight in model.named_parameters():
        if "embedding" in name:
            embedding.append(weight)
        elif name.endswith(("poles", "residues")):
            filters.append(weight)
        elif weight.ndim == 2:
            matrices.append(weight)
        else:
            vectors.append(weight)
    groups = [(embedding, rates.embedding), (filters, rates.filters), (vectors, rates.vectors)]
    optimizers = [
        torch.optim.Muon(matrices, lr=rates.matrices, weight_decay=settings.weight_decay),
        torch.optim.AdamW(
            [{"params": weights, "lr": rate} for weights, rate in groups], betas=(0.9, 0.98), weight_decay=0.0
        ),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return optimizers


def _keep_filters_in_float32(model: evo1.Evo1Network, device: torch.device) -> None:
    """Autocast is for the matrix products; it would turn the products inside the long filter to bfloat16, too."""
    for block in model.backbone.blocks:
        if isinstance(block, HyenaBlock):
            block.filter.forward = torch.autocast(device.type, enabled=False)(block.filter.forward)


@torch.no_grad()
def _stabilise_poles(model: nn.Module) -> None:
    """A pole outside the unit circle would let its state grow without end: it is put back onto it."""
    for name, weight in model.named_parameters():
        if name.endswith("poles"):
            size = torch.linalg.vector_norm(weight, dim=-1, keepdim=True)
            weight.mul_(MAX_POLE / size.clamp_min(MAX_POLE))


def write_checkpoint(model: evo1.Evo1Network, folder: Path) -> None:
    """config.json and model.safetensors in the published layout: matrices in float16, filters and norms in float32."""
    (folder / "config.json").write_text(json.dumps(model.config.as_published(), indent=2) + "\n")
    weights = {
        name: weight.detach().cpu().to(torch.float32 if model.stays_in_float32(name) else torch.float16).contiguous()
        for name, weight in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def read_settings(path: str) -> TrainingSettings:
    """Settings from a YAML file."""
    try:
        tree: dict[str, Any] = yaml.safe_load(Path(path).read_text())
        return TrainingSettings.model_validate(tree)
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{path} cannot be used: {error}") from error


@contextlib.contextmanager
def _whole_sequences() -> Iterator[None]:
    """Blocks read whole sequences: going through them in pieces saves memory, which training does not lack, and costs time."""
    before = layers.CPU_PIECE_TOKENS
    layers.CPU_PIECE_TOKENS = 1 << 30
    try:
        yield
    finally:
        layers.CPU_PIECE_TOKENS = before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="settings as YAML, e.g. configs/training/demo.yaml")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder of *.fa.xz, one a group")
    parser.add_argument(
        "--out", type=Path, default=Path("trained"), help="folder for the checkpoint; the same one resumes"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="on a CPU")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        trainer = Trainer(read_settings(args.config), args.corpus, torch.device(args.device))
        trainer.resume(args.out)
        print(f"{sum(weight.numel() for weight in trainer.model.parameters()):,} parameters, {args.device}", flush=True)
        with _whole_sequences():
            trainer.train(args.out)
            trainer.print_held_out()
    except RaygenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"checkpoint: {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
