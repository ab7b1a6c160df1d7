"""The tables of raygen as Arrow schemas: what comes in, what goes out, and how a row is named.

``pos`` is VCF's 1-based position everywhere; ``window_start`` and ``window_end`` are 0-based and half-open.
Log-likelihoods are float64 and in nats.
"""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

SCHEMA_VERSION = 1

VARIANTS = pa.schema(
    [
        pa.field("chrom", pa.string(), nullable=False),
        pa.field("pos", pa.int64(), nullable=False),
        pa.field("ref", pa.string(), nullable=False),
        pa.field("alt", pa.string(), nullable=False),
        pa.field("id", pa.string()),
    ]
)
"""What ``ingest`` writes: one row per ALT allele, normalised. Source columns follow when asked for."""

HAPLOTYPE_MEMBERS = "haplotype_members"
"""A column that follows those of VARIANTS and SCORES where haplotypes are scored: the variant ids of the members, joined by
``;``, in the row of a haplotype; null in all others."""

REF_SWAPPED = "ref_swapped"
"""A column that follows those of VARIANTS where an input leaves open which allele is the reference's: true where it has them the other
way round. Flag of a score of such a variant."""

PAIRS = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("wt_sequence", pa.string(), nullable=False),
        pa.field("mut_sequence", pa.string(), nullable=False),
    ]
)
"""The input that needs no reference: one row per pair of sequences, as they are."""

SCORES = pa.schema(
    [
        pa.field("variant_id", pa.string(), nullable=False),
        pa.field("chrom", pa.string()),
        pa.field("pos", pa.int64()),
        pa.field("ref", pa.string()),
        pa.field("alt", pa.string()),
        pa.field("ll_wt", pa.float64()),
        pa.field("ll_mut", pa.float64()),
        pa.field("delta_llr", pa.float64(), nullable=False),
        pa.field("delta_fwd", pa.float64()),
        pa.field("delta_rev", pa.float64()),
        pa.field("delta_per_base", pa.float64(), nullable=False),
        pa.field("num_tokens", pa.int64(), nullable=False),
        pa.field("window_start", pa.int64(), nullable=False),
        pa.field("window_end", pa.int64(), nullable=False),
        pa.field("classification", pa.string(), nullable=False),
        pa.field("abstained", pa.bool_(), nullable=False),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
    ]
)
"""One row per scored variant. ``ll_wt`` and ``ll_mut`` are null where the score is a position table's (flag ``prescored``). For PAIRS ``variant_id`` is the pair's id and chrom, pos, ref and alt are null."""

PRESCORED = "prescored"
"""Flag of a score that a position table held: it has no log-likelihoods of whole windows (see ``raygen.pipeline.prescored``)."""

REJECTS = pa.schema(
    [
        pa.field("chrom", pa.string()),
        pa.field("pos", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("ref", pa.string()),
        pa.field("alt", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""One row per input allele that cannot be scored, but for those that are ``COUNTED_ONLY``: the input's fields as they were,
``source`` as ``file:record``."""


class Reason(StrEnum):
    """Why an allele was rejected."""

    REF_MISMATCH = "ref_mismatch"
    UNKNOWN_CONTIG = "unknown_contig"
    OUT_OF_BOUNDS = "out_of_bounds"
    NON_ACGT_ALLELE = "non_acgt_allele"
    SYMBOLIC_ALLELE = "symbolic_allele"
    STAR_ALLELE = "star_allele"
    ALLELE_TOO_LONG = "allele_too_long"
    DUPLICATE = "duplicate"
    MALFORMED_RECORD = "malformed_record"
    SCORING_FAILED = "scoring_failed"
    REFERENCE_BLOCK = "reference_block"


NOT_SCORED = "not_scored"
"""Why an allele that could be scored has no score in a table: beside ``Reason``, where scores are looked up."""

COUNTED_ONLY = frozenset({Reason.REFERENCE_BLOCK})
"""Reasons that are counted and have no rows in REJECTS: a genome's gVCF has tens of millions of blocks."""


def variant_id(chrom: str, pos: int, ref: str, alt: str) -> str:
    """``chrom-pos-ref-alt`` of a normalised variant, e.g. ``17-41276135-T-G``."""
    return f"{chrom}-{pos}-{ref}-{alt}"


def variant_ids(variants: pa.Table) -> pa.ChunkedArray:
    """``variant_id`` of every row of a VARIANTS table."""
    parts = [variants["chrom"], variants["pos"].cast(pa.string()), variants["ref"], variants["alt"]]
    return pc.binary_join_element_wise(*parts, "-")
