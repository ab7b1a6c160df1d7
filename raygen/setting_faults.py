"""What is wrong with settings, in one sentence a setting: pydantic's errors in words that name what a setting can be.

In: the ``ValidationError``, the model that was filled, and the tree of values as they were given. Out: lines. The
words come from the types (``window.left: must be a whole number of at least 0, or null``), so a new setting needs no
words of its own; where they would be unclear, a field says them itself in ``json_schema_extra={"must_be": ...}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError


def faults_in_words(
    error: ValidationError, settings: type[BaseModel], tree: Mapping[str, Any], shown: Callable[[str], str] = str
) -> list[str]:
    """Every fault of single settings, one sentence a setting.

    Args:
        tree: sections, each a mapping of names to values, as they were given.
        shown: how a setting's dotted name is written.
    """
    faults: dict[str, str] = {}
    for fault in error.errors():
        where = [str(part) for part in fault["loc"]]
        name = ".".join(where[:2])
        if fault["type"] == "extra_forbidden":
            faults[name] = f"{name}: no such setting{_did_you_mean(name, settings)}"
        elif len(where) == 1:
            faults[name] = f"{name}: is a section; its settings are {', '.join(_keys(name, settings))}"
        else:
            value = tree[where[0]][where[1]]
            own_words = fault["msg"].removeprefix("Value error, ") if fault["type"] == "value_error" else ""
            requirement = own_words or f"must be {must_be(name, settings)}"
            faults[name] = f"{shown(name)}: {requirement} (given: {_as_yaml(value)}{_quoting_hint(fault)})"
    return list(faults.values())


def must_be(name: str, settings: type[BaseModel]) -> str:
    """What a setting can be, in words: ``a whole number of at least 1, or null``."""
    room, _, key = name.partition(".")
    return _in_words(_section(room, settings).model_json_schema()["properties"][key])


def has_null(name: str, settings: type[BaseModel]) -> bool:
    """Whether ``null`` is a value of the setting; false for what is no setting."""
    room, _, key = name.partition(".")
    field = _section(room, settings).model_fields.get(key) if room in settings.model_fields else None
    return field is not None and field.default is None


def _section(room: str, settings: type[BaseModel]) -> type[BaseModel]:
    section = settings.model_fields[room].annotation
    assert isinstance(section, type)
    assert issubclass(section, BaseModel)
    return section


def _keys(room: str, settings: type[BaseModel]) -> list[str]:
    return list(_section(room, settings).model_fields) if room in settings.model_fields else []


def _did_you_mean(name: str, settings: type[BaseModel]) -> str:
    room, _, key = name.partition(".")
    if key:
        near = [f"{room}.{match}" for match in get_close_matches(key, _keys(room, settings), n=1)]
    else:
        near = get_close_matches(room, settings.model_fields, n=1)
    elsewhere = [f"{other}.{key or room}" for other in settings.model_fields if (key or room) in _keys(other, settings)]
    return f"; did you mean {(near or elsewhere)[0]}?" if near or elsewhere else ""


def _in_words(schema: Mapping[str, Any]) -> str:
    if "must_be" in schema:
        return str(schema["must_be"])
    if "anyOf" in schema:
        return _either([_in_words(part) for part in schema["anyOf"]])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return _either([str(word) for word in schema["enum"]])
    if schema["type"] == "array" and "enum" in schema["items"]:
        return f"one of {_in_words(schema['items'])}, or a list of these"
    if schema["type"] == "array":
        return "text, or a list of texts"  # one may stand for a list of one
    words = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null"}
    kind = words.get(schema["type"], "text, not empty" if schema.get("minLength") else "text")
    return kind + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']:g}"
    if "maximum" in schema:
        return f" from {schema['minimum']:g} to {schema['maximum']:g}"
    return f" of at least {schema['minimum']:g}" if "minimum" in schema else ""


def _either(words: list[str]) -> str:
    *first, last = words
    comma = "," if any(" " in word for word in first) else ""
    return f"{', '.join(first)}{comma} or {last}" if first else last


def _as_yaml(value: Any) -> str:
    """A value as it would be written in a settings file, on one line."""
    try:
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    except yaml.YAMLError:
        return repr(value)
    return text.removesuffix("\n").removesuffix("\n...")


def _quoting_hint(fault: Mapping[str, Any]) -> str:
    """YAML takes 1, no and 2024-01-01 for a number, a truth value and a date, where a text of these letters was meant."""
    if fault["type"] not in ("string_type", "list_type") or isinstance(fault["input"], list | dict | None):
        return ""
    written = _as_yaml(fault["input"])
    return f"""; as text '{written}', in a shell "'{written}'\""""
