"""Real trainings of a tiny model by two nodes, in the image of the runtime `train`.

Whatever is killed, the outcome is the one of this machine alone, to the byte.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from med42lib.commands.main import main
from med42lib.core.errors import NoSpaceError
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.train.job import TrainingJob
from tests.cluster import node, sandbox, servers
from tests.cluster.conftest import ClusterUnderTest
from tests.cluster.drivers import Driver
from tests.cluster.kubectl import Kubectl, eventually
from tests.conftest import REPOSITORY
from tests.train.conftest import base_model, packed_data

__all__ = ["base_model", "packed_data"]  # fixtures

TEMPLATE = REPOSITORY / "k8s/base/job_template.yaml"
OPERATOR = "--selector=control-plane=kubeflow-training-operator"
LONG = {
    "train.full.epochs": "100",
    "train.full.max_steps": "null",
    "train.full.checkpoint_minutes": "0.05",
    "train.full.zero_stage": "3",  # whose steps are slow enough to be met in the middle
}
KILL = """
import os, signal
for pid in filter(str.isdecimal, os.listdir("/proc")):
    if b"med42lib.train.worker" in open(f"/proc/{pid}/cmdline", "rb").read() and int(pid) != os.getpid():
        os.kill(int(pid), signal.SIGKILL)
"""

STOP = """
import os, signal
for pid in filter(str.isdecimal, os.listdir("/proc")):
    if pid != str(os.getpid()) and b"LOCAL_RANK=" in open(f"/proc/{pid}/environ", "rb").read():
        os.kill(int(pid), signal.SIGSTOP)
"""

Train = Callable[..., Driver]
Render = Callable[..., Path]


@pytest.fixture(scope="session")
def train_image(project_images: Mapping[str, str]) -> str:
    """The image of the runtime `train`."""
    return project_images["train"]


@pytest.fixture
def inputs(store: str, base_model: Path, packed_data: Path) -> list[str]:
    """The addresses of a tiny base model and of tiny packed data in the store, as options of `med42 stage`."""
    options = []
    for name, folder in (("model", base_model), ("packed", packed_data)):
        address = f"{store}/inputs/{name}"
        for path in (path for path in folder.rglob("*") if path.is_file()):
            open_store(address).put(str(path.relative_to(folder)), path)
        options += ["--input", f"{name}={address}"]
    return options


@pytest.fixture
def train(
    namespace: Kubectl,
    store: str,
    inputs: list[str],
    train_image: str,
    tmp_path: Path,
    kubeconfig_of: Callable[[str], Path],
) -> Iterator[Train]:
    """Start the stage `train` with a launcher, in a store of its own."""
    started: list[Driver] = []
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(template(train_image)))

    def start(launcher: str, settings: dict[str, str], section: str = "train.full") -> Driver:
        options = [option for name, value in settings.items() for option in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "med42lib", "stage", "train", "--spec", "pipelines/specs/smoke.yaml"]
        command += ["--section", section, "--store", f"{store}/{launcher}", *inputs, *options]
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig_of("med42-driver")),
            "MED42_LAUNCHER": launcher,
            "MED42_JOB_TEMPLATE": str(tmp_path / "template.yaml"),
            "MED42_NAMESPACE": namespace.namespace,
            "MED42_PROCESSES_PER_NODE": "2",
            "OMP_NUM_THREADS": "1",
        }
        driver = Driver(command, environment, tmp_path / f"{launcher}.log")
        driver.start()
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.close()


@pytest.fixture
def render(store: str, inputs: list[str], train_image: str, tmp_path: Path) -> Render:
    """Render the spec's full fine-tune as a job of two small nodes; gives the file."""

    def write(kind: str, settings: dict[str, str]) -> Path:
        (tmp_path / "template.yaml").write_text(yaml.safe_dump(template(train_image)))
        addresses = [f"--{each}" for each in inputs if "=" in each]
        options = [option for name, value in settings.items() for option in ("--set", f"{name}={value}")]
        command = ["k8s", "render", "pipelines/specs/smoke.yaml", "--as", kind, "--store", store, *addresses]
        command += ["--template", str(tmp_path / "template.yaml"), "--output", str(tmp_path), *options]
        assert main(command) == 0
        return tmp_path / "smoke-full.yaml"

    return write


def template(image: str) -> dict[str, Any]:
    """The platform's own template with two small nodes without GPUs."""
    values: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    values.update(nodes=2, processes_per_node=1)
    spec, [container] = values["pod"]["spec"], values["pod"]["spec"]["containers"]
    spec["nodeSelector"] = {"kubernetes.io/hostname": "node1"}
    container.update(
        image=image, resources={"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    )
    container["env"].append({"name": "OMP_NUM_THREADS", "value": "1"})
    return values


def trained(driver: Driver) -> dict[str, str]:
    """Wait for a training's end; gives the sha256 of each file that counts."""
    assert driver.ends(400) == 0, driver.said()
    files = {entry.path: entry.sha256 for entry in Source(output_of(driver)).files if not entry.note}
    assert files.keys() & {"model/model.safetensors", "peft/adapter_model.safetensors"}
    return files


def output_of(driver: Driver) -> str:
    """The address of what a driver that has ended well says that it made."""
    printed = driver.said()
    return str(json.loads(printed[printed.rindex("\n{") :])["trained"])


def job_of(namespace: Kubectl) -> str:
    return str(eventually(lambda: namespace.get("pytorchjobs")["items"], "a PyTorchJob")[0]["metadata"]["name"])


def in_step(driver: Driver, namespace: Kubectl) -> str:
    """Wait until there is a checkpoint to go on from; gives the job's name."""
    driver.says("saved a checkpoint after step", seconds=400)
    return job_of(namespace)


def kill(namespace: Kubectl, job: str, role: str) -> None:
    """Kill a pod's processes, as the kernel does when memory is short."""
    within(namespace, job, role, KILL)


def within(namespace: Kubectl, job: str, role: str, program: str) -> None:
    namespace("exec", f"{job}-{role}", "--container=pytorch", "--", "python", "-c", program)


@pytest.fixture(scope="module")
def made_before() -> dict[str, str]:
    """What one test has made for others."""
    return {}


@pytest.fixture
def trained_here(train: Train, made_before: dict[str, str]) -> dict[str, str]:
    """What this machine alone makes of `LONG`."""
    if not made_before:
        made_before.update(trained(train("local", LONG)))
    return made_before


@pytest.mark.parametrize("section", ["train.full", "train.lora"])
def test_two_nodes_train_the_bytes_of_one_machine(namespace: Kubectl, train: Train, section: str) -> None:
    spread = trained(train("pytorchjob", {}, section))
    assert spread == trained(train("local", {}, section))


def test_a_job_that_kubectl_applies_trains_the_bytes_of_one_machine(
    namespace: Kubectl, render: Render, train: Train, trained_here: dict[str, str]
) -> None:
    path = render("pytorchjob", LONG)
    namespace("apply", "--filename", str(path))
    name = f"pytorchjob/{yaml.safe_load(path.read_text())['metadata']['name']}"
    namespace("wait", name, "--for=condition=Succeeded", "--timeout=400s")
    assert files_of(job_in(path)) == trained_here


def job_in(path: Path) -> TrainingJob:
    """What the pods of a rendered PyTorchJob are told to train."""
    master = yaml.safe_load(path.read_text())["spec"]["pytorchReplicaSpecs"]["Master"]
    return TrainingJob.from_json(master["template"]["spec"]["containers"][0]["args"][-1])


def files_of(job: TrainingJob) -> dict[str, str]:
    """Give the sha256 of each file that counts of what was trained."""
    return {entry.path: entry.sha256 for entry in job.read_files() if not entry.note}


@pytest.mark.parametrize("role", ["worker-0", "master-0"])
def test_a_training_goes_on_after_a_nodes_processes_were_killed(
    namespace: Kubectl, train: Train, trained_here: dict[str, str], role: str
) -> None:
    driver = train("pytorchjob", LONG)
    kill(namespace, in_step(driver, namespace), role)
    assert trained(driver) == trained_here
    assert f"{role} broke down, and is started again" in driver.said()


def test_a_training_goes_on_after_a_node_was_killed_that_another_waits_for(
    namespace: Kubectl, train: Train, trained_here: dict[str, str]
) -> None:
    driver = train("pytorchjob", LONG)
    job = in_step(driver, namespace)
    within(namespace, job, "master-0", STOP)  # as processes are that wait for NCCL
    kill(namespace, job, "worker-0")
    assert trained(driver) == trained_here
    assert "master-0 broke down, and is started again" in driver.said()


def test_a_training_goes_on_after_a_nodes_pod_was_deleted(
    namespace: Kubectl, train: Train, trained_here: dict[str, str]
) -> None:
    driver = train("pytorchjob", LONG)
    job = in_step(driver, namespace)
    namespace("delete", "pod", f"{job}-worker-0", "--force", "--grace-period=0")
    assert trained(driver) == trained_here


def test_a_training_that_is_asked_to_stop_saves_and_the_next_run_goes_on(
    namespace: Kubectl, train: Train, trained_here: dict[str, str]
) -> None:
    driver = train("pytorchjob", LONG | {"train.full.checkpoint_minutes": "60"})
    driver.says("at work on 2 nodes", seconds=400)
    driver.says(" steps/s", seconds=400)
    driver.signal(signal.SIGTERM)
    assert driver.ends(30) == 143
    eventually(lambda: not namespace.get("pods")["items"], "the pods to end within their grace period", seconds=45)
    driver.start()
    assert trained(driver) == trained_here
    assert "goes on after step" in driver.said()


def test_a_training_does_not_notice_that_the_control_plane_was_away(
    own_cluster: ClusterUnderTest, namespace: Kubectl, train: Train, trained_here: dict[str, str]
) -> None:
    driver = train("pytorchjob", LONG)
    in_step(driver, namespace)
    sandbox.kill("kubelet")
    own_cluster.kubectl.within("kubeflow")("delete", "pods", OPERATOR, "--force", "--grace-period=0")
    sandbox.kill("kube-apiserver")
    time.sleep(60)
    node.start_again("kube-apiserver")
    node.start_again("kubelet")
    assert trained(driver) == trained_here
    assert "broke down" not in driver.said()


def test_a_training_goes_on_while_the_store_is_away_for_a_minute(
    own_cluster: ClusterUnderTest, namespace: Kubectl, train: Train, trained_here: dict[str, str]
) -> None:
    driver = train("pytorchjob", LONG)
    in_step(driver, namespace)
    sandbox.stop("s3")
    time.sleep(60)
    servers.start_servers(lambda _: None)
    assert trained(driver) == trained_here
    assert "broke down" not in driver.said()


def test_a_tracking_server_that_is_away_holds_up_no_training_and_has_everything_afterwards(
    own_cluster: ClusterUnderTest, namespace: Kubectl, train: Train, tmp_path: Path
) -> None:
    data = {"data": {"MLFLOW_TRACKING_URI": servers.MLFLOW_URI}}
    namespace("patch", "configmap", "med42-settings", "--patch", json.dumps(data))
    sandbox.stop("mlflow")
    driver = train("pytorchjob", LONG | {"train.full.epochs": "200", "register.experiment": namespace.namespace})
    driver.says("MLflow takes no metrics for now", seconds=400)
    servers.start_servers(lambda _: None)  # long before the last step
    assert driver.ends(500) == 0, driver.said()
    file = Source(output_of(driver), cache=tmp_path / "trained").path("metrics.jsonl")
    written = map(json.loads, file.read_text().splitlines())
    assert shown(servers.MLFLOW_URI, namespace.namespace) == sorted((row["key"], row["step"]) for row in written)


def shown(tracking: str, experiment: str) -> list[tuple[str, int]]:
    """The metrics and steps that MLflow has of the one training of an experiment."""
    client = MlflowClient(tracking)
    found = client.get_experiment_by_name(experiment)
    [run] = client.search_runs([found.experiment_id], "tags.`med42.stage` = 'train'")
    points = [p for key in run.data.metrics for p in client.get_metric_history(run.info.run_id, key)]
    return sorted((point.key, point.step) for point in points)


def test_a_volume_that_is_full_ends_the_training_with_its_own_code(
    own_cluster: ClusterUnderTest, namespace: Kubectl, train: Train, tmp_path: Path
) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(yaml.safe_dump(on_volume(yaml.safe_load(path.read_text()), small_volume(namespace))))
    driver = train("pytorchjob", {})
    assert driver.ends(400) == NoSpaceError.exit_code, driver.said()
    assert re.search("no space left while writing .*/scratch/", driver.said())
    eventually(lambda: not namespace.get("pods")["items"], "the job's pods to go")


def small_volume(namespace: Kubectl) -> str:
    """Make a volume that has no room for the inputs; gives the name of its claim."""
    folder = f"/var/lib/{namespace.namespace}"
    sandbox.run("mkdir", folder)
    sandbox.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "tmpfs", folder)
    name, size = {"name": namespace.namespace}, {"storage": "64Ki"}
    shared = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"capacity": size, "hostPath": {"path": folder}, **shared}
    claim = {"volumeName": namespace.namespace, "resources": {"requests": size}, **shared}
    namespace.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": name, "spec": volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": name, "spec": claim},
    )
    return namespace.namespace


def on_volume(template: dict[str, Any], claim: str) -> dict[str, Any]:
    """The template with its scratch folder on a volume."""
    volumes = template["pod"]["spec"]["volumes"]
    [scratch] = [volume for volume in volumes if volume["name"] == "scratch"]
    del scratch["emptyDir"]
    scratch["persistentVolumeClaim"] = {"claimName": claim}
    return template
