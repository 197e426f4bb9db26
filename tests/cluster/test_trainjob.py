"""Trainings as TrainJobs, by the real JobSet and Trainer: rendered, applied, and nothing else.

MED42_TEST_TRAINER=1 runs them: to build the two costs 3 to 6 minutes, once. A cluster of KUBECONFIG must have both.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.train.job import TrainingJob
from tests.cluster import operators, programs, sandbox
from tests.cluster.conftest import ClusterUnderTest
from tests.cluster.kubectl import Kubectl, KubectlError, eventually
from tests.cluster.test_training import (
    KILL,
    LONG,
    Render,
    Train,
    base_model,
    files_of,
    inputs,
    made_before,
    packed_data,
    render,
    train,
    train_image,
    trained,
    trained_here,
)

__all__ = [
    "base_model",
    "inputs",
    "made_before",
    "packed_data",
    "render",
    "train",
    "train_image",
    "trained_here",
]  # fixtures

VARIABLE = "MED42_TEST_TRAINER"
pytestmark = [
    pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"builds JobSet and Trainer, minutes: {VARIABLE}=1"),
    pytest.mark.usefixtures("trainer"),
]


@pytest.fixture(scope="module")
def trainer(cluster: ClusterUnderTest) -> None:
    """JobSet and Trainer, which stay until the cluster ends."""
    if cluster.is_own:
        with sandbox.alone(print):
            programs.build_all(print, programs.TRAINER_MODULES)
            operators.start_trainer(print)


def job_in(path: Path) -> tuple[str, TrainingJob]:
    """Give the name of a rendered job, and what its pods are told to train."""
    runtime, job = yaml.safe_load_all(path.read_text())
    [pods] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    _, text = pods["template"]["spec"]["template"]["spec"]["containers"][0]["args"]
    return job["metadata"]["name"], TrainingJob.from_json(text)


def apply(namespace: Kubectl, path: Path) -> None:
    """Apply a rendered job; again where Trainer has not seen its runtime yet, as k8s/trainjob.md has one do."""
    eventually(lambda: namespace.succeeds("apply", "--filename", str(path)), f"{path} to be taken", seconds=20)


def pods_of(namespace: Kubectl, name: str) -> dict[str, Any]:
    """List a job's pods by the number of their node."""
    found = namespace.get("pods", f"--selector=jobset.sigs.k8s.io/jobset-name={name}")["items"]
    return {pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]: pod for pod in found}


def is_complete(namespace: Kubectl, name: str) -> bool:
    """Say whether a TrainJob has come to its end; a failed one is an error here."""
    conditions = namespace.get("trainjob", name).get("status", {}).get("conditions", [])
    true = [each["type"] for each in conditions if each["status"] == "True"]
    assert "Failed" not in true, [namespace("logs", p["metadata"]["name"]) for p in pods_of(namespace, name).values()]
    return "Complete" in true


def test_two_nodes_of_a_trainjob_train_the_bytes_of_one_machine(
    namespace: Kubectl, render: Render, train: Train
) -> None:
    path = render("trainjob", {})
    name, job = job_in(path)
    apply(namespace, path)
    eventually(lambda: is_complete(namespace, name), f"{name} to be Complete", seconds=500)
    assert sorted(pods_of(namespace, name)) == ["0", "1"]
    assert files_of(job) == trained(train("local", {}))


def test_a_trainjob_goes_on_after_a_nodes_processes_were_killed(
    namespace: Kubectl, render: Render, trained_here: dict[str, str]
) -> None:
    path = render("trainjob", LONG)
    name, job = job_in(path)
    apply(namespace, path)
    eventually(lambda: job.checkpoints.newest(), "a checkpoint", seconds=400)
    pod = pods_of(namespace, name)["1"]["metadata"]["name"]
    namespace("exec", pod, "--", "python", "-c", KILL)
    eventually(lambda: is_complete(namespace, name), f"{name} to be Complete", seconds=500)
    assert namespace.get("jobset", name)["status"]["restarts"] == 1
    assert files_of(job) == trained_here


def test_the_api_server_drops_no_field_of_a_trainjob_and_its_runtime(namespace: Kubectl, render: Render) -> None:
    path = render("trainjob", {})
    runtime, job = yaml.safe_load_all(path.read_text())
    dry = ("apply", "--dry-run=server", "--filename=-")
    namespace("apply", "--filename=-", text=yaml.safe_dump(runtime))
    taken = ("apply", "--dry-run=server", "--filename", str(path))
    eventually(lambda: namespace.succeeds(*taken), "both to be taken", seconds=20)
    job["spec"]["trainer"]["numProcesses"] = 1
    with pytest.raises(KubectlError, match=r"unknown field.*numProcesses"):
        namespace(*dry, text=yaml.safe_dump(job))
    runtime["spec"]["template"]["spec"]["failurePolicy"]["maxRestart"] = 1
    with pytest.raises(KubectlError, match=r"unknown field.*maxRestart"):
        namespace(*dry, text=yaml.safe_dump(runtime))
