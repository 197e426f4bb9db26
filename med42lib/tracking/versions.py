"""Registered models in MLflow: their versions, and the aliases that point at one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from med42lib.core.errors import ConfigError, Problem
from med42lib.tracking.address import ui_command
from med42lib.tracking.connection import Connection, ignore_if_created
from med42lib.tracking.names import CANDIDATE, GATE_TAG, PASSED, WEIGHTS_TAG

_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a registered model, and its tags."""

    number: str
    tags: Mapping[str, str]


class Versions:
    """The registered models of one MLflow."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._client = connection, connection.client

    def register_version(
        self, model: str, *, source: str, run_id: str, tags: Mapping[str, str], description: str
    ) -> str:
        """Find the version of this run with this source and these weights, or make it.

        What a version says is so always of the run that MLflow shows as its source: MLflow never changes that one.

        Args:
            model: Name of the registered model; made if it does not exist.
            source: URI of the folder with the `MLmodel` file; nothing is copied.
            run_id: The run that the version belongs to.
            tags: The version's tags; `WEIGHTS_TAG` names its weights.
            description: The version's note.

        Returns:
            The version's number.
        """
        with self._connection.translated():
            if not self._client.search_registered_models(f"name = '{model}'"):
                with ignore_if_created():
                    self._client.create_registered_model(model)
            version = self._find_version(model, source, run_id, tags[WEIGHTS_TAG])
            if version is None:
                made = self._client.create_model_version(
                    model, source, run_id, tags=dict(tags), description=description, await_creation_for=0
                )
                version = self._find_version(model, source, run_id, tags[WEIGHTS_TAG]) or made
                if version.version != made.version:
                    self._client.delete_model_version(model, made.version)
            for key, value in tags.items():
                if version.tags.get(key) != value:
                    self._client.set_model_version_tag(model, version.version, key, value)
            if (version.description or "") != description:
                self._client.update_model_version(model, version.version, description)
            return str(version.version)

    def set_alias(self, model: str, version: str, alias: str) -> str | None:
        """Point the model's alias at a version; gives the version that it pointed at, None if at none."""
        with self._connection.translated():
            before = self._client.get_registered_model(model).aliases.get(alias)
            if str(before) != version:
                self._client.set_registered_model_alias(model, alias, version)
        return None if before is None else str(before)

    def newer_candidate(self, model: str, version: str) -> str | None:
        """Give the candidate's number if it is a later version than this one and passed its gate, else None."""
        with self._connection.translated():
            number = self._client.get_registered_model(model).aliases.get(CANDIDATE)
            if number is None or int(number) <= int(version):
                return None
            passed = self._client.get_model_version(model, number).tags.get(GATE_TAG) == PASSED
        return str(number) if passed else None

    def take_alias(self, model: str, alias: str, *, weights: str) -> str | None:
        """Take the alias from a version of these weights; gives its number, None if it points at other weights."""
        with self._connection.translated():
            before = self._client.get_registered_model(model).aliases.get(alias)
            if before is None or self._client.get_model_version(model, before).tags.get(WEIGHTS_TAG) != weights:
                return None
            self._client.delete_registered_model_alias(model, alias)
        return str(before)

    def find(self, model: str, number: str | None = None) -> Version:
        """Give a version by its number, or the candidate.

        Raises:
            ConfigError: If there is none.
        """
        with self._connection.translated():
            try:
                if number is None:
                    found = self._client.get_model_version_by_alias(model, CANDIDATE)
                else:
                    found = self._client.get_model_version(model, number)
            except MlflowException as error:
                if error.error_code not in _MISSING:
                    raise
                wanted = f"version {number}" if number else f"version with the alias {CANDIDATE}"
                problem = Problem(
                    model, f"has no {wanted} in this MLflow, or is not registered there; see {ui_command()}"
                )
                raise ConfigError("MLflow", [problem]) from error
        return Version(str(found.version), dict(found.tags))

    def tag(self, model: str, version: str, name: str, value: str) -> None:
        """Write a tag of a version."""
        with self._connection.translated():
            self._client.set_model_version_tag(model, version, name, value)

    def _find_version(self, model: str, source: str, run_id: str, weights: str) -> ModelVersion | None:
        """Find the first version of these weights in this run; the server gives numbers one after the other."""
        versions = self._client.search_model_versions(f"name = '{model}' and tags.`{WEIGHTS_TAG}` = '{weights}'")
        same = (version for version in versions if (version.source, version.run_id) == (source, run_id))
        return min(same, key=lambda version: int(version.version), default=None)
