"""The training operator's own CRD, made strict: what the API server would drop without a word is a problem."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import REPOSITORY

CRD_VARIABLE = "MED42_REAL_CRDS"
CRD = Path(os.environ.get(CRD_VARIABLE, REPOSITORY.parent / "shared" / "crds")) / "kubeflow.org_pytorchjobs.yaml"
MISSING = f"no CRD at {CRD}: set {CRD_VARIABLE} to the folder that holds the training operator's manifests/base/crds"
_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


@cache
def read_schema() -> dict[str, Any]:
    """Read the schema of a PyTorchJob; a name and labels are all that is known of its metadata there."""
    [version] = yaml.load(CRD.read_text(encoding="utf-8"), yaml.CSafeLoader)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return schema


def problems(schema: Mapping[str, Any], value: Any, where: str = "") -> Iterator[str]:
    """List where a value is not as its schema says, unknown fields among them."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{where}: {value!r} is neither a whole number nor text"
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{where}: {value!r} is no {kind}"
        return
    yield from _range_problems(schema, value, where)
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from problems(schema.get("items", {}), item, f"{where}[{place}]")
    if isinstance(value, dict):
        yield from _field_problems(schema, value, where)


def _range_problems(schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where}: {value!r} does not match {schema['pattern']}"
    if value < schema["minimum"] if "minimum" in schema else False:
        yield f"{where}: {value!r} is below {schema['minimum']}"


def _field_problems(schema: Mapping[str, Any], value: Mapping[str, Any], where: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{where}.{name}: is required"
    for name, child in value.items():
        if name in known:
            yield from problems(known[name], child, f"{where}.{name}")
        elif isinstance(others, Mapping):
            yield from problems(others, child, f"{where}.{name}")
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{where}.{name}: is no known field"
