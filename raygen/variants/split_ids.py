"""Ids that hold a variant to contig, position, REF and ALT: ``1-55051215-G-GA`` and its like, and SPDI.

In: a column of text. Out: columns of text as a VCF has them, and what is wrong with each id that does not hold a variant. SPDI is known by its
accession (``NC_000001.11:55051214:G:GA``): its position counts from 0. An empty sequence gets the base before it, which is written ``N`` and
is then the reference's.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

_ID = r"^(?P<chrom>.+?)[-:_](?P<pos>\d{1,18})[-:_](?P<ref>[^-:_/>]*)[-:_/>](?P<alt>[^-:_/>]*)$"
_SPDI = r"^(?P<chrom>[A-Z]{2}_?\d+\.\d+):(?P<pos>\d{1,18}):(?P<ref>[^:]*):(?P<alt>[^:]*)$"
_MOST_SHOWN = 40


def split_ids(text: pa.StringArray, column: str) -> dict[str, pa.Array]:
    """Contig, position, REF and ALT out of ids, with a fault for those that are none."""
    parts = named_parts(text, _ID)
    spdi = _spdi(named_parts(text, _SPDI))
    is_spdi = pc.is_valid(spdi["chrom"])
    split = {name: pc.if_else(is_spdi, spdi[name], parts[name]) for name in parts}
    shown = pc.utf8_slice_codeunits(text, 0, _MOST_SHOWN)
    not_split = pc.binary_join_element_wise(
        f"{column} is '", shown, "', not contig, position and two alleles like 1-55051215-G-GA", ""
    )
    is_length = pc.and_(is_spdi, pc.match_substring_regex(spdi["ref"], r"\d"))
    by_length = pc.binary_join_element_wise(
        f"{column} is '", shown, "', which says how many bases it deletes and not which", ""
    )
    fault = pc.if_else(pc.fill_null(is_length, False), by_length, pa.scalar(None, pa.string()))
    fault = pc.if_else(pc.is_null(split["chrom"]), not_split, fault)
    filled = {name: pc.fill_null(values, "0" if name == "pos" else "") for name, values in split.items()}
    return {**filled, "fault": fault}


def _spdi(parts: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """SPDI as a VCF has it: positions from 1, and with N for the base before, where one of the sequences is empty."""
    first = parts["pos"].cast(pa.int64())
    is_padded = pc.or_(pc.equal(parts["ref"], ""), pc.equal(parts["alt"], ""))
    pos = pc.if_else(is_padded, first, pc.add(first, 1)).cast(pa.string())
    padded = {
        name: pc.if_else(is_padded, pc.binary_join_element_wise("N", parts[name], ""), parts[name])
        for name in ("ref", "alt")
    }
    return {"chrom": parts["chrom"], "pos": pos, **padded}


def named_parts(text: pa.StringArray, pattern: str) -> dict[str, pa.Array]:
    """The named groups of a pattern, null where it does not match."""
    found = pc.extract_regex(text, pattern)
    return {field.name: pc.struct_field(found, field.name) for field in found.type}
