"""The jobs that are committed, on fake nodes of the paper's size, through Kueue's real queue."""

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import ClusterUnderTest, manifest
from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.pytorchjobs import is_true, pods_of
from tests.conftest import REPOSITORY

JOBS = sorted((REPOSITORY / "k8s/jobs").glob("*.yaml"))


def apply(namespace: Kubectl, path: Path) -> str:
    namespace("apply", "--filename", str(path))
    return str(manifest(path)["metadata"]["name"])


def environment(pod: Any) -> dict[str, str]:
    [container] = pod["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


@pytest.mark.parametrize("path", JOBS, ids=[path.stem for path in JOBS])
def test_a_job_of_8_nodes_with_16_gpus_is_admitted_and_gets_its_pods(
    own_cluster: ClusterUnderTest, namespace: Kubectl, path: Path
) -> None:
    job = apply(namespace, path)
    eventually(lambda: is_true(namespace, job, "Running"), f"{job} to be Running")
    pods = eventually(lambda: len(found := pods_of(namespace, job)) == 8 and found, f"8 pods of {job}")
    assert {pod["spec"]["nodeName"] for pod in pods} == {f"v100-{number}" for number in range(8)}
    assert sorted(environment(pod)["RANK"] for pod in pods) == [str(rank) for rank in range(8)]
    assert {environment(pod)["WORLD_SIZE"] for pod in pods} == {"128"}
    assert {environment(pod)["PET_NPROC_PER_NODE"] for pod in pods} == {"16"}


def test_a_second_job_waits_in_the_queue_and_starts_when_the_first_has_ended(
    own_cluster: ClusterUnderTest, namespace: Kubectl
) -> None:
    first = apply(namespace, JOBS[2])
    eventually(lambda: is_true(namespace, first, "Running"), f"{first} to be Running")
    second = apply(namespace, JOBS[3])
    eventually(lambda: is_true(namespace, second, "Suspended"), f"{second} to be Suspended")
    assert pods_of(namespace, second) == []
    namespace("annotate", "pod", f"{first}-master-0", "done=yes")
    eventually(lambda: is_true(namespace, first, "Succeeded"), f"{first} to be Succeeded")
    eventually(lambda: is_true(namespace, second, "Running"), f"{second} to be Running")
