"""The chapter of k8s/README.md, steps 3 to 6, for a cluster that has neither a store nor MLflow."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import sandbox
from tests.cluster.conftest import ClusterUnderTest, make_namespace
from tests.cluster.kubectl import Kubectl
from tests.cluster.stand_in import load_stand_in
from tests.cluster.test_networks import OURS, pod, reaches
from tests.conftest import REPOSITORY

K8S = REPOSITORY / "k8s"
VOLUMES = ("postgres", "seaweedfs")
ROUND_TRIP = """
import mlflow
with mlflow.start_run():
    mlflow.log_text("kept", "note.txt")
    print(mlflow.artifacts.load_text(mlflow.get_artifact_uri("note.txt")))
"""


@pytest.fixture
def bare(own_cluster: ClusterUnderTest) -> Iterator[Kubectl]:
    """A fresh restricted namespace, and volumes to be claimed, as a cluster's default class makes them."""
    kubectl = make_namespace(own_cluster)
    volumes = [f"{kubectl.namespace}-{of}" for of in VOLUMES]
    own_cluster.kubectl.apply(*map(volume, volumes))
    yield kubectl
    own_cluster.kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
    own_cluster.kubectl("delete", "persistentvolumes", *volumes, "--wait=false")


def volume(name: str) -> dict[str, Any]:
    """A volume of the node for one claim."""
    folder = f"/var/lib/{name}"
    sandbox.run("mkdir", "--mode=777", folder)
    spec = {"capacity": {"storage": "200Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": folder}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def reference_with(image: str, folder: Path) -> Path:
    """Copy the reference and name another image in it, where its own comment says so."""
    shutil.copytree(K8S / "reference", folder)
    file = folder / "kustomization.yaml"
    values = yaml.safe_load(file.read_text())
    new_name, digest = image.split("@")
    values["images"] = [{"name": each["name"], "newName": new_name, "digest": digest} for each in values["images"]]
    file.write_text(yaml.safe_dump(values))
    return folder


def test_the_reference_serves_an_overlay_that_knows_it_by_name_and_nobody_else(
    bare: Kubectl, project_images: Mapping[str, str], tmp_path: Path
) -> None:
    reference = reference_with(load_stand_in(), tmp_path / "reference")
    keys = [f"--from-literal=AWS_{name}={secrets.token_hex(24)}" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    bare("create", "secret", "generic", "med42-s3", *keys)
    bare("create", "secret", "generic", "med42-postgres", f"--from-literal=POSTGRES_PASSWORD={secrets.token_hex(24)}")
    bare("apply", "--kustomize", str(reference))
    bare("wait", "--for=condition=complete", "--timeout=5m", "job/med42-bucket")
    bare("rollout", "status", "deployment/med42-mlflow", "--timeout=5m")

    bare("apply", "--kustomize", str(K8S / "overlays/dev-kind"))
    bare.apply(asking(project_images["tracking"]), pod("stranger", {}))
    bare("wait", "pods/asking", "pods/stranger", "--for=condition=Ready", "--timeout=60s")
    assert "kept" in bare("exec", "asking", "--", "python", "-c", ROUND_TRIP).splitlines()
    database = bare("get", "service", "med42-postgres", "--output=jsonpath={.spec.clusterIP}")
    assert not reaches(bare, "stranger", database, 5432)

    said = seen_by_the_doctor(bare, project_images)
    assert re.search("ok +store +s3://med42/runs gives back the bytes that it got", said)
    assert re.search("ok +mlflow +http://med42-mlflow:5000 answers by this name", said)
    assert " 0 problem" in said


def seen_by_the_doctor(namespace: Kubectl, project_images: Mapping[str, str]) -> str:
    """Run k8s/doctor.yaml as its first lines say; gives what it printed."""
    text = (K8S / "doctor.yaml").read_text()
    [wait] = re.findall(r"kubectl (wait) -n NAMESPACE (.*)", text)
    for runtime in ("base", "train"):
        text = text.replace(f"med42/{runtime}:0.1.0", project_images[runtime])
    namespace("replace", "--force", "--filename=-", text=text)
    namespace(wait[0], *shlex.split(wait[1]))
    return namespace("logs", "job/med42-doctor")


def asking(image: str) -> dict[str, Any]:
    """A pod of ours that waits to be told what to ask of the servers, with a step's settings."""
    asks = pod("asking", OURS)
    [container] = asks["spec"]["containers"]
    container.update(image=image, command=["sleep", "600"])
    container["envFrom"] = [{"configMapRef": {"name": "med42-settings"}}, {"secretRef": {"name": "med42-s3"}}]
    return asks
