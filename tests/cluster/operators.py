"""What a training cluster runs of others: the training operator, Kueue, and KWOK, which plays nodes with GPUs.

On demand JobSet and Kubeflow Trainer, of which TrainJobs are.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from tests.cluster import images, node
from tests.cluster.kubectl import eventually
from tests.cluster.node import Daemon
from tests.cluster.programs import JOBSET, KUEUE, KWOK, TRAINER, TRAINING_OPERATOR, Module, files, program
from tests.conftest import REPOSITORY

V100, A100 = "Tesla-V100-SXM3-32GB", "NVIDIA-A100-SXM4-80GB"
FAKE_NODE_LABEL = "med42.io/fake"
_STAGES = ("node/fast/node-initialize", "node/heartbeat-with-lease/node-heartbeat-with-lease")
_POD_STAGES = ("pod/fast/pod-ready", "pod/fast/pod-delete")


def start_operators(say: Callable[[str], None]) -> None:
    """Start the operators and the fake nodes, and wait until all answer."""
    kubectl = node.kubectl()
    _apply("training_operator", TRAINING_OPERATOR, images.OPERATOR_IMAGE, "manifests", say)
    _apply("kueue", KUEUE, images.KUEUE_IMAGE, "config", say)
    _start_kwok(say)
    kubectl.apply(*fake_nodes())
    for what, namespace in (("training-operator", "kubeflow"), ("kueue-controller-manager", "kueue-system")):
        _wait_for(what, namespace, say)
    say("waits for Kueue's webhook to take a queue")
    eventually(lambda: kubectl.succeeds("apply", "--filename", str(node.FILES / "queue.yaml")), "Kueue took no queue")
    say("waits for the fake nodes to be Ready")
    kubectl("wait", "--for=condition=Ready", "node", f"--selector={FAKE_NODE_LABEL}", "--timeout=120s")


def start_trainer(say: Callable[[str], None]) -> None:
    """Start JobSet and Trainer, whose programs are built, and wait until both answer."""
    images.load_operator(images.JOBSET_IMAGE, program(JOBSET, "jobset"))
    images.load_operator(images.TRAINER_IMAGE, program(TRAINER, "trainer-controller-manager"))
    _apply("jobset", JOBSET, images.JOBSET_IMAGE, "config", say)
    _wait_for("jobset-controller-manager", "jobset-system", say)
    _apply("trainer", TRAINER, images.TRAINER_IMAGE, "manifests", say)
    _wait_for("kubeflow-trainer-controller-manager", "kubeflow-system", say)


def fake_nodes() -> list[dict[str, Any]]:
    """Give 8 nodes of 16 V100 as in the paper, and 16 of 8 A100."""
    v100s = [_fake_node(f"v100-{n}", V100, gpus=16, cpus=96, memory="1536Gi") for n in range(8)]
    return [*v100s, *(_fake_node(f"a100-{n}", A100, gpus=8, cpus=96, memory="1Ti") for n in range(16))]


def _fake_node(name: str, product: str, *, gpus: int, cpus: int, memory: str) -> dict[str, Any]:
    size = {"cpu": str(cpus), "memory": memory, "ephemeral-storage": "2Ti", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {FAKE_NODE_LABEL: "yes", "nvidia.com/gpu.product": product, "kubernetes.io/hostname": name},
        },
        # As real ones have it: what needs no GPU does not come here.
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": size, "allocatable": size},
    }


def _start_kwok(say: Callable[[str], None]) -> None:
    config = node.config_folder() / "kwok.yaml"
    node.fill_in(node.FILES / "kwok.yaml", config, fake_node=FAKE_NODE_LABEL)
    stages = [files(KWOK, "kustomize") / "stage" / f"{stage}.yaml" for stage in (*_STAGES, *_POD_STAGES)]
    configs = [f"--config={path}" for path in (config, *stages)]
    node.start(Daemon("kwok", [program(KWOK, "kwok"), f"--kubeconfig={node.kubeconfig()}", *configs]), say)


def _wait_for(deployment: str, namespace: str, say: Callable[[str], None]) -> None:
    say(f"waits for {deployment} to be available")
    kubectl = node.kubectl().within(namespace)
    kubectl("wait", "--for=condition=Available", f"deployment/{deployment}", "--timeout=180s")


def _apply(name: str, module: Module, image: str, manifests: str, say: Callable[[str], None]) -> None:
    """Install an operator by upstream's own manifests and our patches of them."""
    say(f"applies the manifests of {name}")
    folder, ours = node.config_folder() / name, node.FILES / name
    shutil.copytree(files(module, manifests), folder / "manifests", dirs_exist_ok=True)
    shutil.copy(REPOSITORY / "k8s/training_operator/initContainer.yaml", folder)
    short, _, tag = image.rpartition(":")
    for path in ours.iterdir():
        node.fill_in(path, folder / path.name, name=short, tag=tag, init_image=images.SHELL_IMAGE)
    manifest = folder / "all.yaml"
    manifest.write_text(node.kubectl()("kustomize", str(folder)))
    node.kubectl()("apply", "--server-side", "--force-conflicts", "--filename", str(manifest))
