"""The training corpus of the demo model: mitochondrial genomes by group, split by species, read as random windows.

In: a folder of FASTA files, xz-compressed, one a group (``mammals_other.fa.xz``). Out: ``Genome`` records, the split into
training and held-out species, and batches of token windows.

A species is held out whole: all great apes, and 5% of the other species by a hash of their name, so that the split does not
depend on the order of the files. The hash is of the first two words of the name: subspecies go with their species.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raygen.errors import InputError
from raygen.sequence.tokens import encode, reverse_complement

HELD_OUT_GROUP = "great_apes"
HELD_OUT_SHARE = 0.05


@dataclass(frozen=True)
class Genome:
    """One circular genome. tokens: uint8 (length,)."""

    group: str
    accession: str
    species: str
    tokens: np.ndarray

    @property
    def held_out(self) -> bool:
        """Whether training must not see it."""
        return self.group == HELD_OUT_GROUP or _unit_hash(self.species) < HELD_OUT_SHARE


def read_corpus(folder: Path) -> list[Genome]:
    """Every genome of the folder.

    Raises:
        InputError: no ``*.fa.xz`` there, or a human sequence among them.
    """
    files = sorted(folder.glob("*.fa.xz"))
    if not files:
        raise InputError(f"{folder} holds no *.fa.xz files. Name the folder of the training genomes with --corpus.")
    genomes = [genome for file in files for genome in _read_fasta(file)]
    human = [genome.accession for genome in genomes if genome.species.startswith("Homo ")]
    if human:
        raise InputError(
            f"{folder} holds human sequences ({', '.join(human)}), which the model must not be trained on."
        )
    return genomes


def _read_fasta(file: Path) -> Iterator[Genome]:
    group = file.name.removesuffix(".fa.xz")
    with lzma.open(file, "rt") as text:
        records = text.read().split(">")[1:]
    for record in records:
        title, _, bases = record.partition("\n")
        accession, _, name = title.partition(" ")
        species = " ".join(name.split()[:2])
        yield Genome(group, accession, species, encode(bases.replace("\n", "")))


def _unit_hash(text: str) -> float:
    """Between 0 and 1, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


class WindowSampler:
    """Random windows of the training genomes: a group by its weight, a genome of it, a rotation, a strand.

    A batch depends on the seed and its number alone, so a run that is resumed reads what it would have read.
    """

    def __init__(self, genomes: Sequence[Genome], weights: Mapping[str, float], seed: int) -> None:
        self._groups = sorted(weights)
        self._chances = np.array([weights[group] for group in self._groups]) / sum(weights.values())
        self._genomes = {
            group: [genome.tokens for genome in genomes if genome.group == group and not genome.held_out]
            for group in self._groups
        }
        empty = [group for group, members in self._genomes.items() if not members]
        if empty:
            raise InputError(f"The corpus has no genome to train on in the groups {', '.join(empty)}.")
        self._seed = seed

    def batch(self, number: int, rows: int, length: int) -> np.ndarray:
        """(rows, length) uint8 tokens."""
        random = np.random.default_rng([self._seed, number])
        return np.stack([self._window(random, length) for _ in range(rows)])

    def _window(self, random: np.random.Generator, length: int) -> np.ndarray:
        members = self._genomes[self._groups[random.choice(len(self._groups), p=self._chances)]]
        genome = members[random.integers(len(members))]
        window = genome.take(np.arange(length) + random.integers(len(genome)), mode="wrap")
        return reverse_complement(window) if random.integers(2) else window


def held_out_windows(genomes: Sequence[Genome], length: int) -> dict[str, np.ndarray]:
    """Windows of held-out genomes by group, end to end, on both strands: (W, length) uint8."""
    windows: dict[str, list[np.ndarray]] = {}
    for genome in genomes:
        if genome.held_out:
            for strand in (genome.tokens, reverse_complement(genome.tokens)):
                whole = len(strand) // length * length
                windows.setdefault(genome.group, []).append(strand[:whole].reshape(-1, length))
    return {group: np.concatenate(parts) for group, parts in sorted(windows.items())}
