"""``raygen demo``: the main job, from VCF to classified table, on the human mitochondrion.

The reference is NC_012920.1 (the revised Cambridge Reference Sequence, public domain), which ships with the package, and so
does the model (``raygen/model/demo``). The variants are made from the reference: every SNV of the genes from MT-TL1 to
MT-TM, with gene and consequence. So the run has something to check itself by: variants that end a protein should score
lower than variants that leave it as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path

from raygen.demo.mitochondrial_genes import consequence, genes_at
from raygen.pipeline.run import RunResult, run_score
from raygen.sequence.reference import open_reference
from raygen.sequence.windows import Window
from raygen.settings import load_settings
from raygen.tables.folder_kinds import refuse_file_for_output
from raygen.tables.place import make_folder, put_in_place, write_text

FIRST, LAST = 3230, 4469
"""1-based positions of the stretch: MT-TL1, MT-ND1, MT-TI, MT-TQ and MT-TM."""

DEMO_WINDOW = Window(left=48, right=48, anchor="grid", stride=32)

INFO = (
    '##INFO=<ID=gene,Number=.,Type=String,Description="Genes that hold the position">\n'
    '##INFO=<ID=consequence,Number=1,Type=String,Description="Most severe consequence, Sequence Ontology">\n'
)


def run_demo(out: Path, say: Callable[[str], None] = print, last: int = LAST) -> RunResult:
    """Write the demo's input below ``out/input``, then ingest and score it into ``out``.

    Args:
        last: the 1-based position to stop at, for a shorter run.
    """
    refuse_file_for_output(out)
    folder = out / "input"
    make_folder(folder)
    reference = folder / "rCRS.fa"
    with as_file(files("raygen.demo") / "rCRS.fa") as shipped:
        if not reference.exists():
            with put_in_place(reference) as partial:
                shutil.copyfile(shipped, partial)
    variants = folder / "variants.vcf"
    bases = open_reference(str(reference)).bases("MT").tobytes().decode()
    records = list(_records(bases, last))
    contig = f"##contig=<ID=MT,length={len(bases)}>\n"
    header = f"##fileformat=VCFv4.2\n{contig}{INFO}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    write_text(variants, header + "".join(records))
    say(f"{len(records):,} variants of the human mitochondrion, MT:{FIRST}-{last}: {variants}")
    values = {
        "input.variants": [str(variants)],
        "input.reference": str(reference),
        "input.circular": ["MT"],
        "input.domain": "mitochondrion",
        "input.source_columns": ["gene", "consequence"],
        "model.name": "demo",
        "model.device": "cpu",
        **{f"window.{name}": value for name, value in asdict(DEMO_WINDOW).items()},
        "window.strand": "both",
        "output.path": str(out),
    }
    return run_score(load_settings(None, given=values), say=say)


def _records(bases: str, last: int) -> Iterator[str]:
    """A VCF line for every SNV of the stretch."""
    for pos in range(FIRST, last + 1):
        ref = bases[pos - 1]
        genes = ",".join(gene.name for gene in genes_at(pos)) or "."
        for alt in "ACGT":
            if alt != ref:
                yield f"MT\t{pos}\t.\t{ref}\t{alt}\t.\t.\tgene={genes};consequence={consequence(bases, pos, alt)}\n"
