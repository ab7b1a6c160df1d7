"""Rows of text with a contig, a position and alleles to ``AlleleBatch``es, for all formats that write sites as text or as text columns.

In: columns of bytes, one row a site. Out: one row an ALT, with ``fault`` where a position is no whole number or bytes are no UTF-8. Alleles of
a site are parted at commas; ``.``, and nothing at all, is no allele and no id.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raygen.variants.alleles import NOT_UTF8, RAW_ALLELES, SOURCE_PREFIX, AlleleBatch
from raygen.variants.text_table import TextRows

_MOST_DIGITS = 18
_NEGATIVE = r"^-[0-9]{1,18}$"
_MOST_SHOWN = 40


def site_batch(
    rows: TextRows,
    carried: Mapping[str, pa.Array] | None = None,
    *,
    needed: str,
    is_provisional: np.ndarray | None = None,
) -> AlleleBatch:
    """Alleles of rows with the columns ``chrom``, ``pos``, ``id``, ``ref`` and ``alt``, in file order; ``fault`` says what is wrong with
    a row that cannot be told apart into these.

    Args:
        carried: source columns by name, a value for each row; for each allele of a row where it is a list.
        needed: how many columns a line needs, in words, for the fault of one that has another number.
        is_provisional: (R,) bool, rows of which the reference decides which allele is REF; PLINK's codes for alleles are faults there.
    """
    sites = {name: rows.columns[name].combine_chunks() for name in rows.columns.column_names}
    ids = sites.get("id", pa.array([""] * len(rows.record), pa.string()))
    fault = pc.if_else(pa.array(rows.is_damaged), NOT_UTF8, pa.scalar(None, pa.string()))
    pos, pos_fault = _positions(sites["pos"])
    fault = pc.coalesce(fault, sites.get("fault", pos_fault), pos_fault)
    if is_provisional is not None:
        fault = pc.coalesce(fault, pc.if_else(pa.array(is_provisional), _code_faults(sites), None))
    alts = pc.split_pattern(sites["alt"], ",")
    parent = pc.list_parent_indices(alts)
    allele = {
        "chrom": _present(sites["chrom"]).take(parent),
        "pos": pos.take(parent),
        "id": _present(ids).take(parent),
        "ref": _present(sites["ref"]).take(parent),
        "alt": _present(pc.list_flatten(alts)),
        "record": pa.array(rows.record).take(parent),
        "span": pa.nulls(len(parent), pa.int64()),
        "fault": fault.take(parent),
    }
    table = pa.table([allele[field.name] for field in RAW_ALLELES], schema=RAW_ALLELES)
    for name, values in (carried or {}).items():
        each = pc.list_flatten(values) if pa.types.is_list(values.type) else values.take(parent)
        table = table.append_column(SOURCE_PREFIX + name, each)
    whole, order = _with_malformed(table, rows, needed)
    if is_provisional is not None:
        of_alleles = is_provisional[parent.to_numpy()]
        is_provisional = np.concatenate([of_alleles, np.zeros(len(rows.malformed), bool)])[order]
    return AlleleBatch(whole, rows.num_records, is_provisional)


def _positions(text: pa.StringArray) -> tuple[pa.Array, pa.Array]:
    """Positions, null where the text is no whole number, and what is wrong with it."""
    is_whole = pc.and_(pc.ascii_is_decimal(text), pc.less_equal(pc.binary_length(text), _MOST_DIGITS))
    if pc.all(is_whole).as_py() is not False:
        return text.cast(pa.int64()), pa.nulls(len(text), pa.string())
    is_negative = pc.match_substring_regex(text, _NEGATIVE)
    is_number = pc.or_(is_whole, is_negative)
    positions = pc.if_else(is_number, text, None).cast(pa.int64())
    quoted = pc.binary_join_element_wise(
        "POS is '", pc.utf8_slice_codeunits(text, 0, _MOST_SHOWN), "', not a whole number", ""
    )
    below = pc.binary_join_element_wise("POS is ", text, ", below 0", "")
    fault = pc.if_else(is_whole, pa.scalar(None, pa.string()), pc.if_else(is_negative, below, quoted))
    return positions, fault


def _code_faults(sites: Mapping[str, pa.Array]) -> pa.Array:
    """What is wrong with alleles that are PLINK's codes and no bases; null for bases."""
    faults = pa.nulls(len(sites["ref"]), pa.string())
    for name in ("ref", "alt"):
        is_missing = pc.equal(sites[name], "0")
        is_indel = pc.is_in(sites[name], pa.array(["I", "D"]))
        text = pc.if_else(is_missing, "an allele is 0, PLINK's code for a missing one", pa.scalar(None, pa.string()))
        coded = pc.if_else(
            is_indel, "an allele is PLINK's code I or D for an insertion or deletion, without its bases", text
        )
        faults = pc.coalesce(faults, coded)
    return faults


def _present(text: pa.StringArray) -> pa.StringArray:
    """Text, null where it is empty or ``.``."""
    return pc.if_else(pc.is_in(text, pa.array(["", "."])), pa.scalar(None, pa.string()), text)


def _with_malformed(table: pa.Table, rows: TextRows, needed: str) -> tuple[pa.Table, np.ndarray]:
    """The alleles with a row for each malformed line, in file order; and where each row stood before, the malformed ones last."""
    if not rows.malformed:
        return table, np.arange(table.num_rows)
    records, lines, counts = zip(*rows.malformed, strict=True)
    faults = [f"{count} column{'' if count == 1 else 's'}, a line has {needed}" for count in counts]
    broken = pa.table(
        {"record": pa.array(records, pa.int64()), "chrom": [line[:_MOST_SHOWN] for line in lines], "fault": faults}
    )
    whole = pa.concat_tables([table, broken], promote_options="default")
    order = np.argsort(whole["record"].to_numpy(), kind="stable")
    return whole.take(order), order
