"""The data sets that a stage read, for MLflow: those it was given, and the mixture that training data came from.

    assemble ─► dataset ─► decontaminate ─► training ─► pack ─► packed ─► train

The run of a training names both `packed`, which it reads, and `dataset`, which people know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from med42lib.formats.mixture_table import read_mixture
from med42lib.store.lineage import Output
from med42lib.store.manifest import Input, Manifest

if TYPE_CHECKING:
    import pyarrow as pa

ASSEMBLED = "dataset"
_CONTEXTS = {"dataset": "training", "packed": "training", "items": "evaluation"}
_ON_THE_WAY = ("dataset", "packed")
_TYPES = {"string": "string", "int64": "long"}


@dataclass(frozen=True, slots=True)
class DataInput:
    """Data that a stage read; `context` says whether to train on or to evaluate with.

    `schema` and `profile` are JSON in MLflow's own form: the columns, and how many rows there are. The one is empty but
    for the assembled mixture, the other where nobody counted.
    """

    name: str
    digest: str
    address: str
    context: str
    schema: str = ""
    profile: str = ""


def data_inputs(manifest: Manifest, assembled: Output | None, rows: Mapping[str, int | None]) -> list[DataInput]:
    """List the data sets of one call of a stage.

    Args:
        manifest: Of the call's first output.
        assembled: The mixture that its data came from, if any.
        rows: How many rows there are in what was read, by its address.
    """
    inputs = {edge: manifest.inputs[edge] for edge in _CONTEXTS if edge in manifest.inputs}
    if manifest.stage == "train" and assembled is not None:
        inputs = {ASSEMBLED: Input(assembled.manifest.digest, assembled.source.address), **inputs}
    return [_data_input(edge, entry, assembled, rows.get(entry.address)) for edge, entry in inputs.items()]


def _data_input(edge: str, entry: Input, assembled: Output | None, rows: int | None) -> DataInput:
    described = {} if rows is None else {"profile": json.dumps({"num_rows": rows})}
    if assembled is not None and entry.digest == assembled.manifest.digest:
        described = {"schema": mlflow_schema(), "profile": _profile(assembled)}
    return DataInput(edge, entry.digest, entry.address, _CONTEXTS[edge], **described)


def mixtures_behind(outputs: Iterable[Output]) -> dict[str, Output]:
    """Give the assembled mixture that each output's training data came from, by the output's address.

    Args:
        outputs: Of a run, inputs before what was made of them.
    """
    found: dict[str, Output] = {}
    for output in outputs:
        if output.manifest.stage == "assemble":
            found[output.source.address] = output
        for edge in _ON_THE_WAY:
            entry = output.manifest.inputs.get(edge)
            if entry is not None and entry.address in found:
                found[output.source.address] = found[entry.address]
    return found


def mlflow_schema() -> str:
    """Write the data set's columns as MLflow does."""
    from med42lib.formats.dataset import SCHEMA

    columns = [{**_type(field.type), "name": field.name, "required": not field.nullable} for field in SCHEMA]
    return json.dumps({"mlflow_colspec": columns})


def _type(type_: pa.DataType) -> dict[str, Any]:
    from pyarrow import types

    if types.is_list(type_):
        return {"type": "array", "items": _type(type_.value_type)}
    if types.is_struct(type_):
        parts = {field.name: {**_type(field.type), "required": not field.nullable} for field in type_}
        return {"type": "object", "properties": parts}
    return {"type": _TYPES[str(type_)]}


def _profile(assembled: Output) -> str:
    """Count the rows, by source and by domain if the stage wrote that down."""
    profile: dict[str, Any] = {"num_rows": assembled.manifest.rows}
    if rows := read_mixture(assembled.source):
        profile["sources"] = {row["source"]: row["sampled"] for row in rows}
        domains = sorted({row["domain"] for row in rows})
        profile["domains"] = {
            domain: sum(row["sampled"] for row in rows if row["domain"] == domain) for domain in domains
        }
    return json.dumps(profile)
