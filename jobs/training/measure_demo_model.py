"""Measure the shipped model: python jobs/training/measure_demo_model.py --corpus FOLDER --clinvar VCF --gnomad VCF [--model demo]

Held-out bits per base beside an order-11 Markov model of the same training genomes, on the same windows; then zero-shot
areas under the ROC curve of ``delta_llr`` (both strands, the demo's window), with bootstrap intervals: ClinVar P/LP
against B/LB, overall and by kind of gene; SNVs that gnomAD has seen against those it has not; stop-gained against
synonymous. Prints a line each and ends in one JSON line; the numbers stand in ``configs/models/demo.yaml``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pysam
from markov_baseline import MarkovModel
from mitochondrial_corpus import held_out_windows, read_corpus

import raygen
from raygen.classes.statistics import Bootstrap
from raygen.demo.main import DEMO_WINDOW
from raygen.demo.mitochondrial_genes import consequence, genes_at
from raygen.evaluation.discrimination import discriminate

ORDER = 11
PATHOGENIC = ("Pathogenic", "Likely_pathogenic", "Pathogenic/Likely_pathogenic")
BENIGN = ("Benign", "Likely_benign", "Benign/Likely_benign")

Snv = tuple[int, str, str]  # pos (1-based), ref, alt


def main() -> int:
    args = arguments()
    model = raygen.load_model(args.model)
    facts: dict[str, Any] = {"model": args.model, "bits_per_base": bits_per_base(model, args.corpus, args.windows)}
    with as_file(files("raygen.demo") / "rCRS.fa") as reference:
        measure = Measurement(model, str(reference))
        facts |= {
            "clinvar": measure.clinvar(args.clinvar),
            "gnomad": measure.gnomad(args.gnomad, args.sample),
            "stop_gained": measure.stop_gained(args.sample),
        }
    print(json.dumps(facts))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="demo, or the folder of a checkpoint")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of *.fa.xz, one a group")
    parser.add_argument("--clinvar", required=True, help="VCF with CLNSIG, contig MT")
    parser.add_argument("--gnomad", required=True, help="VCF of observed variants, contig MT")
    parser.add_argument("--windows", type=int, default=60, help="held-out windows a group")
    parser.add_argument("--sample", type=int, default=6000, help="SNVs of all that are possible, seeded")
    return parser.parse_args()


def bits_per_base(model: Any, corpus: Path, most: int) -> dict[str, dict[str, float]]:
    """{group: {model, markov, windows}}: mean over held-out windows of 1,024 bases, both strands."""
    genomes = read_corpus(corpus)
    baseline = MarkovModel([genome.tokens for genome in genomes if not genome.held_out], ORDER)
    found = {}
    for group, windows in held_out_windows(genomes, 1024).items():
        chosen = windows[:: max(len(windows) // most, 1)][:most]
        likelihoods = model.log_likelihoods([window.tobytes().decode() for window in chosen])
        own = float(-likelihoods.sum() / np.log(2) / chosen.size)
        found[group] = {"model": own, "markov": baseline.bits_per_base(chosen), "windows": len(chosen)}
        print(f"{group:24} {own:.4f} bits/base, order-{ORDER} Markov {found[group]['markov']:.4f}", flush=True)
    return found


class Measurement:
    """Scores of the rCRS by one model, and what they tell apart."""

    def __init__(self, model: Any, reference: str) -> None:
        self._model, self._reference = model, reference
        with pysam.FastaFile(reference) as fasta:
            self._bases = fasta.fetch("MT").upper()

    def clinvar(self, vcf: str) -> dict[str, Any]:
        """P/LP against B/LB, overall and by kind of gene."""
        labels = {snv: record.info["CLNSIG"] for snv, record in snvs(vcf)}
        labelled = {snv: label in PATHOGENIC for snv, label in labels.items() if label in PATHOGENIC + BENIGN}
        kinds = {snv: self._kind(snv[0]) for snv in labelled}
        delta = self._delta(sorted(labelled))
        found = {"overall": tell("ClinVar", delta, labelled)}
        for kind in ("tRNA", "rRNA", "protein"):
            some = {snv: label for snv, label in labelled.items() if kinds[snv] == kind}
            found[kind] = tell(f"ClinVar, {kind}", delta, some)
        return found

    def gnomad(self, vcf: str, sample: int) -> dict[str, Any]:
        """SNVs that were not seen (positive) against those that were, of a sample of all."""
        seen = {snv for snv, _ in snvs(vcf)}
        chosen = self._sample(sample)
        return tell("not in gnomAD", self._delta(chosen), {snv: snv not in seen for snv in chosen})

    def stop_gained(self, sample: int) -> dict[str, Any]:
        """Stop-gained against synonymous, of the same sample."""
        kinds = {snv: consequence(self._bases, snv[0], snv[2]) for snv in self._sample(sample)}
        wanted = {
            snv: kind == "stop_gained" for snv, kind in kinds.items() if kind in ("stop_gained", "synonymous_variant")
        }
        return tell("stop gained", self._delta(sorted(wanted)), wanted)

    def _sample(self, size: int) -> list[Snv]:
        every = [
            (at + 1, ref, alt) for at, ref in enumerate(self._bases) if ref in "ACGT" for alt in "ACGT" if alt != ref
        ]
        chosen = np.random.default_rng(0).choice(len(every), min(size, len(every)), replace=False)
        return [every[index] for index in np.sort(chosen)]

    def _kind(self, pos: int) -> str:
        return next((gene.kind for gene in genes_at(pos)), "none")

    def _delta(self, chosen: Sequence[Snv]) -> dict[Snv, float]:
        positions, refs, alts = zip(*chosen, strict=True)
        table = pa.table({"chrom": ["MT"] * len(chosen), "pos": positions, "ref": refs, "alt": alts})
        scores = raygen.score_variants(
            self._model, table, reference=self._reference, strand="both", window=DEMO_WINDOW, circular=["MT"]
        )
        rows = zip(*(scores[name].to_pylist() for name in ("pos", "ref", "alt", "delta_llr")), strict=True)
        return {(pos, ref, alt): delta for pos, ref, alt, delta in rows}


def snvs(vcf: str) -> Iterable[tuple[Snv, pysam.VariantRecord]]:
    """The SNVs of a VCF with their records."""
    with pysam.VariantFile(vcf) as records:
        for record in records:
            for alt in record.alts or ():
                if len(record.ref) == len(alt) == 1:
                    yield (record.pos, record.ref, alt), record


def tell(what: str, delta: dict[Snv, float], positive: dict[Snv, bool]) -> dict[str, Any]:
    """Area, interval and numbers of one comparison; a lower delta is more likely positive."""
    order = sorted(snv for snv in positive if snv in delta)  # ClinVar holds a record whose ALT is its REF
    found = discriminate(
        np.array([-delta[snv] for snv in order]), np.array([positive[snv] for snv in order]), Bootstrap()
    )
    low, high = found.auroc_interval or (float("nan"), float("nan"))
    print(
        f"{what:24} AUROC {found.auroc:.3f} ({low:.3f} to {high:.3f}), "
        f"{found.num_positive:,} against {found.num_negative:,}",
        flush=True,
    )
    return {
        "auroc": found.auroc,
        "interval": [low, high],
        "positive": found.num_positive,
        "negative": found.num_negative,
    }


if __name__ == "__main__":
    raise SystemExit(main())
