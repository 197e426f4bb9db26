"""The driver of a training against the real API server and operators, as the service account that `k8s/base` gives it.

What trains is a shell script in a small image: the training itself is the matter of `test_training.py`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.store.address import open_store
from med42lib.store.manifest import FileEntry
from med42lib.store.publish import Upload
from med42lib.train.job import TrainingJob
from med42lib.train.launchers.template import job_name
from tests.cluster import images, node, sandbox
from tests.cluster.conftest import QUEUE, ClusterUnderTest
from tests.cluster.drivers import Driver
from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.pytorchjobs import find, is_running, is_true, pods_of
from tests.conftest import REPOSITORY
from tests.train.conftest import FULL

TEMPLATE = REPOSITORY / "k8s/base/job_template.yaml"
ENTRIES = (FileEntry("recipe.json", 3, "a" * 64),)
SMALL = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
UNTIL_TOLD = "trap 'exit 143' TERM; echo loss 0.5 of rank $RANK; until test -e /scratch/done; do sleep 1; done"
OPERATOR = "--selector=control-plane=kubeflow-training-operator"
GPUS = {"requests": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "8"}, "limits": {"nvidia.com/gpu": "8"}}


def template(play: str, **others: Any) -> dict[str, Any]:
    """The platform's own template with a shell script for two real pods."""
    values: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    values.update(nodes=2, processes_per_node=1, **others)
    spec, [container] = values["pod"]["spec"], values["pod"]["spec"]["containers"]
    spec["nodeSelector"] = {"kubernetes.io/hostname": "node1"}
    spec["terminationGracePeriodSeconds"] = 20
    container.update(image=images.SHELL_IMAGE, resources=SMALL)
    container["env"].append({"name": "PLAY", "value": play})
    return values


def container_of(template: dict[str, Any]) -> dict[str, Any]:
    [container] = template["pod"]["spec"]["containers"]
    return container  # type: ignore[no-any-return]


Drive = Callable[..., Driver]


@pytest.fixture
def drive(namespace: Kubectl, store: str, tmp_path: Path, kubeconfig_of: Callable[[str], Path]) -> Iterator[Drive]:
    """Start a driver as a service account of the namespace, for a job of its own."""
    started: list[Driver] = []

    def start(template: dict[str, Any], account: str = "med42-driver") -> Driver:
        job = new_job(store)
        folder = tmp_path / job.prefix.replace("/", "-")
        folder.mkdir()
        (folder / "template.yaml").write_text(yaml.safe_dump(template))
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig_of(account)),
            "MED42_JOB_TEMPLATE": str(folder / "template.yaml"),
            "MED42_NAMESPACE": namespace.namespace,
        }
        command = [sys.executable, "-m", "tests.cluster.driver", job.address]
        name = job_name(f"med42-{job.prefix}", job.store, job.prefix)
        driver = Driver(command, environment, folder / "log", name)
        driver.start()
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.close()


def new_job(store: str) -> TrainingJob:
    """A job whose output is there already, so that whatever succeeds has trained it."""
    upload = Upload(open_store(store), f"train/{uuid.uuid4().hex[:8]}")
    job = TrainingJob(FULL, "s3://none/packed", "s3://none/model", "b", store, upload.prefix, upload.attempt)
    job.write()
    job.write_files(ENTRIES)
    return job


def at_work(kubectl: Kubectl, driver: Driver) -> None:
    """Wait until both pods run."""
    eventually(
        lambda: [is_running(pod) for pod in pods_of(kubectl, driver.job)] == [True, True],
        f"two pods of {driver.job} to run; the driver said:\n{driver.said()}",
    )


def finish(kubectl: Kubectl, driver: Driver) -> None:
    """Have the master end well, which is the job's success."""
    command = ["exec", f"{driver.job}-master-0", "--container=pytorch", "--", "touch", "/scratch/done"]
    eventually(lambda: kubectl.succeeds(*command), "the kubelet to answer")


def uid(kubectl: Kubectl, driver: Driver) -> str:
    return str(kubectl.get("pytorchjob", driver.job)["metadata"]["uid"])


def gone(kubectl: Kubectl, driver: Driver) -> bool:
    return find(kubectl, driver.job) is None and pods_of(kubectl, driver.job) == []


def test_a_job_of_two_nodes_is_run_to_its_end_and_its_log_is_ours(namespace: Kubectl, drive: Drive) -> None:
    driver = drive(template(UNTIL_TOLD))
    driver.says(f"{driver.job} at work on 2 nodes")
    finish(namespace, driver)
    assert driver.ends() == 0, driver.said()
    assert "loss 0.5 of rank 0\n" in driver.said()
    assert f"{driver.job} succeeded" in driver.said()


def test_a_driver_that_was_killed_goes_on_with_its_job(namespace: Kubectl, drive: Drive) -> None:
    driver = drive(template(UNTIL_TOLD))
    at_work(namespace, driver)
    before = uid(namespace, driver)
    driver.kill()
    driver.start()
    driver.says(f"{driver.job} is there already; watching it")
    finish(namespace, driver)
    assert driver.ends() == 0, driver.said()
    assert uid(namespace, driver) == before


def test_a_driver_that_is_asked_to_stop_deletes_the_job_and_its_pods_end_at_once(
    namespace: Kubectl, drive: Drive
) -> None:
    driver = drive(template(UNTIL_TOLD))
    at_work(namespace, driver)
    driver.signal(signal.SIGTERM)
    asked = time.monotonic()
    assert driver.ends(10) == 143
    eventually(lambda: gone(namespace, driver), "the job and its pods to go", seconds=60)
    assert time.monotonic() - asked < 15, "the grace period of 20 s was used"


def test_a_job_that_the_queue_holds_says_so_and_starts_when_there_is_room(
    own_cluster: ClusterUnderTest, namespace: Kubectl, drive: Drive
) -> None:
    queued = template(UNTIL_TOLD, labels={"kueue.x-k8s.io/queue-name": QUEUE})
    queued["nodes"] = 16
    queued["pod"]["spec"]["nodeSelector"] = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    container_of(queued)["resources"] = GPUS
    first = drive(queued)
    first.says(f"{first.job} at work on 16 nodes")
    second = drive(queued)
    second.says(f"{second.job} waits: suspended, until the queue {QUEUE} admits it")
    namespace("annotate", "pod", f"{first.job}-master-0", "done=yes")
    assert first.ends() == 0, first.said()
    second.says(f"{second.job} at work on 16 nodes")


def test_a_pod_that_admission_refuses_is_what_the_job_waits_for(namespace: Kubectl, drive: Drive) -> None:
    refused = template(UNTIL_TOLD)
    container_of(refused)["securityContext"]["allowPrivilegeEscalation"] = True
    driver = drive(refused)
    driver.says(f"{driver.job} waits: FailedCreatePod: ")
    assert 'violates PodSecurity "restricted' in driver.said()


def test_a_job_that_fits_no_node_says_what_lacks(namespace: Kubectl, drive: Drive) -> None:
    large = template(UNTIL_TOLD)
    container_of(large)["resources"] = GPUS
    driver = drive(large)
    driver.says("FailedScheduling: ")
    assert "Insufficient nvidia.com/gpu" in driver.said()


def test_an_image_that_cannot_be_pulled_is_what_the_job_waits_for(namespace: Kubectl, drive: Drive) -> None:
    missing = template(UNTIL_TOLD)
    container_of(missing)["image"] = "localhost/med42-cluster/no-such-image:1"
    driver = drive(missing)
    driver.says("ImagePull")
    assert "no-such-image" in driver.said()


def test_a_job_that_is_refused_ends_the_driver_with_the_webhooks_words(namespace: Kubectl, drive: Drive) -> None:
    driver = drive(template(UNTIL_TOLD, run_policy={"managedBy": "example.com/nobody"}))
    assert driver.ends() == 4, driver.said()
    assert "the cluster refuses to create the PyTorchJob" in driver.said()
    assert "managedBy" in driver.said()
    assert find(namespace, driver.job) is None


def test_an_account_without_rights_is_told_where_they_are(namespace: Kubectl, drive: Drive) -> None:
    driver = drive(template(UNTIL_TOLD), account="default")
    assert driver.ends(60) == 7, driver.said()
    assert "may not create PyTorchJobs" in driver.said()
    assert "k8s/base" in driver.said()


def test_without_the_operator_a_driver_says_that_its_webhook_does_not_answer(
    own_cluster: ClusterUnderTest, namespace: Kubectl, drive: Drive
) -> None:
    operator = own_cluster.kubectl.within("kubeflow")
    operator("scale", "deployment/training-operator", "--replicas=0")
    try:
        eventually(lambda: not operator.get("pods", OPERATOR)["items"], "the operator to be gone")
        driver = drive(template("sleep 1"))
        driver.says("training-operator")
        assert "webhook" in driver.said()
    finally:
        operator("scale", "deployment/training-operator", "--replicas=1")
        operator("wait", "--for=condition=Available", "deployment/training-operator", "--timeout=120s")
    assert driver.ends() == 0, driver.said()


def test_a_job_outlives_an_api_server_that_is_away_for_a_minute(
    own_cluster: ClusterUnderTest, namespace: Kubectl, drive: Drive
) -> None:
    driver = drive(template(UNTIL_TOLD))
    at_work(namespace, driver)
    sandbox.stop("kube-apiserver")
    try:
        time.sleep(60)
    finally:
        node.start_again("kube-apiserver")
    driver.says("the Kubernetes API server answers again")
    finish(namespace, driver)
    assert driver.ends() == 0, driver.said()


def test_a_job_outlives_a_kubelet_that_is_killed(
    own_cluster: ClusterUnderTest, namespace: Kubectl, drive: Drive
) -> None:
    driver = drive(template(UNTIL_TOLD))
    at_work(namespace, driver)
    sandbox.kill("kubelet")
    node.start_again("kubelet")
    finish(namespace, driver)
    assert driver.ends() == 0, driver.said()


def test_a_job_outlives_an_operator_that_is_killed(
    own_cluster: ClusterUnderTest, namespace: Kubectl, drive: Drive
) -> None:
    driver = drive(template(UNTIL_TOLD))
    at_work(namespace, driver)
    own_cluster.kubectl.within("kubeflow")("delete", "pods", OPERATOR, "--force", "--grace-period=0")
    finish(namespace, driver)
    assert driver.ends() == 0, driver.said()
    assert is_true(namespace, driver.job, "Succeeded")
