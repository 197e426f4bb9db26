"""A cluster's API server, played over HTTP, and our client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from med42lib.train.launchers.cluster import Cluster
from tests.train.launchers.kubernetes_api import KubernetesApi, kubernetes_api


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with kubernetes_api() as served:
        yield served


@pytest.fixture
def cluster(api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "kubeconfig")))
    connected = Cluster.connect()
    connected._pause_seconds = 0.01
    return connected
