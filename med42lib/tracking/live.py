"""A stage's run in MLflow while it works, below a run of the whole pipeline. `register` completes both.

    metrics.jsonl ─► a thread of `store.metrics` ─► LiveRun.write ─► MLflow's server

Only servers are written to: nobody looks into a SQLite file meanwhile, and its lock is `register`'s. MLflow's REST API
is spoken without mlflow, which no training image has, and which takes two seconds to import.

Before it writes, it asks for the last step that the run has of each metric, and sends what is newer. So nothing is
missing or doubled after a server that was away, a call without an answer, or an attempt that was killed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from med42lib.engine.context import TrackedAs
from med42lib.store.address import open_store
from med42lib.store.agreement import agree
from med42lib.store.metrics import MetricPoint
from med42lib.tracking.address import TRACKING_VARIABLE, is_server
from med42lib.tracking.names import (
    KEY_TAG,
    METRICS_PER_CALL,
    PARAMS_PER_CALL,
    PARENT_TAG,
    PIPELINE_TAG,
    batches,
    flatten,
    mlflow_name,
    run_agreement,
    run_name,
)
from med42lib.tracking.rest import ask

SECONDS_TO_CONNECT, SECONDS_TO_ANSWER = 5.0, 20.0
_MISSING = "RESOURCE_DOES_NOT_EXIST"
_NO_JSON = {math.inf: "Infinity", -math.inf: "-Infinity"}

Run = Mapping[str, Any]
"""A run as MLflow's REST API gives it."""


def live_run(tracked: TrackedAs, *, stage: str, key: str, settings: Mapping[str, object], store: str) -> LiveRun | None:
    """Give the run of a stage that works; None where MLflow is no server. Nothing is asked or made yet.

    Args:
        tracked: What it is called.
        stage: The stage's name.
        key: That of its output, which tells the run from others: another attempt goes on with it.
        settings: The stage's settings.
        store: Address of the store, in which those who make the same run at once agree on one.
    """
    address = os.environ.get(TRACKING_VARIABLE, "").strip().rstrip("/")
    return LiveRun(Server(address), tracked, stage, key, settings, store) if is_server(address) else None


class LiveRun:
    """A `MetricSink` that writes to one run, which it finds or makes."""

    name = "MLflow"

    def __init__(
        self, server: Server, tracked: TrackedAs, stage: str, key: str, settings: Mapping[str, object], store: str
    ) -> None:
        self._server, self._tracked = server, tracked
        self._stage, self._key, self._params, self._store = stage, key, flatten(settings), store
        self._run_id: str | None = None

    def write(self, points: Sequence[MetricPoint]) -> None:
        """Write what the run does not have.

        Raises:
            requests.RequestException: If the server does not answer, or refuses.
        """
        run = self._server.run(self._run_id) if self._run_id else None
        if run is None:
            run = self._find_or_make()
            self._run_id = _id(run)
        if not _goes_on(run):  # `register` has completed it, or somebody has ended it
            return
        there = {entry["key"]: int(entry.get("step", 0)) for entry in run["data"].get("metrics", ())}
        missing = [p for p in points if p.step > there.get(mlflow_name(p.key), -1)]
        for batch in batches(missing, METRICS_PER_CALL):
            self._server.post("runs/log-batch", run_id=self._run_id, metrics=[_metric(point) for point in batch])

    def _find_or_make(self) -> Run:
        experiment = self._server.experiment(self._tracked.experiment)
        run = self._server.unfinished(experiment, KEY_TAG, self._key)
        if run is None:
            name = run_name(self._tracked.experiment, self._tracked.run)
            parent = self._one(experiment, experiment, PIPELINE_TAG, self._tracked.run, name, {})
            tags = {PARENT_TAG: _id(parent), "med42.stage": self._stage}
            run = self._one(experiment, _id(parent), KEY_TAG, self._key, self._tracked.name, tags)
        there = {entry["key"] for entry in run["data"].get("params", ())}
        params = [{"key": key, "value": value} for key, value in self._params.items() if key not in there]
        for batch in batches(params, PARAMS_PER_CALL):
            self._server.post("runs/log-batch", run_id=_id(run), params=batch)
        return run

    def _one(self, experiment: str, around: str, tag: str, value: str, name: str, tags: Mapping[str, str]) -> Run:
        """Find the unfinished run with this value of a tag, or make it; of several that make it at once, one stays."""
        found = self._server.unfinished(experiment, tag, value)
        own = found or self._server.create_run(experiment, name, {**tags, tag: value})

        def stands(run_id: str) -> bool:
            run = self._server.run(run_id)
            return run is not None and _goes_on(run)

        agreed = agree(open_store(self._store), run_agreement(around, value), _id(own), stands)
        if agreed == _id(own):
            return own
        if not found:
            self._server.post("runs/delete", run_id=_id(own))
        return self._server.run(agreed) or own


class Server:
    """The few calls of MLflow's REST API (2.0) that are needed here, with the credentials of the environment."""

    def __init__(self, address: str) -> None:
        self._address = address

    def experiment(self, name: str) -> str:
        """Find the experiment of that name, or make it; returns its id."""
        found = self._found("experiments/get-by-name", experiment_name=name)
        if found is None:
            return str(self.post("experiments/create", name=name)["experiment_id"])
        return str(found["experiment"]["experiment_id"])

    def run(self, run_id: str) -> Run | None:
        """Give a run; None if there is none, or it was deleted."""
        found = self._found("runs/get", run_id=run_id)
        return found["run"] if found and found["run"]["info"]["lifecycle_stage"] == "active" else None

    def unfinished(self, experiment: str, tag: str, value: str) -> Run | None:
        """Find the newest run with this value of a tag that goes on."""
        wanted = f"tags.`{tag}` = '{value}' and attributes.status = 'RUNNING'"
        found = self.post("runs/search", experiment_ids=[experiment], filter=wanted, max_results=1)
        runs: list[Run] = found.get("runs", [])
        return runs[0] if runs else None

    def create_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> Run:
        """Make a run that goes on."""
        given = [{"key": key, "value": value} for key, value in tags.items()]
        now_ms = int(time.time() * 1000)
        run: Run = self.post("runs/create", experiment_id=experiment, run_name=name, start_time=now_ms, tags=given)[
            "run"
        ]
        return run

    def post(self, call: str, **fields: object) -> dict[str, Any]:
        """Make a call that has to succeed."""
        return self._asked("POST", call, json=fields)

    def _found(self, call: str, **fields: str) -> dict[str, Any] | None:
        """Make a call; None if what it asks for does not exist."""
        from requests import HTTPError

        try:
            return self._asked("GET", call, params=fields)
        except HTTPError as error:
            if error.response.status_code == 404 and _MISSING in error.response.text:
                return None
            raise

    def _asked(self, method: str, call: str, **content: Any) -> dict[str, Any]:
        response = ask(method, self._address, call, timeout=(SECONDS_TO_CONNECT, SECONDS_TO_ANSWER), **content)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


def _metric(point: MetricPoint) -> dict[str, object]:
    value = point.value if math.isfinite(point.value) else _NO_JSON.get(point.value, "NaN")
    return {"key": mlflow_name(point.key), "value": value, "timestamp": point.timestamp_ms, "step": point.step}


def _id(run: Run) -> str:
    return str(run["info"]["run_id"])


def _goes_on(run: Run) -> bool:
    return bool(run["info"]["status"] == "RUNNING")
