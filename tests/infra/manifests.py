"""Every manifest of infra/, and what to hold it against."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import ray
import yaml

from tests.builders import shared

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the definitions are a megabyte


def documents(pattern: str) -> list[tuple[str, dict[str, Any]]]:
    """(name, content) of every YAML document in the files of infra/ that fit the pattern."""
    return [
        (f"{path.name}:{document.get('kind')}", document)
        for path in sorted(INFRA.glob(pattern))
        for document in yaml.safe_load_all(path.read_text())
    ]


@cache
def crd_schema(kind: str) -> dict[str, Any]:
    """The schema of a KubeRay kind, in which unknown fields are faults."""
    path = shared(f"kuberay-crds/ray.io_{kind.lower()}s.yaml")
    definition = next(one for one in yaml.load_all(path.read_text(), _FAST) if one)
    version = next(one for one in definition["spec"]["versions"] if one["name"] == "v1")
    return _closed(version["schema"]["openAPIV3Schema"])


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(value) for key, value in schema.items()}
    if found.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    is_metadata = found == {"type": "object"}  # the API server checks it, the definition does not
    if "properties" in found and not is_metadata and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def launcher_schema() -> dict[str, Any]:
    """Of Ray's cluster launcher, as its wheel ships it."""
    return json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())


def strings(tree: Any) -> Iterator[str]:
    """Every string in a document."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from strings(value)
    elif isinstance(tree, str):
        yield tree


def container_paths(text: str) -> list[str]:
    """Paths in the container that a text names: of the package's checkout, of settings, of a mounted manifest."""
    return re.findall(r"/opt/raygen/[\w./-]+|/etc/raygen[\w-]*/[\w./-]+|/settings/[\w./-]+", text)
