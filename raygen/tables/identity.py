"""What all files of a table share, and how it is read off one of them: identity, carried columns and their types.

In: the schema of a file of scores, its metadata included. Out: its identity, or a refusal of what cannot stand beside the others.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pyarrow as pa

from raygen.errors import InputError
from raygen.tables.carried_types import is_as_wide, types_as_text
from raygen.tables.schemas import SCORES


@dataclass(frozen=True)
class Identity:
    """What all scores of a folder share. Scores with another identity are refused there.

    ``cuts`` are the cut points of the classes, ``source_columns`` the columns carried along, ``column_types`` these
    with their types, ``extra_columns`` what the model said beside the scores, and ``background`` the digest of what the scores
    are ranked against, ``embeddings`` which states of the model are kept beside the scores, all as text.
    """

    fingerprint: str
    reference_digest: str
    cuts: str = ""
    source_columns: str = ""
    column_types: str = ""
    extra_columns: str = ""
    background: str = ""
    embeddings: str = ""


def refuse_other_types(path: str, schema: pa.Schema, of_table: pa.Schema) -> None:
    """Refuse a file of scores whose columns cannot be read with the types of its table: Arrow would read text as numbers.

    Versions up to 0.1.0 wrote such tables.

    Raises:
        InputError: a column has another type.
    """
    for column in schema:
        expected = of_table.field(column.name).type if column.name in of_table.names else column.type
        if not is_as_wide(expected, column.type):
            raise InputError(
                f"{path} cannot be read as one table with the files before it: {column.name} is {column.type} there and "
                f"{expected} before. `raygen verify` lists every such file; score them into a folder of their own."
            )


def identity_of(schema: pa.Schema) -> Identity:
    """What a file of scores with this schema, metadata included, says it shares with its table.

    The types of its columns are read off themselves: files of version 0.1.0 do not declare them in words.
    """
    metadata = schema.metadata or {}
    texts = {field.name: metadata.get(f"raygen.{field.name}".encode(), b"").decode() for field in fields(Identity)}
    return Identity(**{**texts, "column_types": types_as_text(carried_types(schema))})


def carried_types(schema: pa.Schema) -> dict[str, pa.DataType]:
    """The types of the columns in a file of scores that its metadata names as carried along from the input."""
    text = (schema.metadata or {}).get(b"raygen.source_columns", b"").decode()
    return carried_columns_in(text, schema)


def carried_columns_in(source_columns: str, schema: pa.Schema) -> dict[str, pa.DataType]:
    """Source columns, which an identity names in one text, with their types. They follow those of SCORES; after them come
    columns that raygen adds.
    """
    names = [name for name in schema.names if name not in SCORES.names]
    count = next((count for count in range(len(names) + 1) if ", ".join(names[:count]) == source_columns), 0)
    return {name: schema.field(name).type for name in names[:count]}


def declaring(identity: Identity, schema: pa.Schema, where: str) -> Identity:
    """The identity with the types of the source columns of rows that are to be committed under it.

    Raises:
        InputError: it declares others.
    """
    column_types = types_as_text(carried_columns_in(identity.source_columns, schema))
    if identity.column_types not in ("", column_types):
        raise InputError(
            f"{where} has the source columns {column_types}; the table has {identity.column_types}, and its files have to "
            "be readable as one. `raygen verify` lists files that are not."
        )
    return replace(identity, column_types=column_types)
