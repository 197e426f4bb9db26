"""What MLflow's runs are called and tagged with, and what its names and calls may hold. Knows no MLflow."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

PARENT_TAG = "mlflow.parentRunId"
RUN_NAME_TAG = "mlflow.runName"
RUN_TAG = "med42.run"
PIPELINE_TAG = "med42.pipeline"
"""On the parent of a run that goes on: the digest of its settings. What it is to be named by is not known yet."""

KEY_TAG = "med42.key"
WEIGHTS_TAG = "med42.weights"
CANDIDATE, CHAMPION = "candidate", "champion"
"""Aliases: the newest version that passed the gate, and the one that somebody said to use."""

GATE_TAG = "med42.gate"
"""Of a model version: `passed`, or what `register.gate` has against it."""

PASSED = "passed"
PROMOTED_TAG = "med42.promoted"
"""Of a model version that became the champion though its gate had not passed: why."""

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
