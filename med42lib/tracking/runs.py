"""MLflow's runs, metrics and artifacts.

Everything is found by its tags before it is made, so that doing it again adds nothing, and what an interrupted
attempt left is completed.

A SQLite file has one process at a time (`tracking.address.sqlite_lock`). A server has many, and nothing but names is
unique there, so two processes may make the same run at the same moment. Which of the two counts is agreed in the store
(`store.agreement`), and who made the other deletes it.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from med42lib.core.errors import TrackingError
from med42lib.formats.report import PAIRS_PAGE_FILE
from med42lib.store.agreement import agree
from med42lib.store.base import Store
from med42lib.store.manifest import METRICS_FILE
from med42lib.store.metrics import MetricPoint
from med42lib.tracking.address import artifacts_address
from med42lib.tracking.connection import Connection, ignore_if_created
from med42lib.tracking.data_inputs import DataInput
from med42lib.tracking.names import (
    KEY_TAG,
    METRICS_PER_CALL,
    PARAMS_PER_CALL,
    PARENT_TAG,
    PIPELINE_TAG,
    RUN_NAME_TAG,
    RUN_TAG,
    batches,
    run_agreement,
)
from med42lib.tracking.replay import RunRecord, StageRecord

_SECONDS_BETWEEN_WRITES = (0.1, 0.4, 1.6)
_DIGEST_CHARACTERS = 32
_MAX_CHILDREN = 1000
_NOT_COPIED = {METRICS_FILE, PAIRS_PAGE_FILE}


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as it is made."""

    name: str
    start_ms: int
    tags: dict[str, str]


class Recorder:
    """The runs of one MLflow."""

    def __init__(self, connection: Connection, store: Store) -> None:
        """Take what is needed.

        Args:
            connection: To that MLflow.
            store: Where those who make the same run agree on one.
        """
        self._connection, self._store, self._client = connection, store, connection.client

    def experiment(self, name: str) -> str:
        """Find the experiment of that name, or make it; returns its id.

        Raises:
            TrackingError: If it was deleted; MLflow keeps the name of a deleted experiment taken.
        """
        with self._connection.translated():
            found = self._client.get_experiment_by_name(name)
            if found is None:
                with ignore_if_created():
                    self._client.create_experiment(name, artifact_location=artifacts_address(self._connection.address))
                found = self._client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"the MLflow experiment {name!r} was deleted; bring it back with `mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`, or set register.experiment to another name"
            )
        return str(found.experiment_id)

    def record_run(self, experiment_id: str, record: RunRecord) -> str:
        """Make sure that a run is recorded: a parent with the report, and a child per stage.

        Those that were made while stages worked (`tracking.live`) are completed; what they have is not written again.

        Args:
            experiment_id: The experiment it belongs to.
            record: The run and its stages, in the order they ran.

        Returns:
            The parent's run id.
        """
        stages = record.stages
        with self._connection.translated():
            self._adopt(experiment_id, record.digest, stages)
            wanted = NewRun(record.name, min(stage.start_ms for stage in stages), {RUN_TAG: record.digest})
            (parent,) = self._runs(experiment_id, f"tags.`{RUN_TAG}` = '{record.digest}'", RUN_TAG, [wanted])
            self._set_tags(parent, record.tags)
            self._record_children(parent, stages)
            if not _finished(parent):
                self._log_params(parent, record.params)
                self._log_metrics(parent, record.report.metrics())
                self._log_data(parent, record.report.data())
                self._log_files(parent, record.report)
                self._client.set_terminated(parent.info.run_id, "FINISHED", max(stage.end_ms for stage in stages))
            return str(parent.info.run_id)

    def _adopt(self, experiment_id: str, digest: str, records: Sequence[StageRecord]) -> None:
        """Have what was made while these stages worked found as this run's, below one parent.

        There are several parents where a spec was edited between attempts: the oldest is taken, and what is left empty
        deleted. What belongs to none of the stages was given up.
        """
        if self._client.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{digest}'", max_results=1):
            return
        keys = {record.manifest.key for record in records}
        unfinished = self._unfinished(experiment_id)
        waiting = {
            run.info.run_id for run in unfinished if {PIPELINE_TAG, RUN_TAG} & run.data.tags.keys() == {PIPELINE_TAG}
        }
        live = [run for run in unfinished if run.data.tags.get(PARENT_TAG) in waiting]
        ours = [run for run in live if run.data.tags.get(KEY_TAG) in keys]
        if not ours:
            return
        parent, *others = dict.fromkeys(run.data.tags[PARENT_TAG] for run in ours)
        for run in live:
            if run in ours:
                self._client.set_tag(run.info.run_id, PARENT_TAG, parent)
            elif run.data.tags[PARENT_TAG] == parent:
                self._client.set_terminated(run.info.run_id, "KILLED")
        kept = {run.data.tags[PARENT_TAG] for run in live if run not in ours}
        for emptied in set(others) - kept:
            self._client.delete_run(emptied)
        self._client.set_tag(parent, RUN_TAG, digest)  # last: from now on it is found

    def _unfinished(self, experiment_id: str) -> list[Run]:
        """List the runs that go on, the oldest first."""
        order = ["attributes.start_time", "attributes.run_id"]
        found = self._client.search_runs(
            [experiment_id], "attributes.status = 'RUNNING'", max_results=_MAX_CHILDREN, order_by=order
        )
        return list(found)

    def _runs(self, experiment_id: str, among: str, tag: str, wanted: Sequence[NewRun]) -> list[Run]:
        """Find runs, and make those that are missing.

        Args:
            experiment_id: Where they are.
            among: MLflow's filter for the runs to look at.
            tag: The tag whose value tells these runs from one another.
            wanted: What has to be there; one run is returned for each.
        """
        there: dict[str, list[Run]] = defaultdict(list)
        for run in self._client.search_runs([experiment_id], among, max_results=_MAX_CHILDREN):
            there[run.data.tags.get(tag, "")].append(run)
        return [self._one_run(experiment_id, new, new.tags[tag], there[new.tags[tag]]) for new in wanted]

    def _one_run(self, experiment_id: str, new: NewRun, value: str, found: Sequence[Run]) -> Run:
        """Give the finished one of the runs found, or the one that everybody goes on with."""
        for run in found:
            if _finished(run):
                return run
        own = found[0] if found else self._create(experiment_id, new)
        name = run_agreement(new.tags.get(PARENT_TAG, experiment_id), value)
        agreed = agree(self._store, name, own.info.run_id, self._run_exists)
        if agreed == own.info.run_id:
            return own
        if not found:
            self._client.delete_run(own.info.run_id)
        return self._client.get_run(agreed)

    def _create(self, experiment_id: str, new: NewRun) -> Run:
        return self._client.create_run(experiment_id, start_time=new.start_ms, run_name=new.name, tags=new.tags)

    def _run_exists(self, run_id: str) -> bool:
        """Say whether this MLflow has a run, and nobody deleted it."""
        try:
            return str(self._client.get_run(run_id).info.lifecycle_stage) == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _record_children(self, parent: Run, records: Sequence[StageRecord]) -> None:
        parent_id = parent.info.run_id
        wanted = [NewRun(r.name, r.start_ms, {PARENT_TAG: parent_id, **r.tags()}) for r in records]
        children = self._runs(parent.info.experiment_id, f"tags.`{PARENT_TAG}` = '{parent_id}'", KEY_TAG, wanted)
        for child, record in zip(children, records, strict=True):
            if not _finished(child):
                self._record_stage(child, record)

    def _record_stage(self, child: Run, record: StageRecord) -> None:
        """Fill a child run with what it does not have yet, and close it."""
        run_id = child.info.run_id
        self._log_params(child, record.params())
        self._set_tags(child, {**record.tags(), RUN_NAME_TAG: record.name})
        self._log_metrics(child, record.metrics())
        self._log_data(child, record.data())
        for output in record.outputs:
            self._client.log_text(run_id, output.manifest.to_json(), f"{output.manifest.target}/manifest.json")
        self._client.set_terminated(run_id, "FINISHED", record.end_ms)

    def _log_params(self, run: Run, params: Mapping[str, str]) -> None:
        # A value that is there cannot be changed; it may be of an attempt before, in what decides speed alone.
        missing = [Param(key, value) for key, value in params.items() if key not in run.data.params]
        for batch in batches(missing, PARAMS_PER_CALL):
            _write(partial(self._client.log_batch, run.info.run_id, params=batch))

    def _log_data(self, run: Run, data: Sequence[DataInput]) -> None:
        if data:
            _write(partial(self._client.log_inputs, run.info.run_id, [_dataset_input(entry) for entry in data]))

    def _log_metrics(self, run: Run, points: Iterable[MetricPoint]) -> None:
        """Write the points of steps that a run does not have; one of a killed attempt may have another time."""
        run_id = run.info.run_id
        there = {(key, p.step) for key in run.data.metrics for p in self._client.get_metric_history(run_id, key)}
        missing = (point for point in points if (point.key, point.step) not in there)
        for batch in batches(missing, METRICS_PER_CALL):
            metrics = [Metric(p.key, p.value, p.timestamp_ms, p.step) for p in batch]
            _write(partial(self._client.log_batch, run_id, metrics=metrics))

    def _log_files(self, run: Run, record: StageRecord) -> None:
        for source in record.sources:
            for entry in source.files:
                if entry.path not in _NOT_COPIED:
                    folder = str(PurePosixPath(entry.path).parent)
                    path = str(source.path(entry.path))
                    self._client.log_artifact(run.info.run_id, path, None if folder == "." else folder)

    def _set_tags(self, run: Run, tags: Mapping[str, str]) -> None:
        changed = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
        if changed:
            self._client.log_batch(run.info.run_id, tags=changed)


def _write(call: Callable[[], object]) -> None:
    """Write what another process may write at the same moment: MLflow looks first, its database refuses the other."""
    for seconds in _SECONDS_BETWEEN_WRITES:
        try:
            call()
            return
        except MlflowException as error:
            if "IntegrityError" not in str(error):
                raise
            time.sleep(seconds)
    call()


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
