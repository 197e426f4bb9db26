from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from med42lib.train.launchers.cluster import Cluster
from med42lib.train.launchers.pods import Pod
from tests.train.launchers.kubernetes_api import KubernetesApi


def read(api: KubernetesApi, cluster: Cluster, phase: str, **others: Any) -> Pod:
    """The one pod of a job, as the API server tells of it."""
    api.put_pod("a", "worker-0", phase, **others)
    [pod] = cluster.pods("a")
    return pod


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"ended": ("OOMKilled", 137), "restarts": 1}, "OOMKilled (137)"),
        ({"ended": ("Error", 139), "waits": ("CrashLoopBackOff", "back-off 10s"), "restarts": 1}, "Error (139)"),
        ({"ended": ("Completed", 0), "restarts": 1}, ""),
        ({}, ""),
    ],
)
def test_a_container_that_is_started_again_says_how_it_ended(
    others: dict[str, Any], reason: str, api: KubernetesApi, cluster: Cluster
) -> None:
    assert read(api, cluster, "Running", **others).broken_by == reason


def test_a_pod_that_was_evicted_says_why_whatever_its_containers_say(api: KubernetesApi, cluster: Cluster) -> None:
    pod = read(api, cluster, "Failed", ended=("Error", 137), evicted="The node was low on resource: memory.")
    assert pod.broken_by == "Evicted: The node was low on resource: memory."


def test_a_container_that_has_just_ended_says_how(api: KubernetesApi, cluster: Cluster) -> None:
    read(api, cluster, "Failed", ended=("Error", 1), restarts=1)
    [status] = api.pods["a-worker-0"]["status"]["containerStatuses"]
    status["state"] = {"terminated": {"reason": "StartError", "exitCode": 128, "message": "no such file"}}
    assert cluster.pods("a")[0].broken_by == "StartError (128): no such file"


def test_each_breakdown_of_a_pod_is_another_and_one_that_it_survived_stays_the_same(
    api: KubernetesApi, cluster: Cluster
) -> None:
    def breakdown(phase: str, restarts: int, uid: str = "one") -> object:
        return read(api, cluster, phase, restarts=restarts, uid=uid).breakdown

    assert breakdown("Running", 0) is None
    assert breakdown("Succeeded", 1) == breakdown("Running", 1)
    told = [breakdown("Running", 1), breakdown("Running", 2), breakdown("Failed", 2), breakdown("Failed", 2, "another")]
    assert len(set(told)) == 4


@pytest.mark.parametrize(("seconds", "lingers"), [(None, False), (30, False), (-5, False), (-90, True)])
def test_a_pod_that_is_long_over_its_time_to_go_lingers(
    seconds: int | None, lingers: bool, api: KubernetesApi, cluster: Cluster
) -> None:
    leaves_at = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    assert read(api, cluster, "Running", leaves_at=leaves_at).lingers == lingers
