"""One cluster for all tests of this folder: the one of KUBECONFIG, or else one of its own that ends with them.

MED42_TEST_CLUSTER=1   runs them; without it they are not even collected (`make test-cluster` sets it)
KUBECONFIG             the cluster to use; it must have the training operator and, for the tests of queues, Kueue.
                       Tests of what only an own cluster has (fake nodes, killing its parts) are skipped then.
AWS_*                  with KUBECONFIG: a store that this machine and the pods reach
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.images import OWN_LOCK, read_images
from med42lib.store.backends.s3 import make_client
from tests.cluster import __main__ as command
from tests.cluster import images, node, sandbox, servers
from tests.cluster.kubectl import Kubectl, eventually
from tests.conftest import REPOSITORY
from tests.images.built import build_images

collect_ignore_glob = [] if os.environ.get("MED42_TEST_CLUSTER") else ["test_*.py"]

QUEUE = "med42"


@dataclass(frozen=True)
class ClusterUnderTest:
    """A cluster, and whether it was brought up by these tests."""

    kubectl: Kubectl
    is_own: bool


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterUnderTest]:
    """The cluster. One of its own that is up already stays up."""
    if given := os.environ.get("KUBECONFIG"):
        found = shutil.which("kubectl")
        if found is None:
            pytest.fail("KUBECONFIG is set, but there is no kubectl")
        yield ClusterUnderTest(Kubectl(Path(found), Path(given)), is_own=False)
        return
    capture = request.config.pluginmanager.getplugin("capturemanager")
    say = command.timed(lambda text: print(text, flush=True))
    was_up = sandbox.is_open()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with capture.global_and_fixture_disabled():
            command.bring_up(say)
        yield ClusterUnderTest(node.kubectl(), is_own=True)
    finally:
        if not was_up:
            with capture.global_and_fixture_disabled():
                command.take_down(say)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(f"signal {number}")


@pytest.fixture
def own_cluster(cluster: ClusterUnderTest) -> ClusterUnderTest:
    """The cluster, for tests of what only one of our own has."""
    if not cluster.is_own:
        pytest.skip("needs a cluster of its own: its fake nodes, or the right to end its parts")
    return cluster


@pytest.fixture(scope="session")
def project_images(cluster: ClusterUnderTest) -> Mapping[str, str]:
    """The project's images by runtime: built of this code for a cluster of its own, those of the lock for another."""
    if not cluster.is_own:
        return dict(read_images(OWN_LOCK))
    return {runtime: images.load_image(reference) for runtime, reference in build_images().items()}


@pytest.fixture
def store(cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a fresh bucket in a store that pods reach too, in an environment that knows it."""
    for name, value in (servers.S3_ENVIRONMENT if cluster.is_own else {}).items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    make_client().create_bucket(Bucket=bucket)
    return f"s3://{bucket}/runs"


@pytest.fixture
def namespace(cluster: ClusterUnderTest, store: str) -> Iterator[Kubectl]:
    """A fresh namespace as k8s/README.md has one make it: restricted, with `k8s/base`, the store's keys and a queue."""
    kubectl = make_namespace(cluster)
    kubectl("apply", "--kustomize", str(REPOSITORY / "k8s/base"))
    kubectl("patch", "configmap", "med42-settings", "--patch", json.dumps({"data": _store_settings()}))
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    literals = [f"--from-literal={key}={os.environ[key]}" for key in keys if key in os.environ]
    kubectl("create", "secret", "generic", "med42-s3", *literals)
    if cluster.is_own:
        kubectl.apply(
            {
                "apiVersion": "kueue.x-k8s.io/v1beta2",
                "kind": "LocalQueue",
                "metadata": {"name": QUEUE},
                "spec": {"clusterQueue": QUEUE},
            }
        )
    # A test before this one may have ended the operator.
    a_job = ["create", "--dry-run=server", "--filename", str(REPOSITORY / "k8s/jobs/llama-2-7b-lora.yaml")]
    eventually(lambda: kubectl.succeeds(*a_job), "the training operator's webhook to answer")
    yield kubectl
    # Before the queue: Kueue looks for who may start when a job goes, unless the job's queue has gone first.
    kubectl("delete", "pytorchjobs", "--all")
    cluster.kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def make_namespace(cluster: ClusterUnderTest) -> Kubectl:
    """Make a fresh namespace that enforces "restricted"."""
    name = f"med42-{uuid.uuid4().hex[:8]}"
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": restricted}})
    kubectl = cluster.kubectl.within(name)
    eventually(lambda: kubectl.succeeds("get", "serviceaccount", "default"), f"the service account of {name}")
    return kubectl


def _store_settings() -> dict[str, str]:
    return {name: os.environ[name] for name in ("AWS_ENDPOINT_URL", "AWS_REGION") if name in os.environ}


@pytest.fixture
def kubeconfig_of(namespace: Kubectl, tmp_path: Path) -> Callable[[str], Path]:
    """Give the kubeconfig of a service account, with a token of its own and no other right."""

    def write(account: str) -> Path:
        token = namespace("create", "token", account, "--duration=2h").strip()
        values = yaml.safe_load(namespace("config", "view", "--raw", "--minify", "--flatten"))
        values["users"] = [{"name": "account", "user": {"token": token}}]
        values["contexts"][0]["context"] |= {"user": "account", "namespace": namespace.namespace}
        path = tmp_path / f"{account}.kubeconfig"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def manifest(path: Path) -> Any:
    """Read a manifest."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))
