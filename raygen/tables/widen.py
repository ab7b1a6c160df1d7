"""A table's source columns with wider types: every file of scores written again, in one step for readers.

In: a run's folder and the types that its source columns get, each as wide as the one before or wider (see carried_types.py). Out: the
same rows, files, shards and footers in a new generation (see generations.py), whose files all have these types.

Why the files and not a rule for readers: other tools take the types of the first file for those of all, and then fail or, worse,
round 0.5 to 0. A night that brings the first float into a column of whole numbers is rare; what it costs is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raygen.errors import InputError, first_line
from raygen.tables.carried_types import types_as_text
from raygen.tables.compact import ROW_GROUP_ROWS, refuse_other_rows
from raygen.tables.damage import naming_damage, read_checked
from raygen.tables.generations import keep_embeddings, next_generation, scores_folder
from raygen.tables.layout import RunFolder


def widen(folder: RunFolder, types: Mapping[str, pa.DataType]) -> int:
    """Write every file of scores again with these types of the source columns; returns the number of files.

    The caller holds the folder's lock.

    Raises:
        InputError: the folder is on object storage, its files cannot be read as one table, or a value of it has no place in its
            new type.
        SettingsError: the filesystem cannot exchange generations.
        StoppedError: the disk is full, or what was written is not what was read. Nothing is changed in all four.
    """
    root = folder.local_root
    if root is None:
        raise InputError(
            f"The source columns of the input are {types_as_text(types)}, those of {folder.path} "
            f"{types_as_text(folder.carried_types())}. On object storage a table cannot be written again with wider types: make the "
            "types of the input those of the table, or give another output folder."
        )
    folder.refuse_mixed_files()
    files = [Path(file.path) for file in folder.score_files()]
    now = scores_folder(root)
    with next_generation(root) as new:
        for file in files:
            _rewrite(file, new / file.relative_to(now), types)
            keep_embeddings(file, now, new)
    return len(files)


def _rewrite(file: Path, place: Path, types: Mapping[str, pa.DataType]) -> None:
    with naming_damage(str(file)):
        table = read_checked(file)
    metadata = {**(table.schema.metadata or {}), b"raygen.column_types": types_as_text(types).encode()}
    fields = [field.with_type(types.get(field.name, field.type)) for field in table.schema]
    try:
        wider = table.cast(pa.schema(fields, metadata))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"The source columns of the input are {types_as_text(types)}, and {file} holds a value that has no place in "
            f"these: {first_line(error)}. Nothing was changed; give another output folder."
        ) from error
    place.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(wider, place, compression="zstd", row_group_size=ROW_GROUP_ROWS, write_page_checksum=True)
    refuse_other_rows(place, wider)
