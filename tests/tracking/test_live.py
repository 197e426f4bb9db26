import math
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from med42lib.engine.context import TrackedAs
from med42lib.store.metrics import MetricPoint
from med42lib.tracking.live import LiveRun, live_run
from med42lib.tracking.names import KEY_TAG, PARENT_TAG, PIPELINE_TAG
from tests.register.conftest import MLflowServer, answering, at_once

if TYPE_CHECKING:
    from mlflow.entities import Run

SETTINGS = {"method": "lora", "lora": {"rank": 8}, "checkpoint_minutes": 30}


def points(first: int, last: int, *, start_ms: int = 1_700_000_000_000, key: str = "loss") -> list[MetricPoint]:
    return [MetricPoint(key, 1 / step, step, start_ms + step) for step in range(first, last + 1)]


class Watched:
    """A training that is shown on a server, in an experiment of the test's own."""

    def __init__(self, server: MLflowServer, folder: Path) -> None:
        from mlflow import MlflowClient

        self.address, self.store, self.experiment = server.address, str(folder / "store"), folder.name
        self.client: MlflowClient = MlflowClient(server.address)

    def run(self, key: str = "key-1", *, pipeline: str = "0123456789abcdef", name: str = "train[lora]") -> LiveRun:
        """What an attempt's first process has."""
        tracked = TrackedAs(self.experiment, pipeline, name)
        found = live_run(tracked, stage="train", key=key, settings=SETTINGS, store=self.store)
        assert found is not None
        return found

    def runs(self) -> "list[Run]":
        experiment = self.client.get_experiment_by_name(self.experiment)
        return list(self.client.search_runs([experiment.experiment_id]))

    def parent_and_child(self) -> "tuple[Run, Run]":
        by_parent = {bool(run.data.tags.get(PARENT_TAG)): run for run in self.runs()}
        assert len(self.runs()) == 2
        return by_parent[False], by_parent[True]

    def steps(self, key: str = "loss") -> list[int]:
        _, child = self.parent_and_child()
        return sorted(point.step for point in self.client.get_metric_history(child.info.run_id, key))


@pytest.fixture
def watched(mlflow_server: MLflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.address)
    return Watched(mlflow_server, tmp_path)


@pytest.mark.parametrize("address", ["", "sqlite:///here.db", "postgresql://mlflow"])
def test_where_mlflow_is_no_server_nobody_watches(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert live_run(TrackedAs("e", "r", "n"), stage="train", key="k", settings={}, store="s") is None


@pytest.mark.slow
def test_a_training_is_a_running_child_of_a_running_parent_with_its_settings(watched: Watched) -> None:
    watched.run().write(points(1, 3))
    parent, child = watched.parent_and_child()
    assert {parent.info.status, child.info.status} == {"RUNNING"}
    assert parent.data.tags[PIPELINE_TAG] == "0123456789abcdef"
    assert child.data.tags[PARENT_TAG] == parent.info.run_id
    assert (child.data.tags[KEY_TAG], child.info.run_name) == ("key-1", "train[lora]")
    assert child.data.params == {"method": "lora", "lora.rank": "8", "checkpoint_minutes": "30"}
    [*history] = watched.client.get_metric_history(child.info.run_id, "loss")
    assert sorted((p.step, p.value, p.timestamp) for p in history) == [
        (p.step, p.value, p.timestamp_ms) for p in points(1, 3)
    ]


@pytest.mark.slow
def test_an_attempt_after_one_that_was_killed_goes_on_in_its_run_and_doubles_no_step(watched: Watched) -> None:
    watched.run().write(points(1, 7))
    # From a checkpoint after step 4; steps 5 to 7 are made again, at another time.
    again = [*points(1, 4), *points(5, 9, start_ms=1_800_000_000_000)]
    watched.run().write(again)
    assert watched.steps() == [*range(1, 10)]


@pytest.mark.slow
def test_what_was_taken_without_an_answer_is_not_doubled_when_it_is_given_again(watched: Watched) -> None:
    run = watched.run()
    run.write(points(1, 2))
    run.write([*points(1, 1500), *points(1, 3, key="mfu")])
    run.write([*points(1, 1500), *points(1, 3, key="mfu")])
    assert watched.steps() == [*range(1, 1501)]
    assert watched.steps("mfu") == [1, 2, 3]


@pytest.mark.slow
def test_numbers_that_json_has_not_arrive(watched: Watched) -> None:
    values = (math.inf, -math.inf, math.nan)
    watched.run().write([MetricPoint(f"norm,{number}", value, 1, 5) for number, value in enumerate(values)])
    _, child = watched.parent_and_child()
    assert child.data.metrics["norm_0"] > 1e300
    assert child.data.metrics["norm_1"] < -1e300
    assert math.isnan(child.data.metrics["norm_2"])


@pytest.mark.slow
def test_the_trainings_of_a_run_that_begin_at_once_have_one_parent(watched: Watched) -> None:
    watched.client.create_experiment(watched.experiment)
    models = [watched.run(name, name=name) for name in ("full", "lora")]
    at_once(lambda: [write_patiently(run) for run in models])
    parents = [run for run in watched.runs() if PIPELINE_TAG in run.data.tags]
    children = [run for run in watched.runs() if PARENT_TAG in run.data.tags]
    assert len(parents) == 1
    assert {run.data.tags[PARENT_TAG] for run in children} == {parents[0].info.run_id}
    assert Counter(run.data.tags[KEY_TAG] for run in children) == {"full": 1, "lora": 1}


def write_patiently(run: LiveRun) -> None:
    """As the thread that feeds it: again after a server whose database was locked."""
    for _ in range(3):
        with suppress(requests.RequestException):
            return run.write(points(1, 2))
    return run.write(points(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("status", ["FINISHED", "KILLED"])
def test_a_run_that_was_ended_meanwhile_stays_as_it_is(watched: Watched, status: str) -> None:
    run = watched.run()
    run.write(points(1, 2))
    _, child = watched.parent_and_child()
    watched.client.set_terminated(child.info.run_id, status)
    run.write(points(1, 5))
    assert watched.steps() == [1, 2]


@pytest.mark.slow
def test_a_run_that_somebody_deleted_is_made_again(watched: Watched) -> None:
    run = watched.run()
    run.write(points(1, 2))
    for made in watched.runs():
        watched.client.delete_run(made.info.run_id)
    run.write(points(1, 4))
    assert watched.steps() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "hunter2"}, "Bearer hunter2"),
        ({"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "hunter2"}, "Basic bWU6aHVudGVyMg=="),
    ],
)
def test_credentials_of_the_environment_are_sent_and_never_told(
    given: dict[str, str], header: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from requests import HTTPError

    seen: list[str | None] = []
    with answering(401, b"no", seen=seen) as address:
        for name, value in {**given, "MLFLOW_TRACKING_URI": address}.items():
            monkeypatch.setenv(name, value)
        run = live_run(TrackedAs("e", "r", "n"), stage="train", key="k", settings={}, store=str(tmp_path))
        assert run is not None
        with pytest.raises(HTTPError) as caught:
            run.write(points(1, 1))
    assert seen == [header]
    assert "hunter2" not in str(caught.value)
