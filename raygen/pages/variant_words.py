"""One scored variant in words, and what flags and reasons of rejection mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raygen.classes.background import DELTA_CONTEXT
from raygen.classes.class_rule import is_on_context
from raygen.classes.classify import class_index
from raygen.classes.words import INDEL_CAVEAT, MINUS, class_range, class_words, phred_cuts

FLAG_WORDS = {
    "prescored": "The score is from a position table: no model was run for it.",
    "off_label_domain": "The model was not trained on sequences of the declared domain: the scores may mean nothing here.",
    "unvalidated_model": "The model's published numbers need FP8, and it ran without: its scores are not validated.",
    "short_window": "The contig is shorter than the window, so there was less context.",
    "shifted_window": "The window slid at a contig's end, so there was less context on one side.",
    "n_in_window": "The window holds at least one base that is not A, C, G or T.",
    "too_many_n": "The window holds so many bases that are not A, C, G or T that a score of it is abstained on.",
    "same_sequence": "Reference and variant are the same within the window, so the delta says nothing.",
    "unequal_length": "The two sequences of the pair differ in length, so their sums run over different numbers of tokens.",
    "haplotype": "The row is the alleles of a haplotype together; its members have rows of their own.",
}

REASON_WORDS = {
    "ref_mismatch": "REF is not what the reference holds there.",
    "unknown_contig": "The reference has no such contig.",
    "out_of_bounds": "The position lies outside the contig.",
    "non_acgt_allele": "An allele holds a letter other than A, C, G and T.",
    "symbolic_allele": "The allele is a symbol that does not say which sequence it stands for.",
    "star_allele": "'*' stands for a deletion that another record describes.",
    "allele_too_long": "An allele is longer than the limit, or a haplotype spans too much.",
    "duplicate": "The same allele came more than once; the first one is scored.",
    "malformed_record": "The record cannot be read.",
    "reference_block": "The gVCF says that there is no variant; counted, not listed.",
    "scoring_failed": "The model gave no finite value.",
}

_SHOWN_BASES = 24


def variant_words(
    row: Mapping[str, Any], cuts: Sequence[float], on: str | None = None, *, has_ranks: bool = False
) -> list[str]:
    """A row of SCORES as a few sentences: the change, the likelihoods, the class and what it means, and what to beware of.

    Args:
        cuts: cut points of the classes, in nats.
        on: what they cut in words, as the manifest has it.
        has_ranks: whether the row has the columns of a background.
    """
    words = class_words(row["classification"])
    sentences = [_change(row), _likelihoods(row)]
    if has_ranks:
        sentences.append(_ranks(row))
    sentences.append(f"{_class_range(row, cuts, on)}, which this run's cut points call {words.title}: {words.meaning}")
    if row["delta_fwd"] is not None and row["delta_rev"] is not None:
        sentences.append(_both_strands(row, cuts, _expected(row) if is_on_context(on) else 0.0))
    sentences += [FLAG_WORDS.get(flag, f"Flag: {flag}.") for flag in row["flags"]]
    if row["ref"] is not None and len(row["ref"]) != len(row["alt"]):
        sentences.append(INDEL_CAVEAT)
    if row["abstained"]:
        sentences.append(
            "The run abstains here: the evidence disagrees with itself or is thin. Do not go by the class."
        )
    return sentences


def number(value: float, digits: int = 2) -> str:
    """A number as text with a real minus sign."""
    return f"{value:,.{digits}f}".replace("-", MINUS)


def allele(bases: str | None) -> str:
    """The bases of an allele, cut short where there are many; empty for None."""
    if bases is None:
        return ""
    return bases if len(bases) <= _SHOWN_BASES else f"{bases[:_SHOWN_BASES]}… ({len(bases):,} bases)"


def kind(row: Mapping[str, Any]) -> str:
    """The kind of a row's variant: SNV, MNV, insertion, deletion, or pair for a row without coordinates."""
    if row["ref"] is None:
        return "pair"
    ref, alt = len(row["ref"]), len(row["alt"])
    if ref == alt:
        return "SNV" if ref == 1 else "MNV"
    return "deletion" if ref > alt else "insertion"


def _change(row: Mapping[str, Any]) -> str:
    if row["ref"] is None:
        return f"The pair {row['variant_id']}: two sequences of up to {row['num_tokens']:,} tokens."
    ref, alt, where = row["ref"], row["alt"], f"{row['chrom']}:{row['pos']:,}"
    change = {
        "SNV": f"{alt} in the place of {ref}",
        "MNV": f"{allele(alt)} in the place of {allele(ref)}",
        "insertion": f"{len(alt) - len(ref):,} more bases, {allele(alt)} for {allele(ref)}",
        "deletion": f"{len(ref) - len(alt):,} fewer bases, {allele(alt)} for {allele(ref)}",
    }[kind(row)]
    return f"At {where}: {change}."


def _likelihoods(row: Mapping[str, Any]) -> str:
    where = (
        ""
        if row["chrom"] is None
        else f" in its window, {row['chrom']}:{row['window_start'] + 1:,} to {row['window_end']:,}"
    )
    if row["ll_wt"] is None:
        return f"delta_llr, from a position table, is {number(row['delta_llr'])}: {_times(row['delta_llr'])}."
    return (
        f"Over {row['num_tokens']:,} tokens{where}, the model gives the reference sequence {number(row['ll_wt'])} nats "
        f"and the one with the variant {number(row['ll_mut'])}. delta_llr is {number(row['delta_llr'])}: {_times(row['delta_llr'])}."
    )


def _times(delta: float) -> str:
    """How many times more or less likely a delta in nats makes a sequence."""
    less = "less" if delta < 0 else "more"
    size = abs(delta)
    if size < 0.05:
        return "as good as equally likely"
    if size < math.log(9950):
        return (
            f"{math.exp(size):,.2g} times {less} likely"
            if size < math.log(99.5)
            else f"{math.exp(size):,.0f} times {less} likely"
        )
    return f"about 10^{size / math.log(10):.0f} times {less} likely"


def _ranks(row: Mapping[str, Any]) -> str:
    """Where a row stands among its background."""
    text = f"PHRED {number(row['phred'])}: a share of {row['percentile']:.3g} of the background is as harmful to the model or more"
    if row["percentile_in_group"] is not None:
        text += f", of its group ({row['background_group']}) {row['percentile_in_group']:.3g}"
    if row.get(DELTA_CONTEXT) is not None:
        text += f". Of delta_llr, {number(_expected(row))} nats are what the context alone makes likely: delta_context is {number(row[DELTA_CONTEXT])}"
    return f"{text}."


def _class_range(row: Mapping[str, Any], cuts: Sequence[float], on: str | None) -> str:
    """What the class of a row was cut on, and in which range that is."""
    where = class_range(row["classification"], cuts, on)
    if phred_cuts(on):
        return f"PHRED {number(row['phred'])} is {where}"
    if not is_on_context(on):
        return f"{number(row['delta_llr'])} is {where} nats"
    if row[DELTA_CONTEXT] is None:
        return f"No context is known here, and delta_llr, {number(row['delta_llr'])}, is {where} nats"
    return f"delta_context, {number(row[DELTA_CONTEXT])}, is {where} nats"


def _expected(row: Mapping[str, Any]) -> float:
    """Nats that the context makes likely; 0 where it is not known."""
    return 0.0 if row[DELTA_CONTEXT] is None else float(row["delta_llr"] - row[DELTA_CONTEXT])


def _both_strands(row: Mapping[str, Any], cuts: Sequence[float], taken: float) -> str:
    forward, reverse = class_index(np.array([row["delta_fwd"], row["delta_rev"]]) - taken, cuts)
    apart = abs(int(forward) - int(reverse))
    agree = "the same class on both" if not apart else f"{apart} class{'es' if apart > 1 else ''} apart"
    return f"Forward strand {number(row['delta_fwd'])}, reverse strand {number(row['delta_rev'])} nats: {agree}."
