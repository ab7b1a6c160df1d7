"""Compare two models on the same variants: python jobs/examples/compare_models.py

You learn: a delta_llr is a number of one model, so models are compared by what they tell apart, not by their numbers. A random model
that nobody trained stands in for a bad one: it gives deltas too, and sees no difference between stop and synonymous.
"""

import tempfile
from importlib.resources import files
from pathlib import Path

import polars as pl

import raygen
from raygen.demo.mitochondrial_genes import consequence
from raygen.model.random_checkpoint import demo_config, write_random_checkpoint

REFERENCE = Path(str(files("raygen.demo") / "rCRS.fa"))
POSITIONS = range(3400, 3460)  # 20 codons of MT-ND1, 1-based

bases = "".join(REFERENCE.read_text().splitlines()[1:])
snvs = [("MT", pos, bases[pos - 1], alt) for pos in POSITIONS for alt in "ACGT" if alt != bases[pos - 1]]
variants = pl.DataFrame(snvs, schema=["chrom", "pos", "ref", "alt"], orient="row")
window = raygen.Window(left=48, right=48)

with tempfile.TemporaryDirectory() as folder:
    write_random_checkpoint(Path(folder) / "random", demo_config(), seed=1)
    deltas = {}
    for name in ("demo", f"{folder}/random"):
        model = raygen.load_model(name, device="cpu")
        scores = raygen.score_variants(model, variants, REFERENCE, strand="both", window=window, circular="MT")
        deltas[Path(name).name] = pl.Series(scores["delta_llr"].to_pylist())

kinds = [consequence(bases, pos, alt) for _, pos, _, alt in snvs]
table = variants.with_columns(consequence=pl.Series(kinds), **deltas)
print(table.group_by("consequence").agg(pl.len(), pl.col("demo", "random").median()).sort("demo"))
rank_correlation = table.select(pl.corr("demo", "random", method="spearman")).item()
print(f"rank correlation of the two models: {rank_correlation:.2f}")
