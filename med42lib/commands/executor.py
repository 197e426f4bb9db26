"""What Kubeflow hands to a container and reads from it afterwards, without kfp: the executor input and output.

    inputs.parameterValues.NAME                  a value, also a whole structure
    outputs.parameters.NAME.outputFile           the file that is to hold this output
    outputs.artifacts.NAME.artifacts[0].uri      where what the user interface shows of it is to be
    outputs.outputFile                           the file that is to hold all of this once more, and what is shown

A cluster mounts the store of an artifact's address as a folder, and uploads what lies there when the container is done.
An artifact with another address than the given one fails the task after its work, so none is ever changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import brief

TITLE = "executor input"
KUBEFLOWS_OWN_ARTIFACT = "executor-logs"
"""What Kubeflow prints of a container, an output that it adds and fills itself (PUBLISH_LOGS, its default)."""
_MOUNTED = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """What is shown of an output: the address it is asked at, its file on this machine, and metadata that are shown."""

    name: str
    uri: str
    metadata: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The file that belongs there."""
        for scheme, folder in _MOUNTED.items():
            if self.uri.startswith(scheme):
                return Path(folder, self.uri.removeprefix(scheme))
        return Path(self.uri)

    def to_json(self) -> dict[str, Any]:
        """Describe it as the executor output does."""
        return {"artifacts": [{"name": self.name, "uri": self.uri, "metadata": dict(self.metadata)}]}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an executor input asks for: each output's file, the addresses of artifacts, and the file for all."""

    files: Mapping[str, Path]
    artifacts: Mapping[str, str]
    all: Path | None

    def write(self, values: Mapping[str, str], shown: Collection[Artifact] = ()) -> None:
        """Write every declared output; the backend fails a task one of whose outputs is missing."""
        for name, path in self.files.items():
            write_whole(path, values[name])
        if self.all:
            artifacts = {artifact.name: artifact.to_json() for artifact in shown}
            write_whole(self.all, json.dumps({"parameterValues": dict(values), "artifacts": artifacts}))


def parameters(executor_input: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the parameters' values by name.

    Raises:
        ConfigError: If what should hold them is no JSON object.
    """
    return _part(executor_input, "inputs", "parameterValues")


def asked_outputs(
    executor_input: Mapping[str, Any], *, title: str, outputs: Collection[str], artifacts: Collection[str] = ()
) -> Asked:
    """Read where to write what.

    Args:
        executor_input: Kubeflow's.
        title: Whose outputs these are, for messages.
        outputs: The names of those that there will be.
        artifacts: The names of what can be shown of them.

    Raises:
        ConfigError: If another output is asked for, or no place given for one.
    """
    asked = _part(executor_input, "outputs")
    files = _part(asked, "parameters")
    shown = {name: found for name, found in _part(asked, "artifacts").items() if name != KUBEFLOWS_OWN_ARTIFACT}
    if unknown := sorted({*files} - {*outputs} | {*shown} - {*artifacts}):
        raise ConfigError(title, [Problem(name, "is not an output of it") for name in unknown])
    return Asked(
        {name: Path(_text(_part(files, name), "outputFile")) for name in files},
        {name: _text(_only_artifact(_part(shown, name)), "uri") for name in shown},
        Path(_text(asked, "outputFile")) if "outputFile" in asked else None,
    )


def load_json(text: str) -> dict[str, Any]:
    """Read one JSON object, given as it is or as @FILE.

    Raises:
        ConfigError: If it is none, or there is no such file.
    """
    try:
        content = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        values = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("parameters", [Problem("JSON", f"cannot be read: {error} (given: {brief(text)})")]) from error
    if not isinstance(values, dict):
        raise ConfigError("parameters", [Problem("JSON", f"is not an object (given: {brief(content)})")])
    return values


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)


def _part(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Give an object inside another, empty if it is not there."""
    for name in names:
        part = values.get(name, {})
        if not isinstance(part, dict):
            raise ConfigError(TITLE, [Problem(name, f"is not an object (given: {brief(part)})")])
        values = part
    return values


def _text(values: Mapping[str, Any], name: str) -> str:
    text = values.get(name)
    if not isinstance(text, str):
        raise ConfigError(TITLE, [Problem(name, f"is required as text (given: {brief(text)})")])
    return text


def _only_artifact(values: Mapping[str, Any]) -> Mapping[str, Any]:
    given = values.get("artifacts")
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
        raise ConfigError(TITLE, [Problem("artifacts", f"is required as a list of one object (given: {brief(given)})")])
    found: Mapping[str, Any] = given[0]
    return found
