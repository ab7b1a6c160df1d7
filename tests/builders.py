"""Small inputs, built in a test: each docstring is the format.

``fasta(tmp_path, {"1": "ACGT..."})`` and ``vcf(tmp_path, ["1 5 . A C"])`` write files and return their paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from raygen.model.facts import ModelFacts
from raygen.model.loading import LoadedNetwork
from raygen.model.sizes import StateSize
from raygen.model.state import Marks
from raygen.scoring.likelihood import ResidentModel

SHARED = Path(__file__).parents[2] / "shared" / "data"


def shared(relative: str) -> Path:
    """A file of the shared test data; the test is skipped where the folder is missing."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"the shared test data are not here: {relative}")
    return path


def random_bases(length: int, seed: int = 0) -> str:
    """A sequence of A, C, G and T."""
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def fasta(folder: Path, contigs: Mapping[str, str], name: str = "reference.fa", width: int = 60) -> Path:
    """A FASTA file: ``>name`` and lines of ``width`` bases for each contig."""
    lines = []
    for contig, bases in contigs.items():
        lines += [f">{contig} built for a test", *(bases[at : at + width] for at in range(0, len(bases), width))]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def vcf(folder: Path, records: Sequence[str], name: str = "variants.vcf", contigs: Sequence[str] = ("1",)) -> Path:
    """A VCF: each record is ``chrom pos id ref alt`` and perhaps ``info``, separated by spaces."""
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={contig}>" for contig in contigs)]
    lines += ['##INFO=<ID=END,Number=1,Type=Integer,Description="end">']
    lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for record in records:
        chrom, pos, name_, ref, alt, *info = record.split(" ")
        lines.append("\t".join([chrom, pos, name_, ref, alt, ".", "PASS", info[0] if info else "."]))
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def snvs(chrom: str, bases: str, positions: Sequence[int]) -> list[str]:
    """One SNV record at each 1-based position: the reference base to the next one of A, C, G, T."""
    following = dict(zip("ACGT", "CGTA", strict=True))
    return [f"{chrom} {pos} . {bases[pos - 1]} {following[bases[pos - 1]]}" for pos in positions]


class InMemoryReference:
    """A reference without a file: what ``raygen.sequence.reference.Reference`` offers."""

    def __init__(self, contigs: Mapping[str, str]) -> None:
        self.path = "in-memory.fa"
        self.digest = f"{hash(tuple(contigs.items())):x}"
        self.lengths = {name: len(bases) for name, bases in contigs.items()}
        self._bases = {name: np.frombuffer(bases.upper().encode(), np.uint8) for name, bases in contigs.items()}

    def bases(self, contig: str) -> np.ndarray:
        return self._bases[contig]


class NoState:
    """The state of a model whose every output depends on the last token alone."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows

    def select(self, rows: Sequence[int]) -> NoState:
        return NoState(len(rows))


class BigramNetwork(torch.nn.Module):
    """A model whose answer can be worked out by hand: P(next base | base) from one table, over 512 tokens.

    ``logit(next, base)`` is ``TABLE[next][base]``; every other token has the logit 0, and so has everything after BOS.
    """

    class config:
        hidden_size = 8

    fork_refusal = None
    filter_storage = "none"

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.table = torch.zeros(512, 512)
        bases = torch.tensor(list(b"ACGTN"))
        self.table[bases[:, None], bases[None, :]] = torch.randn(5, 5, generator=generator) * 2
        self.rows_seen: list[int] = []

    def hidden_states(
        self,
        tokens: torch.Tensor,
        state: NoState | None = None,
        return_state: bool = False,
        marks: Marks | None = None,
    ):
        self.rows_seen.append(len(tokens))
        num_states = len(tokens) if return_state else len(marks) if marks else 0
        return torch.nn.functional.one_hot(tokens, 512).float(), NoState(num_states) if num_states else None

    def state_size(self) -> StateSize:
        return StateSize(fixed=1, per_token=0, in_place=True)

    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.table.T[hidden.argmax(-1)]

    def log_prob(self, base: str, before: str | None) -> float:
        """ln P(base | before) by hand; ``before`` is None for BOS."""
        logits = self.table[:, 0 if before is None else ord(before)].double()
        return float(logits[ord(base)] - torch.logsumexp(logits, 0))

    def log_likelihood(self, sequence: str) -> float:
        """The sum over a sequence, BOS before it."""
        return sum(self.log_prob(base, before) for base, before in zip(sequence, [None, *sequence], strict=False))


def bigram_model(bos_id: int | None = 0, context_length: int = 1000, max_batch_tokens: int = 4096) -> ResidentModel:
    """A resident model around ``BigramNetwork``."""
    facts = ModelFacts(
        name="bigram",
        weights_hash="0" * 64,
        dtype="float32",
        device="cpu",
        context_length=context_length,
        bos_id=bos_id,
        pad_id=1,
        num_parameters=0,
    )
    return ResidentModel(LoadedNetwork(BigramNetwork(), facts, torch.device("cpu")), max_batch_tokens)
