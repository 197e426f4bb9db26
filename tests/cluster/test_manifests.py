"""What `kubectl apply` gets, before the real API server and its admission of pods."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from med42lib.train.launchers.template import JobTemplate, make_pytorchjob
from tests.cluster.conftest import manifest
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.conftest import REPOSITORY

K8S = REPOSITORY / "k8s"
SETTINGS = [K8S / "base", *sorted(path.parent for path in K8S.glob("overlays/*/kustomization.yaml"))]
KUSTOMIZATIONS = sorted(
    path.parent for path in K8S.rglob("kustomization.yaml") if "kind: Kustomization" in path.read_text()
)
OBJECTS = sorted(
    path
    for path in K8S.rglob("*.yaml")
    if path.name != "initContainer.yaml"
    and all({"kind", "metadata"} <= each.keys() for each in yaml.safe_load_all(path.read_text()))
)


def relative(path: Path) -> str:
    return str(path.relative_to(K8S))


@pytest.mark.parametrize("path", OBJECTS, ids=relative)
def test_every_manifest_passes_a_server_side_dry_run(namespace: Kubectl, path: Path) -> None:
    namespace("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", str(path))


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=relative)
def test_every_kustomization_passes_a_server_side_dry_run(namespace: Kubectl, folder: Path) -> None:
    namespace("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--kustomize", str(folder))


@pytest.mark.parametrize("folder", SETTINGS, ids=relative)
def test_the_pods_of_trainings_are_admitted_where_restricted_is_enforced(
    namespace: Kubectl, folder: Path, tmp_path: Path
) -> None:
    objects = yaml.safe_load_all(namespace("kustomize", str(folder)))
    [files] = [each["data"] for each in objects if each["metadata"]["name"] == "med42-job-template"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    template = JobTemplate.read(tmp_path).with_image("med42/train:0.1.0")
    job = make_pytorchjob(template, "a-job", ["--job", "s3://bucket/job"], labels={}, annotations={})
    pod = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    namespace("create", "--dry-run=server", "--filename=-", text=yaml.safe_dump(_named(pod)))
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        namespace("create", "--dry-run=server", "--filename=-", text=yaml.safe_dump(_named(pod)))


def _named(template: dict[str, object]) -> dict[str, object]:
    metadata = {**template["metadata"], "name": "a-pod"}  # type: ignore[dict-item]
    return {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}


def test_the_api_server_drops_no_field_of_a_job(namespace: Kubectl) -> None:
    job = manifest(K8S / "jobs/llama-2-7b-lora.yaml")
    job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["tolerationz"] = []
    with pytest.raises(KubectlError, match=r"unknown field.*tolerationz"):
        namespace("create", "--dry-run=server", "--filename=-", text=yaml.safe_dump(job))


def test_the_drivers_account_may_do_what_it_needs_and_nothing_else(
    namespace: Kubectl, kubeconfig_of: Callable[[str], Path]
) -> None:
    driver = Kubectl(namespace.program, kubeconfig_of("med42-driver"), namespace.namespace)
    for verb in ("create", "delete", "get", "list", "watch"):
        assert driver.succeeds("auth", "can-i", verb, "pytorchjobs.kubeflow.org")
    for verb, what in (("get", "secrets"), ("create", "pods"), ("update", "pytorchjobs.kubeflow.org")):
        assert not driver.succeeds("auth", "can-i", verb, what)
