"""Does taking away what context makes likely tell variants apart better? Held out by gene, on a finished run or a table of the mitochondrion.

    python jobs/benchmarks/context_held_out.py positions [--neutral synonymous_variant] [--against missense_variant] [--bootstrap 2000]

Of a run with the columns ``gene`` and ``consequence``, or of a position table of the human mitochondrion (NC_012920.1), whose changes get
them here: for each gene what contexts make likely is learnt from the neutral changes of all other genes,
and taken from the deltas of this one. Prints the area under the ROC curve of ``delta_llr`` and of ``delta_context``, changes ``--against`` counting as
positive and neutral ones as negative, on the same rows, and the difference with its 95% interval by a bootstrap of genes. One line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).parents[2]))

from raygen.classes.background import snv_contexts
from raygen.classes.contexts import NO_CONTEXT, ContextSums
from raygen.classes.statistics import Bootstrap
from raygen.demo.mitochondrial_genes import consequence, genes_at
from raygen.evaluation.paired_areas import paired_areas
from raygen.finished.position_scores import PositionScores
from raygen.sequence.reference import open_reference
from raygen.tables.folder_kinds import holds_positions
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.position_rows import PositionRows
from raygen.tables.score_index import LAST_POS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--neutral", default="synonymous_variant")
    parser.add_argument("--against", default="missense_variant")
    parser.add_argument("--bootstrap", type=int, default=2000)
    args = parser.parse_args()
    rows = of_mitochondrion(args.run) if holds_positions(args.run) else read_scores(args.run)
    rows = rows.filter(pc.is_in(rows["consequence"], value_set=pa.array([args.neutral, args.against]))).combine_chunks()
    resolved = (RunFolder(args.run).read_manifest() or {})["resolved"]
    codes = codes_of(rows, resolved["reference"], resolved["circular"])
    rows, codes = rows.filter(pa.array(codes != NO_CONTEXT)), codes[codes != NO_CONTEXT]
    deltas, genes = rows["delta_llr"].to_numpy(), np.array(rows["gene"].to_pylist())
    is_positive = np.array(rows["consequence"].to_pylist()) == args.against
    plain, by_context = paired_areas(
        -np.stack([deltas, deltas - expected_held_out(codes, deltas, genes, ~is_positive)]),
        is_positive,
        genes.tolist(),
        Bootstrap(args.bootstrap),
    )
    print(
        json.dumps(
            {
                "positive": int(is_positive.sum()),
                "neutral": int((~is_positive).sum()),
                "genes": len(set(genes)),
                "auroc_delta_llr": round(plain.auroc, 4),
                "auroc_delta_context": round(by_context.auroc, 4),
                "difference": round(by_context.difference, 4),
                "interval": [round(end, 4) for end in by_context.difference_interval or ()],
            }
        )
    )


def of_mitochondrion(table: str) -> pa.Table:
    """The changes of a position table in genes of NC_012920.1, with ``gene`` and ``consequence``; of those in two genes the first counts."""
    positions = PositionRows(table)
    (chrom,) = positions.contigs
    columns = ["chrom", "pos", "ref", "alt", "delta_llr"]
    rows = PositionScores(positions).rows_between(chrom, 1, LAST_POS, columns)
    resolved = (RunFolder(table).read_manifest() or {})["resolved"]
    bases = open_reference(resolved["reference"]).bases(chrom).tobytes().decode()
    pos, alts = rows["pos"].to_pylist(), rows["alt"].to_pylist()
    genes = [next((gene.name for gene in genes_at(place)), None) for place in pos]
    effects = [
        consequence(bases, place, alt) if gene else None for place, alt, gene in zip(pos, alts, genes, strict=True)
    ]
    return rows.append_column("gene", pa.array(genes)).append_column("consequence", pa.array(effects))


def codes_of(rows: pa.Table, reference: str, circular: list[str]) -> np.ndarray:
    """(R,) context codes of rows of any contigs."""
    bases = open_reference(reference).bases
    codes = np.full(len(rows), NO_CONTEXT)
    for chrom in pc.unique(rows["chrom"]).to_pylist():
        here = pc.equal(rows["chrom"], chrom)
        codes[here.to_numpy()] = snv_contexts(rows.filter(here), bases, circular)
    return codes


def expected_held_out(codes: np.ndarray, deltas: np.ndarray, genes: np.ndarray, is_neutral: np.ndarray) -> np.ndarray:
    """(R,) nats that contexts make likely, of each row learnt from the neutral rows of other genes."""
    expected = np.zeros(len(deltas))
    for gene in np.unique(genes):
        learnt = is_neutral & (genes != gene)
        expected[genes == gene] = ContextSums.of(codes[learnt], deltas[learnt]).expected_of(codes[genes == gene])
    return expected


if __name__ == "__main__":
    main()
