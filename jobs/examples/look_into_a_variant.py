"""Look into one variant: python jobs/examples/look_into_a_variant.py [MT-3243-A-G]

You learn: a delta_llr is a sum over the bases of a window, most of it often not at the variant but at bases after it, which the change
makes less likely; and what the other changes at its site score tells whether the site or this one allele is the matter.
"""

import sys
from importlib.resources import files

import numpy as np

import raygen
from raygen.sequence.reference import open_reference
from raygen.trials.explain import explain_variant
from raygen.variants.region import parse_variant

variant = sys.argv[1] if sys.argv[1:] else "MT-3243-A-G"  # of MELAS
reference = open_reference(str(files("raygen.demo") / "rCRS.fa"))
model = raygen.load_model("demo", device="cpu")
row = parse_variant(variant, reference, max_allele_length=1000)
explanation = explain_variant(model, row, reference, raygen.Window(left=48, right=48), "both", circular=["MT"])

print(f"{explanation.variant_id}: delta_llr {explanation.delta:+.2f} nats")
for strand in explanation.strands:
    print(
        f"{strand.strand} strand {strand.delta:+.2f}, of it {strand.difference[strand.first]:+.2f} at the variant; most:"
    )
    for index in np.argsort(-np.abs(strand.difference))[:5]:
        wt, mut = strand.wt[index] or "-", strand.mut[index] or "-"
        print(f"  {strand.position[index]:,} {wt}>{mut} {strand.difference[index]:+.2f}")
print("every change at its site:")
for allele in explanation.alleles.sort_by("delta_llr").to_pylist():
    print(f"  {allele['variant_id']} {allele['delta_llr']:+.2f}")
