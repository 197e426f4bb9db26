"""MLflow: runs, metrics, artifacts and registered models. The one module that knows it.

Everything is found by its tags before it is made, so that doing it again adds nothing, and what an interrupted
attempt left is completed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import PurePosixPath
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from med42lib.core.errors import AccessError, TrackingError
from med42lib.core.log import redact
from med42lib.register.data_inputs import DataInput
from med42lib.register.tracking import artifacts_address, host_refused, unreachable
from med42lib.register.tree import KEY_TAG, RUN_TAG, WEIGHTS_TAG, MetricPoint, StageRecord
from med42lib.store.manifest import METRICS_FILE

PARENT_TAG = "mlflow.parentRunId"
METRICS_PER_CALL = 1000
# A call may hold 1 MB, and a value 6,000 characters of up to 6 bytes in JSON.
PARAMS_PER_CALL = 20
_DIGEST_CHARACTERS = 32
_MAX_CHILDREN = 1000

T = TypeVar("T")


class Registry:
    """One MLflow, at a database or a server."""

    def __init__(self, address: str) -> None:
        # MLflow tells of every table it makes and every version it waits for.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self.address = address
        with self._translated():
            self._client = MlflowClient(address)

    def experiment(self, name: str) -> str:
        """Find the experiment of that name, or make it; returns its id.

        Raises:
            TrackingError: If it was deleted; MLflow keeps the name of a deleted experiment taken.
        """
        with self._translated():
            found = self._client.get_experiment_by_name(name)
            if found is None:
                return str(self._client.create_experiment(name, artifact_location=artifacts_address(self.address)))
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"the MLflow experiment {name!r} was deleted; bring it back with `mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`, or set register.experiment to another name"
            )
        return str(found.experiment_id)

    def record_run(
        self,
        experiment_id: str,
        *,
        digest: str,
        name: str,
        tags: Mapping[str, str],
        records: Sequence[StageRecord],
        report: StageRecord,
    ) -> str:
        """Make sure that a run is recorded: a parent with the report, and a child per stage.

        Args:
            experiment_id: The experiment it belongs to.
            digest: What identifies the run.
            name: The parent's name.
            tags: The parent's tags, beside those this module sets.
            records: The stages, in the order they ran.
            report: Its files become the parent's artifacts, and its metrics the parent's too.

        Returns:
            The parent's run id.
        """
        with self._translated():
            start_ms, end_ms = min(r.start_ms for r in records), max(r.end_ms for r in records)
            parent = self._find_parent(experiment_id, digest) or self._client.create_run(
                experiment_id, start_time=start_ms, run_name=name, tags={RUN_TAG: digest}
            )
            self._set_tags(parent, tags)
            self._record_children(parent, records)
            if not _finished(parent):
                self._log_metrics(parent, report.metrics())
                self._log_files(parent, report)
                self._client.set_terminated(parent.info.run_id, "FINISHED", end_ms)
            return str(parent.info.run_id)

    def register_version(
        self, model: str, *, source: str, run_id: str, tags: Mapping[str, str], description: str
    ) -> str:
        """Find the version with this source and these weights, or make it.

        Args:
            model: Name of the registered model; made if it does not exist.
            source: URI of the folder with the `MLmodel` file; nothing is copied.
            run_id: The run that the version belongs to.
            tags: The version's tags; `WEIGHTS_TAG` names its weights.
            description: The version's note.

        Returns:
            The version's number.
        """
        with self._translated():
            if not self._client.search_registered_models(f"name = '{model}'"):
                self._client.create_registered_model(model)
            version = self._find_version(model, source, tags[WEIGHTS_TAG]) or self._client.create_model_version(
                model, source, run_id, tags=dict(tags), description=description, await_creation_for=0
            )
            for key, value in tags.items():
                if version.tags.get(key) != value:
                    self._client.set_model_version_tag(model, version.version, key, value)
            if (version.description or "") != description:
                self._client.update_model_version(model, version.version, description)
            return str(version.version)

    def set_alias(self, model: str, version: str, alias: str) -> None:
        """Point the model's alias at a version, from wherever it points now."""
        with self._translated():
            if str(self._client.get_registered_model(model).aliases.get(alias)) != version:
                self._client.set_registered_model_alias(model, alias, version)

    def _find_parent(self, experiment_id: str, digest: str) -> Run | None:
        runs = self._client.search_runs(
            [experiment_id], f"tags.`{RUN_TAG}` = '{digest}'", order_by=["attributes.start_time ASC"], max_results=1
        )
        return runs[0] if runs else None

    def _find_version(self, model: str, source: str, weights: str) -> ModelVersion | None:
        versions = self._client.search_model_versions(f"name = '{model}' and tags.`{WEIGHTS_TAG}` = '{weights}'")
        return next((version for version in versions if version.source == source), None)

    def _record_children(self, parent: Run, records: Sequence[StageRecord]) -> None:
        children = self._client.search_runs(
            [parent.info.experiment_id], f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'", max_results=_MAX_CHILDREN
        )
        by_key = {child.data.tags.get(KEY_TAG): child for child in children}
        for record in records:
            child = by_key.get(record.manifest.key)
            if child is None or not _finished(child):
                self._record_stage(parent, record, child)

    def _record_stage(self, parent: Run, record: StageRecord, child: Run | None) -> None:
        """Fill a child run and close it. MLflow keeps one of two equal points, so a second attempt doubles none."""
        child = child or self._client.create_run(
            parent.info.experiment_id,
            start_time=record.start_ms,
            run_name=record.name,
            tags={PARENT_TAG: parent.info.run_id, **record.tags()},
        )
        run_id = child.info.run_id
        for params in _batches(record.params().items(), PARAMS_PER_CALL):
            self._client.log_batch(run_id, params=[Param(key, value) for key, value in params])
        self._log_metrics(child, record.metrics())
        if data := record.data():
            self._client.log_inputs(run_id, [_dataset_input(entry) for entry in data])
        for output in record.outputs:
            self._client.log_text(run_id, output.manifest.to_json(), f"{output.manifest.target}/manifest.json")
        self._client.set_terminated(run_id, "FINISHED", record.end_ms)

    def _log_metrics(self, run: Run, points: Iterable[MetricPoint]) -> None:
        for batch in _batches(points, METRICS_PER_CALL):
            metrics = [Metric(p.name, p.value, p.timestamp_ms, p.step) for p in batch]
            self._client.log_batch(run.info.run_id, metrics=metrics)

    def _log_files(self, run: Run, record: StageRecord) -> None:
        for source in record.sources:
            for entry in source.files:
                if entry.path != METRICS_FILE:
                    folder = str(PurePosixPath(entry.path).parent)
                    path = str(source.path(entry.path))
                    self._client.log_artifact(run.info.run_id, path, None if folder == "." else folder)

    def _set_tags(self, run: Run, tags: Mapping[str, str]) -> None:
        changed = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
        if changed:
            self._client.log_batch(run.info.run_id, tags=changed)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn MLflow's errors into ours.

        Raises:
            AccessError: If credentials are missing or rejected.
            TrackingError: If MLflow does not answer, or refuses for another reason.
        """
        try:
            yield
        except MlflowException as error:
            raise _refused(self.address, error) from error


def _refused(address: str, error: MlflowException) -> AccessError | TrackingError:
    message = redact(str(error))
    if "Invalid Host header" in message:
        return host_refused(address)
    if error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED") or "error code 401" in message:
        return AccessError(
            f"the MLflow server {redact(address)} rejected the credentials; set MLFLOW_TRACKING_TOKEN, or "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (on a cluster: the Secret med42-mlflow)"
        )
    if "failed with exception" in message:
        return unreachable(address, message)
    return TrackingError(f"MLflow at {redact(address)} refused: {message}")


def _dataset_input(data: DataInput) -> DatasetInput:
    source = json.dumps({"uri": data.address, "sha256": data.digest})
    kind = "s3" if data.address.startswith("s3://") else "local"
    dataset = Dataset(
        name=data.name,
        digest=data.digest[:_DIGEST_CHARACTERS],
        source_type=kind,
        source=source,
        schema=data.schema or None,
        profile=data.profile or None,
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", data.context)])


def _finished(run: Run) -> bool:
    return str(run.info.status) == "FINISHED"


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
