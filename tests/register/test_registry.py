import time
from pathlib import Path

import pytest

from med42lib.core.errors import AccessError, TrackingError
from med42lib.register.tracking import quiet_mlflow
from med42lib.register.tree import WEIGHTS_TAG, StageRecord, stage_records
from med42lib.store.lineage import trace
from tests.register.conftest import FinishedRun, MLflowServer, answering, at_once
from tests.s3_server import free_ports


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet_mlflow()


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
def test_a_refusal_says_what_to_do(code: int, body: bytes, error: type[Exception], message: str) -> None:
    from med42lib.register.registry import Registry

    with answering(code, body) as address, pytest.raises(error, match=message):
        Registry(address).experiment("x")


@pytest.mark.slow
def test_a_server_that_went_away_is_given_up_in_seconds() -> None:
    from med42lib.register.registry import Registry

    started = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer"):
        Registry(f"http://user:secret@127.0.0.1:{free_ports(1)[0]}").experiment("x")
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_four_that_record_the_same_on_a_server_at_once_leave_one_run_and_version(
    finished_run: FinishedRun, mlflow_server: MLflowServer, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    from med42lib.register.registry import PARENT_TAG, Registry

    report = finished_run.source("report")
    lineage = trace(finished_run.package("lora"), report, cache=tmp_path)
    output = lineage.at(report.address)
    records, of_report = stage_records(lineage, output.manifest), StageRecord("report", (output,))

    def record() -> None:
        registry = Registry(mlflow_server.address)
        experiment = registry.experiment("at once")
        run_id = registry.record_run(
            experiment, digest=lineage.digest, name="one", tags={}, records=records, report=of_report
        )
        tags = {WEIGHTS_TAG: "sha256:0"}
        registry.register_version("once", source="s3://b/model", run_id=run_id, tags=tags, description="")

    at_once(record)
    client = MlflowClient(mlflow_server.address)
    runs = client.search_runs([client.get_experiment_by_name("at once").experiment_id])
    assert sorted(run.info.run_name for run in runs if PARENT_TAG in run.data.tags) == sorted(r.name for r in records)
    (parent,) = [run for run in runs if PARENT_TAG not in run.data.tags]
    assert {run.data.tags.get(PARENT_TAG, parent.info.run_id) for run in runs} == {parent.info.run_id}
    (version,) = client.search_model_versions("name = 'once'")
    assert version.run_id == parent.info.run_id


def test_a_batch_is_never_larger_than_its_limit() -> None:
    from med42lib.register.registry import _batches

    assert list(_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(_batches([], 2)) == []
