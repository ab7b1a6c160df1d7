"""``raygen demo``: the main job, from VCF to classified table, on the human mitochondrion.

The reference is NC_012920.1 (the revised Cambridge Reference Sequence, public domain), which ships with the package. The
variants are made from it: every SNV of a stretch that covers MT-TL1 and the start of MT-ND1, and every deletion of one
base there. The model is small and random, so the run shows the software at work and its scores mean nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from pathlib import Path

from raygen.pipeline.run import RunResult, run_score
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings

FIRST, LAST = 3230, 3629
"""1-based positions of the stretch; MT-TL1 is 3230-3304 and MT-ND1 starts at 3307."""


def run_demo(out: Path, say: Callable[[str], None] = print) -> RunResult:
    """Write the demo's input below ``out/input``, then ingest and score it into ``out``."""
    folder = out / "input"
    folder.mkdir(parents=True, exist_ok=True)
    reference = folder / "rCRS.fa"
    with as_file(files("raygen.demo") / "rCRS.fa") as shipped:
        if not reference.exists():
            shutil.copyfile(shipped, reference)
    variants = folder / "variants.vcf"
    bases = open_reference(str(reference)).bases("MT").tobytes().decode()
    records = list(_records(bases))
    header = (
        f"##fileformat=VCFv4.2\n##contig=<ID=MT,length={len(bases)}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    )
    variants.write_text(header + "".join(f"MT\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for pos, ref, alt in records))
    say(f"{len(records):,} variants of the human mitochondrion, MT:{FIRST}-{LAST}: {variants}")
    given = {
        "input.variants": [str(variants)],
        "input.reference": str(reference),
        "input.circular": ["MT"],
        "model.name": "demo",
        "model.device": "cpu",
        "window.left": 256,
        "window.right": 256,
        "output.path": str(out),
    }
    return run_score(load_settings(None, given=given), say=say)


def _records(bases: str) -> Iterator[tuple[int, str, str]]:
    """(pos, ref, alt) of every SNV and every deletion of one base in the stretch."""
    for pos in range(FIRST, LAST + 1):
        ref = bases[pos - 1]
        yield from ((pos, ref, alt) for alt in "ACGT" if alt != ref)
        if bases[pos] != ref:  # within a run of one base every deletion is the same one
            yield pos, bases[pos - 1 : pos + 1], ref
