import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from med42lib.core.errors import AccessError, TrackingError, TrackingUnavailable
from med42lib.engine.context import TrackedAs
from med42lib.store.address import open_store
from med42lib.store.lineage import trace
from med42lib.store.metrics import MetricPoint
from med42lib.tracking.address import quiet_mlflow
from med42lib.tracking.live import LiveRun, Server
from med42lib.tracking.names import PARENT_TAG, WEIGHTS_TAG
from med42lib.tracking.replay import RunRecord, stage_records
from tests.register.conftest import FinishedRun, MLflowServer, answering, at_once
from tests.s3_server import free_ports

if TYPE_CHECKING:
    from mlflow.entities import Run

    from med42lib.tracking.runs import Recorder


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet_mlflow()


def recorder(address: str, folder: Path) -> "Recorder":
    from med42lib.tracking.connection import Connection
    from med42lib.tracking.runs import Recorder

    return Recorder(Connection(address), open_store(str(folder)))


@pytest.mark.parametrize(
    ("code", "body", "error", "message"),
    [
        (401, b"You are not authenticated", AccessError, "rejected the credentials; set MLFLOW_TRACKING_TOKEN"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', AccessError, "rejected the credentials"),
        (403, b"Invalid Host header - possible DNS rebinding attack", TrackingError, "--allowed-hosts"),
        (
            400,
            b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad name"}',
            TrackingError,
            "refused: .*bad name",
        ),
    ],
)
def test_a_refusal_says_what_to_do(
    code: int, body: bytes, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with answering(code, body) as address, pytest.raises(error, match=message):
        recorder(address, tmp_path).experiment("x")


@pytest.mark.slow
def test_a_server_that_went_away_is_given_up_in_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(TrackingUnavailable, match="does not answer"):
        recorder(f"http://user:secret@127.0.0.1:{free_ports(1)[0]}", tmp_path).experiment("x")
    assert time.monotonic() - started < 30


class Recorded:
    """Records one finished run on a server, as often as asked, and looks at what is there."""

    def __init__(self, run: FinishedRun, server: MLflowServer, folder: Path) -> None:
        from mlflow import MlflowClient

        report = run.source("report")
        self._lineage = trace(run.package("lora"), report, cache=folder)
        self._address, self._folder, self._store = server.address, folder, open_store(str(folder))
        self._name = folder.name
        self.records = stage_records(self._lineage, self._lineage.at(report.address).manifest)
        self.client = MlflowClient(server.address)

    def recorder(self) -> "Recorder":
        return recorder(self._address, self._folder)

    def record(self, recorder: "Recorder | None" = None) -> None:
        from med42lib.tracking.connection import Connection
        from med42lib.tracking.versions import Versions

        recorder = recorder or self.recorder()
        record = RunRecord("one", self._lineage.digest, {}, {"base_model": "some/base"}, self.records)
        run_id = recorder.record_run(recorder.experiment(self._name), record)
        tags = {WEIGHTS_TAG: "sha256:0"}
        versions = Versions(Connection(self._address))
        versions.register_version(self._name, source="s3://b/model", run_id=run_id, tags=tags, description="")

    def live(self, model: str, *, pipeline: str = "p", settings: dict[str, object] | None = None) -> LiveRun:
        """What the first process of a model's training has."""
        return LiveRun(
            Server(self._address),
            TrackedAs(self._name, pipeline, f"train[{model}]"),
            stage="train",
            key=f"{model}-key",
            settings=settings or {},
            store=self._store.address,
        )

    def losses(self, model: str, first: int, stop: int) -> list[MetricPoint]:
        """What a model's training has measured by then."""
        [record] = [record for record in self.records if record.name == f"train[{model}]"]
        return list(record.metrics())[first:stop]

    def runs(self) -> "list[Run]":
        experiment = self.client.get_experiment_by_name(self._name)
        return list(self.client.search_runs([experiment.experiment_id]))

    def parent(self) -> "Run":
        """Make sure that there is one whole run, and give it."""
        runs = self.runs()
        children = [run.info.run_name for run in runs if PARENT_TAG in run.data.tags]
        assert sorted(children) == sorted(record.name for record in self.records)
        (parent,) = [run for run in runs if PARENT_TAG not in run.data.tags]
        assert {run.data.tags.get(PARENT_TAG, parent.info.run_id) for run in runs} == {parent.info.run_id}
        assert {run.info.status for run in runs} == {"FINISHED"}
        return parent

    def version_run(self) -> str:
        """Make sure that there is one version, and give the id of its run."""
        (version,) = self.client.search_model_versions(f"name = '{self._name}'")
        return str(version.run_id)


@pytest.fixture
def recorded(finished_run: FinishedRun, mlflow_server: MLflowServer, tmp_path: Path) -> Recorded:
    return Recorded(finished_run, mlflow_server, tmp_path)


@pytest.mark.slow
def test_four_that_record_the_same_on_a_server_at_once_leave_one_run_and_version(recorded: Recorded) -> None:
    at_once(recorded.record)
    assert recorded.version_run() == recorded.parent().info.run_id


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("held_up", ["parent", "child"])
def test_one_that_is_held_up_at_the_making_of_a_run_adds_none(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, held_up: str, before: bool
) -> None:
    slow = recorded.recorder()
    create, calls = slow._create, iter(range(100))

    def held_up_create(*arguments: Any) -> "Run":
        if next(calls) != (0 if held_up == "parent" else 1):
            return create(*arguments)
        if before:
            recorded.record()
        made = create(*arguments)
        if not before:
            recorded.record()
        return made

    monkeypatch.setattr(slow, "_create", held_up_create)
    recorded.record(slow)
    assert next(calls) > (0 if held_up == "parent" else 1)
    recorded.parent()


@pytest.mark.slow
def test_a_run_that_somebody_deleted_on_a_server_is_recorded_again(recorded: Recorded) -> None:
    recorded.record()
    first = recorded.parent().info.run_id
    for run in recorded.runs():
        recorded.client.delete_run(run.info.run_id)
    recorded.record()
    assert recorded.parent().info.run_id != first


@pytest.mark.slow
def test_runs_that_were_made_while_models_trained_are_completed_and_nothing_is_doubled(
    recorded: Recorded,
) -> None:
    live = recorded.live("full", settings={"method": "full", "recipe": {"epochs": 1}})
    live.write([*recorded.losses("full", 1, 400), MetricPoint("loss", 1 / 401, 400, 7)])  # of a killed attempt
    recorded.live("lora").write(recorded.losses("lora", 0, 10))
    before = {run.info.run_id for run in recorded.runs()}
    recorded.record()
    assert before <= {run.info.run_id for run in recorded.runs()}
    children = {run.info.run_name: run for run in recorded.runs()}
    for name in ("train[full]", "train[lora]"):
        history = recorded.client.get_metric_history(children[name].info.run_id, "loss")
        assert sorted(point.step for point in history) == [*range(1500)]
        assert children[name].data.tags["med42.digest.trained"]
        assert children[name].inputs.dataset_inputs
    assert children["train[full]"].data.params["recipe.epochs"] == "1"  # of the attempt that was killed
    assert children["train[full]"].data.params["recipe.betas"] == "[0.9, 0.95]"
    assert recorded.parent().info.run_id in before
    recorded.record()
    recorded.parent()


@pytest.mark.slow
def test_trainings_of_a_spec_that_was_edited_between_come_below_one_parent(recorded: Recorded) -> None:
    recorded.live("full", pipeline="before").write(recorded.losses("full", 0, 3))
    recorded.live("lora", pipeline="after").write(recorded.losses("lora", 0, 3))
    abandoned = recorded.live("other", pipeline="before")
    abandoned.write(recorded.losses("full", 0, 3))
    recorded.record()
    runs = {run.info.run_name: run for run in recorded.runs()}
    assert runs.pop("train[other]").info.status == "KILLED"
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert len([run for run in runs.values() if PARENT_TAG not in run.data.tags]) == 1
