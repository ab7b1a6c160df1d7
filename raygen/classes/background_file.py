"""The file of a background: a zip of JSON (where it comes from) and Parquet (counts by group and step, sums by context, kinds of regions),
which other programs read as well. Equal content gives equal files.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from raygen.classes.background import Background, BackgroundFacts
from raygen.classes.contexts import NUM_CODES, ContextSums, change_codes, context_names
from raygen.classes.score_counts import ScoreCounts
from raygen.errors import InputError
from raygen.remote import stage
from raygen.tables.place import put_in_place
from raygen.variants.region_kinds import RegionKinds

_FACTS, _COUNTS, _CONTEXTS, _REGIONS = "background.json", "counts.parquet", "contexts.parquet", "regions.parquet"
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def write_background(background: Background, path: str | Path) -> None:
    """Write a background to a file.

    Raises:
        SettingsError, StoppedError: as ``put_in_place``.
    """
    parts = {
        _FACTS: background.facts.model_dump_json(indent=2).encode() + b"\n",
        _COUNTS: _parquet(_counts_table(background.groups)),
    }
    if background.contexts:
        parts[_CONTEXTS] = _parquet(_contexts_table(background.contexts))
    if background.kinds:
        parts[_REGIONS] = _parquet(background.kinds.to_table())
    with put_in_place(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _NO_DATE), content)


def read_background(path: str | Path) -> Background:
    """Read a background file of this machine or of any filesystem.

    Raises:
        InputError: there is no such file, or it is no background.
    """
    local = stage(str(path))
    try:
        with zipfile.ZipFile(local) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        facts = BackgroundFacts.model_validate_json(content[_FACTS])
        groups = _counts_of(pq.read_table(io.BytesIO(content[_COUNTS])))
        contexts = _contexts_of(pq.read_table(io.BytesIO(content[_CONTEXTS]))) if _CONTEXTS in content else None
        kinds = RegionKinds.from_table(pq.read_table(io.BytesIO(content[_REGIONS]))) if _REGIONS in content else None
    except OSError as error:
        raise InputError(f"The background {path} cannot be read: {error.strerror or error}.") from error
    except ValidationError as error:
        raise InputError(f"{path} is no background that this raygen wrote: {error.errors()[0]['msg']}.") from error
    except (zipfile.BadZipFile, KeyError, pa.ArrowException) as error:
        raise InputError(f"{path} is no background of `raygen background`, or it is damaged.") from error
    return Background(facts, groups, contexts, kinds)


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    encodings = (
        {"step": "DELTA_BINARY_PACKED", "count": "DELTA_BINARY_PACKED"} if "step" in table.column_names else None
    )
    pq.write_table(
        table, sink, compression="zstd", use_dictionary=["group"] if encodings else True, column_encoding=encodings
    )
    return sink.getvalue()


def _counts_table(groups: Mapping[str, ScoreCounts]) -> pa.Table:
    names = sorted(groups)
    sizes = [len(groups[name].steps) for name in names]
    number = pa.array(np.repeat(np.arange(len(names), dtype=np.int32), sizes))
    return pa.table(
        {
            "group": pa.DictionaryArray.from_arrays(number, pa.array(names, pa.string())),
            "step": np.concatenate([np.zeros(0, np.int32), *(groups[name].steps for name in names)]),
            "count": np.concatenate([np.zeros(0, np.int64), *(groups[name].counts for name in names)]),
        }
    )


def _counts_of(table: pa.Table) -> dict[str, ScoreCounts]:
    encoded = table["group"].combine_chunks()
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    number, steps, counts = encoded.indices.to_numpy(), table["step"].to_numpy(), table["count"].to_numpy()
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    return {
        encoded.dictionary[int(number[start])].as_py(): ScoreCounts(steps[start:end], counts[start:end])
        for start, end in zip(starts, [*starts[1:], len(number)], strict=True)
    }


def _contexts_table(contexts: ContextSums) -> pa.Table:
    codes = change_codes()
    fives, alts = context_names()
    sums = dict(zip(("num_sites", "total", "squares"), (values[codes] for values in contexts.arrays), strict=True))
    return pa.table(
        {"context": fives, "alt": alts, **sums, "expected": contexts.expected[codes], "spread": contexts.spread[codes]}
    )


def _contexts_of(table: pa.Table) -> ContextSums:
    sums = []
    for name in ("num_sites", "total", "squares"):
        values = np.zeros(NUM_CODES, np.int64)
        values[change_codes()] = table[name].to_numpy()
        sums.append(values)
    return ContextSums(*sums)
