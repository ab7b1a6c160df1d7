"""Score a VCF from Python and plot it: python jobs/examples/score_and_plot.py [OUT.html]

You learn: one call turns a VCF and its FASTA into an Arrow table with the columns of scores; the model stays loaded between calls;
any library that takes Arrow or polars plots it. Without Ray, on what ships with the package: all SNVs of a tRNA gene.
"""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import altair as alt
import polars as pl

import raygen

REFERENCE = Path(str(files("raygen.demo") / "rCRS.fa"))
FIRST, LAST = 3230, 3304  # MT-TL1, 1-based
HEADER = "##fileformat=VCFv4.2\n##contig=<ID=MT>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"

bases = "".join(REFERENCE.read_text().splitlines()[1:])
snvs = [(pos, bases[pos - 1], alt) for pos in range(FIRST, LAST + 1) for alt in "ACGT" if alt != bases[pos - 1]]
with tempfile.TemporaryDirectory() as folder:
    vcf = Path(folder) / "snvs.vcf"  # yours, in its place
    vcf.write_text(HEADER + "".join(f"MT\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n" for pos, ref, alt in snvs))
    model = raygen.load_model("demo", device="cpu")
    window = raygen.Window(left=48, right=48)
    scores = raygen.score_variants(model, vcf, REFERENCE, strand="both", window=window, circular="MT")

frame = pl.DataFrame(scores).select("pos", "ref", "alt", "delta_llr", "classification")
print(frame.sort("delta_llr").head(5))
x, y = alt.X("pos:Q", scale=alt.Scale(zero=False)), alt.Y("delta_llr:Q", title="delta_llr (nats)")
chart = alt.Chart(frame).mark_circle().encode(x, y, color="classification:N", tooltip=["pos", "ref", "alt"])
chart.properties(width=700, title=f"{len(frame)} SNVs of MT-TL1").save(sys.argv[1] if sys.argv[1:] else "scores.html")
