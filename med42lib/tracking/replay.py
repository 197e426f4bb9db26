"""What MLflow is told of a run: one record per stage, taken from manifests and metrics. Knows no MLflow."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from med42lib.store.artifacts import Source
from med42lib.store.lineage import Lineage, Output
from med42lib.store.manifest import Manifest
from med42lib.store.metrics import MetricPoint
from med42lib.tracking.data_inputs import DataInput, data_inputs, mixtures_behind

PARENT_TAG = "mlflow.parentRunId"
RUN_NAME_TAG = "mlflow.runName"
RUN_TAG = "med42.run"
PIPELINE_TAG = "med42.pipeline"
"""On the parent of a run that goes on: the digest of its settings. What it is to be named by is not known yet."""

KEY_TAG = "med42.key"
WEIGHTS_TAG = "med42.weights"
NOTE_TAG = "mlflow.note.content"
# Limits of MLflow 3.17 (mlflow/utils/validation.py).
MAX_NAME_CHARACTERS = 250
MAX_PARAM_CHARACTERS = 6000
METRICS_PER_CALL = 1000
# A call may hold 1 MB, and a value 6,000 characters of up to 6 bytes in JSON.
PARAMS_PER_CALL = 20
T = TypeVar("T")
_FORBIDDEN = re.compile(r"[^\w.\-:/ ]")
_CUT = " … (cut; whole in the manifest among the artifacts)"


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One call of a stage: what becomes a child run. `assembled` is the mixture that its training data came from."""

    name: str
    outputs: tuple[Output, ...]
    assembled: Output | None = None

    @property
    def manifest(self) -> Manifest:
        """The manifest of the first output; settings, inputs and times are the same in all of them."""
        return self.outputs[0].manifest

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the outputs are read."""
        return tuple(output.source for output in self.outputs)

    @property
    def end_ms(self) -> int:
        """When the stage finished, in milliseconds since 1970."""
        return int(datetime.fromisoformat(self.manifest.created_at).timestamp() * 1000)

    @property
    def start_ms(self) -> int:
        """When the stage started, in milliseconds since 1970."""
        return self.end_ms - round(self.manifest.seconds * 1000)

    def params(self) -> dict[str, str]:
        """Give the stage's settings, flattened."""
        return flatten(self.manifest.config)

    def tags(self) -> dict[str, str]:
        """Give what identifies the call and its outputs."""
        tags = {KEY_TAG: self.manifest.key, "med42.stage": self.manifest.stage}
        for output in self.outputs:
            target = output.manifest.target
            tags[f"med42.digest.{target}"] = output.manifest.digest
            tags[f"med42.address.{target}"] = output.source.address
            if output.manifest.rows is not None:
                tags[f"med42.rows.{target}"] = str(output.manifest.rows)
        return tags | {f"med42.version.{name}": version for name, version in self.manifest.versions.items()}

    def data(self) -> list[DataInput]:
        """Give the data sets that the stage read, and the mixture that a training's data came from."""
        return data_inputs(self.manifest, self.assembled)

    def metrics(self) -> Iterator[MetricPoint]:
        """Read the numbers that the stage recorded, fetching them from the store if need be."""
        for source in self.sources:
            for row in source.metrics():
                yield MetricPoint(mlflow_name(row["key"]), row["value"], row["step"], row["timestamp_ms"])


def stage_records(lineage: Lineage, report: Manifest) -> list[StageRecord]:
    """Make a record of every stage call, in order, each with a name of its own.

    Args:
        lineage: The run's outputs.
        report: The report's manifest; the edges through which it read outputs name them.
    """
    names = lineage.names({entry.address: edge for edge, entry in report.inputs.items()})
    assembled = mixtures_behind(lineage.outputs)
    named = zip(names, lineage.stage_runs(), strict=True)
    return [StageRecord(name, outputs, assembled.get(outputs[0].source.address)) for name, outputs in named]


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut items into lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def run_name(experiment: str, digest: str) -> str:
    """Name the run of a whole pipeline, which a digest tells from others."""
    return f"{experiment} {digest[:8]}"


def run_agreement(parent: str, value: str) -> str:
    """Name what those agree on, in the store, who make the same run.

    Args:
        parent: Id of the run that it is below, or of the experiment.
        value: Of the tag that tells it from others there.
    """
    return f"mlflow-run/{parent}/{value}"


def flatten(settings: Mapping[str, object]) -> dict[str, str]:
    """Turn nested settings into names with dots and values MLflow can hold.

    {"recipe": {"epochs": 2}, "sources": [{"name": "a"}], "betas": [0.9, 0.95]} becomes
    {"recipe.epochs": "2", "sources.0.name": "a", "betas": "[0.9, 0.95]"}.
    """
    return {mlflow_name(name): _shortened(value) for name, value in _leaves("", settings)}


def mlflow_name(name: str) -> str:
    """Write a name with the characters that MLflow allows: lm-eval's `acc,none` becomes `acc_none`."""
    allowed = _FORBIDDEN.sub("_", name)[:MAX_NAME_CHARACTERS]
    return allowed if _is_plain_path(allowed) else allowed.replace("/", "_").strip(".") or "_"


def _is_plain_path(name: str) -> bool:
    """MLflow refuses names that would mean another file if they were paths."""
    return posixpath.normpath(name) == name and not name.startswith((".", "/"))


def _leaves(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        for position, inner in enumerate(value):
            yield from _leaves(f"{prefix}.{position}", inner)
    elif prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(value: str) -> str:
    return value if len(value) <= MAX_PARAM_CHARACTERS else value[: MAX_PARAM_CHARACTERS - len(_CUT)] + _CUT
