"""What `kubectl apply` gets: jobs that were rendered from the specs, and the objects that they need."""

import copy
import json
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from components.images import OWN_LOCK, RUNTIMES, read_images, write_images
from med42lib.commands.main import main
from med42lib.core.redaction import redact
from med42lib.train.launchers.template import MAX_NAME_LENGTH, QUEUE_LABEL, JobTemplate, make_pytorchjob
from tests.conftest import REPOSITORY
from tests.k8s.restricted import violations
from tests.real_crd import CRD, MISSING, problems, read_schema

K8S = REPOSITORY / "k8s"
JOBS = sorted((K8S / "jobs").glob("*.yaml"))
OVERLAYS = sorted((K8S / "overlays").iterdir())
COMPONENTS = sorted((K8S / "components").iterdir())
MANIFESTS = sorted(path for path in K8S.rglob("*.yaml") if path.name != "initContainer.yaml")
REFERENCE = K8S / "reference"
FOLDERS = [K8S / "base", REFERENCE, *OVERLAYS]
IMAGE = "registry.example/med42-train@sha256:" + "0" * 64


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)


def template_files(folder: Path) -> list[Path]:
    """The files of the ConfigMap med42-job-template that an overlay or component has: its parts', and its own."""
    kustomization = read(folder / "kustomization.yaml")
    parts = [*kustomization.get("resources", ()), *kustomization.get("components", ())]
    found = [file for part in parts if (folder / part).is_dir() for file in template_files((folder / part).resolve())]
    own = [file for each in kustomization.get("configMapGenerator", ()) for file in each["files"]]
    return [*found, *(folder / file for file in own)]


def jobs() -> Iterator[Any]:
    """The committed jobs, a job of each overlay's template, and of the base with each component."""
    for path in JOBS:
        yield pytest.param(read(path), id=path.stem)
    base = K8S / "base/job_template.yaml"
    for folder in (K8S / "base", *OVERLAYS, *COMPONENTS):
        files = dict.fromkeys([base, *template_files(folder)])
        template = JobTemplate.read(*sorted(files, key=lambda file: (file != base, file.name))).with_image(IMAGE)
        made = make_pytorchjob(template, "a-job", ["--job", "s3://bucket/job"], labels={}, annotations={})
        yield pytest.param(made, id=f"{folder.parent.name}/{folder.name}")


every_job = pytest.mark.parametrize("job", list(jobs()))


def pods(job: Any) -> list[Any]:
    return [replicas["template"]["spec"] for replicas in job["spec"]["pytorchReplicaSpecs"].values()]


def test_committed_jobs_are_what_the_specs_and_templates_give(tmp_path: Path) -> None:
    command = ["make", "--dry-run", "--always-make", "jobs", f"JOBS={tmp_path}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines() if " k8s render " in line]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        assert [main(line[1:]) for line in lines] == [0, 0]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {p.name: p.read_text() for p in JOBS}, (
        "run `make jobs`"
    )


def test_there_are_both_sizes_with_both_methods_on_the_papers_machines() -> None:
    assert [path.stem for path in JOBS] == [
        f"llama-2-{size}-{how}" for size in ("70b", "7b") for how in ("full", "lora")
    ]
    for job in map(read, JOBS):
        replicas = job["spec"]["pytorchReplicaSpecs"]
        assert sum(each["replicas"] for each in replicas.values()) == 8
        assert job["spec"]["nprocPerNode"] == "16"
        assert {pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] for pod in pods(job)} == {"16"}


@every_job
def test_kubeflows_own_client_reads_a_job_whole(job: Any) -> None:
    from kubeflow.training.api_client import ApiClient

    client = ApiClient()
    typed = client.deserialize(SimpleNamespace(data=json.dumps(job)), "KubeflowOrgV1PyTorchJob")
    assert client.sanitize_for_serialization(typed) == job


@every_job
@pytest.mark.skipif(not CRD.is_file(), reason=MISSING)
def test_a_job_has_no_field_that_the_operators_crd_lacks(job: Any) -> None:
    assert list(problems(read_schema(), job)) == []


@pytest.mark.skipif(not CRD.is_file(), reason=MISSING)
def test_the_crd_made_strict_finds_a_misspelt_field_and_a_number_for_a_text() -> None:
    job = read(JOBS[0])
    job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["tolerationz"] = []
    job["spec"]["nprocPerNode"] = 8
    found = list(problems(read_schema(), job))
    assert ".spec.nprocPerNode: 8 is no string" in found
    assert ".spec.pytorchReplicaSpecs.Master.template.spec.tolerationz: is no known field" in found


@every_job
def test_a_jobs_pods_are_allowed_in_a_restricted_namespace_and_have_no_token(job: Any) -> None:
    for pod in pods(job):
        assert list(violations(pod)) == []
        assert pod["automountServiceAccountToken"] is False
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in pod["containers"])


def test_the_check_of_restricted_finds_what_the_operators_own_init_container_lacks() -> None:
    pod = pods(read(JOBS[0]))[0]
    pod["initContainers"] = [{"name": "init-pytorch", "image": "alpine:3.10"}]
    assert list(violations(pod)) == ["init-pytorch: allowPrivilegeEscalation", "init-pytorch: capabilities"]


def test_the_init_container_that_we_give_the_operator_is_allowed() -> None:
    text = (K8S / "training_operator/initContainer.yaml").read_text(encoding="utf-8")
    assert "<" not in text, "the operator reads it by html/template"
    pod = pods(read(JOBS[0]))[0]
    pod["initContainers"] = yaml.safe_load(text.replace("{{", "").replace("}}", ""))
    assert list(violations(pod)) == []


@every_job
def test_shared_memory_and_all_that_is_written_lie_on_volumes(job: Any) -> None:
    for pod in pods(job):
        [container] = pod["containers"]
        places = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume.get("emptyDir") for volume in pod["volumes"]}
        assert volumes[places["/dev/shm"]]["medium"] == "Memory"
        written = {each["value"] for each in container["env"] if each["name"] in ("HOME", "TMPDIR", "MED42_SCRATCH")}
        assert written == {"/scratch"}
        assert volumes[places["/scratch"]] == {}


@every_job
def test_training_pods_have_a_companys_authorities_if_there_are_any(job: Any) -> None:
    for pod in pods(job):
        assert authorities(pod) == {"name": "med42-ca", "optional": True}


def authorities(pod: Any) -> Any:
    """The ConfigMap that lies where the settings have certificates."""
    [container] = pod["containers"]
    [name] = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/etc/med42-ca"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == name]
    return volume["configMap"]


@every_job
def test_a_jobs_name_leaves_room_for_its_pods(job: Any) -> None:
    assert len(job["metadata"]["name"]) <= MAX_NAME_LENGTH < 54
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"])


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_has_no_secret_and_no_image_that_changes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert redact(text) == text
    assert "kind: Secret" not in text
    images = re.findall(r"image: (\S+)", text) if path.parent != REFERENCE else []  # pinned in its kustomization
    assert [image for image in images if image.endswith(":latest") or not re.search(r"[:@]", image)] == []


@cache
def rendered(folder: Path) -> list[Any]:
    """The objects of a folder as kubectl renders them."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders kustomizations, is not installed")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def config_maps(objects: list[Any]) -> dict[str, Any]:
    return {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}


@pytest.fixture(scope="module")
def base() -> list[Any]:
    return rendered(K8S / "base")


def test_the_base_has_every_object_that_a_job_names(base: list[Any]) -> None:
    names = {(each["kind"], each["metadata"]["name"]) for each in base}
    for pod in (pod for path in JOBS for pod in pods(read(path))):
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        for source in pod["containers"][0]["envFrom"]:
            if "configMapRef" in source:
                assert ("ConfigMap", source["configMapRef"]["name"]) in names
            else:
                assert source["secretRef"]["optional"] is True


@pytest.mark.parametrize("folder", [K8S / "base", *OVERLAYS], ids=lambda folder: folder.name)
def test_an_overlay_carries_its_template_where_the_driver_looks_for_it(folder: Path, tmp_path: Path) -> None:
    maps = config_maps(rendered(folder))
    assert maps["med42-driver"]["MED42_JOB_TEMPLATE"] == "/etc/med42"
    carried = {name: text.encode() for name, text in maps["med42-job-template"].items()}
    assert carried == {file.name: file.read_bytes() for file in template_files(folder)}
    for name, content in carried.items():
        (tmp_path / name).write_bytes(content)
    assert JobTemplate.read(tmp_path) == JobTemplate.read(*template_files(folder))


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_an_overlay_has_the_queue_that_its_jobs_wait_in(folder: Path) -> None:
    queue = JobTemplate.read(*template_files(folder)).labels.get(QUEUE_LABEL)
    queues = {each["metadata"]["name"] for each in rendered(folder) if each["kind"] == "LocalQueue"}
    assert queues == ({queue} if queue else set())


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_the_readmes_queue_could_admit_the_jobs_of_an_overlay(folder: Path) -> None:
    template = JobTemplate.read(*template_files(folder))
    if QUEUE_LABEL not in template.labels:
        pytest.skip("its jobs wait in no queue")
    readme = (K8S / "README.md").read_text(encoding="utf-8")
    [example] = re.findall(r"(?m)^    apiVersion: kueue(?:.*\n)(?:    .*\n)+", readme)
    _, queue = yaml.safe_load_all(textwrap.dedent(example))
    [group] = queue["spec"]["resourceGroups"]
    [flavor] = group["flavors"]
    assert [each["name"] for each in flavor["resources"]] == group["coveredResources"]
    assert template.container["resources"]["requests"].keys() <= set(group["coveredResources"])
    assert all(label in readme for label in template.pod["spec"]["nodeSelector"].values())


def test_every_component_is_of_use_to_a_template_or_brings_objects() -> None:
    for folder in COMPONENTS:
        kustomization = read(folder / "kustomization.yaml")
        named = {*kustomization.get("resources", ()), *(file.name for file in template_files(folder))}
        assert named == {path.name for path in folder.iterdir()} - {"kustomization.yaml"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_object_has_no_field_that_kubernetes_lacks(folder: Path) -> None:
    for each in rendered(folder):
        if each["apiVersion"].partition("/")[0] not in OF_OTHERS:
            assert read_by_kubernetes(each) == each


OF_OTHERS = ("kueue.x-k8s.io",)


def read_by_kubernetes(each: Any) -> Any:
    """Read an object into the client's own class and write it again, by which a field of another name is lost."""
    from kubernetes.client import ApiClient

    client = ApiClient()
    typed = client.deserialize(SimpleNamespace(data=json.dumps(each)), f"V1{each['kind']}")
    return client.sanitize_for_serialization(typed)


def test_a_misspelt_field_is_found() -> None:
    [deployment] = [each for each in rendered(REFERENCE) if each["kind"] == "Deployment"]
    deployment = copy.deepcopy(deployment)
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    assert read_by_kubernetes(deployment) != deployment


def workloads() -> list[Any]:
    kinds = ("Deployment", "StatefulSet", "Job")
    return [each for folder in FOLDERS for each in rendered(folder) if each["kind"] in kinds]


def test_pods_of_the_reference_are_allowed_in_a_restricted_namespace_and_have_no_token() -> None:
    assert {each["metadata"]["name"] for each in workloads()} == {
        *("med42-seaweedfs", "med42-postgres", "med42-mlflow", "med42-bucket")
    }
    for pod in (each["spec"]["template"]["spec"] for each in workloads()):
        assert list(violations(pod)) == []
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "MLFLOW_PORT and its like"
        [container] = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]


def test_no_pod_of_ours_is_in_a_mesh_by_a_sidecar_or_in_ambient_mode() -> None:
    template = JobTemplate.read(K8S / "base/job_template.yaml").pod
    pods = [each["spec"]["template"] for each in [*workloads(), read(K8S / "doctor.yaml")]]
    for metadata in (pod["metadata"] for pod in [template, *pods]):
        assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
        assert metadata["labels"]["istio.io/dataplane-mode"] == "none"
        assert metadata["annotations"]["sidecar.istio.io/inject"] == "false"


def selectors(objects: list[Any]) -> Iterator[Any]:
    """The labels by which objects choose pods."""
    for each in objects:
        spec = each.get("spec") or {}
        if each["kind"] == "Service":
            yield spec["selector"]
        elif each["kind"] == "NetworkPolicy":
            rules = [*spec.get("ingress", ()), *spec.get("egress", ())]
            peers = [peer["podSelector"] for rule in rules for peer in (*rule.get("from", ()), *rule.get("to", ()))]
            yield from (chosen["matchLabels"] for chosen in (spec["podSelector"], *peers) if chosen)
        elif "selector" in spec:
            yield spec["selector"]["matchLabels"]


def test_the_reference_chooses_no_pods_but_its_own_and_lets_all_of_the_namespace_in() -> None:
    objects = rendered(REFERENCE)
    found = list(selectors(objects))
    assert len(found) == 3 * 2 + 4
    assert {each.get("app.kubernetes.io/part-of") for each in found} == {"med42-reference"}
    [policy] = [
        each for each in objects if (each["kind"], each["metadata"]["name"]) == ("NetworkPolicy", "med42-reference")
    ]
    assert policy["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]


def test_what_is_not_trained_says_all_that_a_quota_counts() -> None:
    for each in [*workloads(), read(K8S / "doctor.yaml")]:
        [container] = each["spec"]["template"]["spec"]["containers"]
        for kind in ("requests", "limits"):
            assert container["resources"][kind].keys() == {"cpu", "memory"}


@every_job
def test_an_autoscaler_is_asked_to_leave_a_trainings_nodes_alone(job: Any) -> None:
    for replicas in job["spec"]["pytorchReplicaSpecs"].values():
        annotations = replicas["template"]["metadata"]["annotations"]
        assert annotations["karpenter.sh/do-not-disrupt"] == "true"
        assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_the_doctors_pod_is_as_those_whose_place_it_looks_at(base: list[Any]) -> None:
    job = read(K8S / "doctor.yaml")
    assert read_by_kubernetes(job) == job
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert list(violations(pod)) == []
    assert ("ServiceAccount", pod["serviceAccountName"]) in {(e["kind"], e["metadata"]["name"]) for e in base}
    assert {ref["name"] for each in container["envFrom"] for ref in each.values()} == {
        *("med42-settings", "med42-driver", "med42-s3", "med42-mlflow")
    }
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounted["job-template"] == config_maps(base)["med42-driver"]["MED42_JOB_TEMPLATE"]
    assert authorities(pod) == {"name": "med42-ca", "optional": True}
    images = read_images(OWN_LOCK)
    assert (container["image"], container["args"][-1]) == (images["base"], images["train"])


def test_make_jobs_writes_the_locks_images_into_the_doctors_manifest(tmp_path: Path) -> None:
    lock, doctor = tmp_path / "lock.yaml", tmp_path / "doctor.yaml"
    pinned = {runtime: f"registry.example:5000/med42/{runtime}@sha256:{'0' * 64}" for runtime in RUNTIMES}
    write_images(lock, pinned)
    doctor.write_text((K8S / "doctor.yaml").read_text())
    command = ["make", "--dry-run", "--always-make", "jobs", f"LOCK={lock}", f"DOCTOR={doctor}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if str(doctor) in line and line.startswith("sed")]
    subprocess.run(["bash", "-c", line], check=True)
    [container] = read(doctor)["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"][-1]) == (pinned["base"], pinned["train"])


def test_images_of_the_reference_are_pinned_in_one_place() -> None:
    """By tag: a digest is only worth something to who has looked at the image."""
    pinned = {each["name"]: each for each in read(REFERENCE / "kustomization.yaml")["images"]}
    text = "".join(path.read_text() for path in REFERENCE.glob("*.yaml") if path.name != "kustomization.yaml")
    assert set(re.findall(r"image: (\S+)", text)) == set(pinned)
    assert all(each["newTag"] != "latest" for each in pinned.values())


def test_the_laptops_overlay_calls_the_reference_by_names_that_it_answers_to() -> None:
    settings = config_maps(rendered(K8S / "overlays/dev-kind"))["med42-settings"]
    services = {
        f"http://{each['metadata']['name']}:{each['spec']['ports'][0]['port']}"
        for each in rendered(REFERENCE)
        if each["kind"] == "Service"
    }
    assert {settings["AWS_ENDPOINT_URL"], settings["MLFLOW_TRACKING_URI"]} < services
    [mlflow] = [each for each in workloads() if each["metadata"]["name"] == "med42-mlflow"]
    env = {each["name"]: each.get("value") for each in mlflow["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert settings["MLFLOW_TRACKING_URI"].removeprefix("http://") in env["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert env["AWS_ENDPOINT_URL"] == settings["AWS_ENDPOINT_URL"]


def peers(policy: Any, direction: str) -> set[tuple[Any, ...]]:
    """What a policy allows: to whom (none: to everybody), and at which ports (none: at all)."""
    return {
        (json.dumps(rule.get("from") or rule.get("to")), *sorted(port["port"] for port in rule.get("ports", ())))
        for rule in policy["spec"].get(direction, ())
    }


def test_our_pods_reach_only_what_a_policy_names_and_only_training_pods_are_reached(base: list[Any]) -> None:
    policies = {each["metadata"]["name"]: each for each in base if each["kind"] == "NetworkPolicy"}
    deny = policies["med42-default-deny"]["spec"]
    assert deny == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "med42"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert {name for name, policy in policies.items() if peers(policy, "ingress")} == {"med42-training"}
    open_to_all = {
        name
        for name, policy in policies.items()
        if any(len(peer) == 1 and peer[0] == "null" for peer in peers(policy, "egress"))
    }
    assert open_to_all == set()


def test_our_pods_reach_dns_where_its_pods_listen_on_openshift_too(base: list[Any]) -> None:
    [policy] = [each for each in base if each["metadata"]["name"] == "med42-dns"]
    assert peers(policy, "egress") == {("null", 53, 53, 5353, 5353)}


def test_training_pods_can_show_their_metrics_in_mlflow(base: list[Any]) -> None:
    for pod in (pod for path in JOBS for pod in pods(read(path))):
        given = {source["name"] for each in pod["containers"][0]["envFrom"] for source in each.values()}
        assert given == {"med42-settings", "med42-s3", "med42-mlflow"}
    [policy] = [each for each in base if each["metadata"]["name"] == "med42-tracking"]
    assert policy["spec"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/part-of": "med42"}}
    assert peers(policy, "egress") == {("null", 5000)}


def test_training_pods_are_those_that_the_network_policies_are_for(base: list[Any]) -> None:
    policies = {each["metadata"]["name"]: each for each in base if each["kind"] == "NetworkPolicy"}
    chosen = policies["med42-training"]["spec"]["podSelector"]["matchLabels"].items()
    for replicas in read(JOBS[0])["spec"]["pytorchReplicaSpecs"].values():
        labels = replicas["template"]["metadata"]["labels"]
        assert chosen <= labels.items()
        assert labels["app.kubernetes.io/part-of"] == "med42"
