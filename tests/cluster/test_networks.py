"""Who reaches whom where NetworkPolicies are enforced: those of `k8s/base`, by the cluster's own firewall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.cluster import images, servers
from tests.cluster.conftest import ClusterUnderTest
from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.sandbox import NODE_ADDRESS

OURS = {"app.kubernetes.io/part-of": "med42"}
TRAINING = OURS | {"app.kubernetes.io/component": "training"}
LABELS = {"step": OURS, "worker-0": TRAINING, "worker-1": TRAINING, "stranger": {}, "other-stranger": {}}
ANY_PORT = 23456
API_SERVER = 6443

Addresses = Mapping[str, str]


@pytest.fixture
def addresses(own_cluster: ClusterUnderTest, namespace: Kubectl) -> Addresses:
    """Pods that listen on a port, a step's, two of a training and two of somebody else's, and their addresses."""
    namespace.apply(*(pod(name, labels) for name, labels in LABELS.items()))
    namespace("wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    found = {each["metadata"]["name"]: each["status"]["podIP"] for each in namespace.get("pods")["items"]}
    # Pods are let through until the firewall has heard of them.
    eventually(lambda: not reaches(namespace, "stranger", found["step"], ANY_PORT), "the policies to hold", seconds=30)
    return found


def pod(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """A pod that takes connections, as a restricted namespace allows it."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "shell",
        "image": images.SHELL_IMAGE,
        "command": ["nc", "-ll", "-p", str(ANY_PORT), "-e", "true"],
        "securityContext": security,
    }
    spec = {
        "containers": [container],
        "automountServiceAccountToken": False,
        "nodeSelector": {"kubernetes.io/hostname": "node1"},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 0,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(labels)}, "spec": spec}


def reaches(namespace: Kubectl, source: str, address: str, port: int) -> bool:
    """Say whether a pod can open a connection."""
    return namespace.succeeds("exec", source, "--", "nc", "-w", "2", address, str(port), "-e", "true")


def test_our_pods_reach_their_servers_and_nobody_elses(namespace: Kubectl, addresses: Addresses) -> None:
    for source in ("step", "worker-0"):
        assert reaches(namespace, source, NODE_ADDRESS, servers.S3_PORT)
        assert reaches(namespace, source, NODE_ADDRESS, servers.MLFLOW_PORT)
        assert namespace.succeeds("exec", source, "--", "getent", "hosts", "mlflow.servers.svc.cluster.local")
        assert not reaches(namespace, source, addresses["stranger"], ANY_PORT)
    assert reaches(namespace, "step", NODE_ADDRESS, API_SERVER)
    assert not reaches(namespace, "worker-0", NODE_ADDRESS, API_SERVER)


def test_the_pods_of_a_training_reach_one_another_and_no_step(namespace: Kubectl, addresses: Addresses) -> None:
    assert reaches(namespace, "worker-0", addresses["worker-1"], ANY_PORT)
    assert reaches(namespace, "worker-1", addresses["worker-0"], ANY_PORT)
    assert not reaches(namespace, "worker-0", addresses["step"], ANY_PORT)
    assert not reaches(namespace, "step", addresses["worker-0"], ANY_PORT)


def test_nobody_else_reaches_our_pods(namespace: Kubectl, addresses: Addresses) -> None:
    assert reaches(namespace, "stranger", addresses["other-stranger"], ANY_PORT)
    for target in ("step", "worker-0"):
        assert not reaches(namespace, "stranger", addresses[target], ANY_PORT)
