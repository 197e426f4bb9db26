"""The PyTorchJob of a training: what the platform decides, from its template, and the address of what is to be trained.

    template (nodes, image, resources, volumes, queue)  ─┐
                                                         ├─► PyTorchJob: one master, the other nodes workers
    python -m med42lib.train.worker --job ADDRESS       ─┘

Plain mappings, as the API server takes them. `restartPolicy` is OnFailure, the one that survives a killed worker: its
peers fail with it, all start again in their places, and meet again. Each of these restarts counts for `backoffLimit`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, model_validator

from med42lib.core.cluster_objects import TASK_CONFIG_VARIABLE
from med42lib.core.config import StageConfig, parse_config
from med42lib.core.errors import EnvironmentProblem
from med42lib.train.job import GRACE_SECONDS, GRACE_VARIABLE, MAX_RESTARTS_VARIABLE, NODE_VARIABLE
from med42lib.train.launchers.patches import CONTAINER, TaskConfig, merged

GROUP, VERSION, KIND, PLURAL = "kubeflow.org", "v1", "PyTorchJob", "pytorchjobs"
TEMPLATE_VARIABLE, IMAGE_VARIABLE = "MED42_JOB_TEMPLATE", "MED42_IMAGE"
TEMPLATE_FILE = "job_template.yaml"
"""In a folder, the template that its other files are patches of."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
MAX_NAME_LENGTH = 46
"""Names may have 63 characters. The operator's Services are `<name>-worker-<number>`, and nothing refuses longer ones;
JobSet's pods, of a TrainJob, `<name>-node-0-<number>-<five letters>`."""
_COMMAND = ("python", "-m", "med42lib.train.worker")
_SECONDS_KEPT = 7 * 24 * 3600
_SECONDS_TO_TELL = 2  # of those that a pod has to end in: that its training processes were killed
_RESTARTS_OF_A_POD = 2
"""At most, in one breakdown: by itself, and with the others."""


class JobTemplate(StageConfig):
    """What a platform decides of its training jobs. Kubernetes' own words stand below `run_policy` and `pod`."""

    nodes: int = Field(ge=1)
    """Pods that train together."""

    processes_per_node: int = Field(ge=1)
    """Training processes in each pod: one for each of its GPUs."""

    max_restarts: int = Field(ge=0)
    """Times that training may break down, on whatever node, and go on by itself; and start again from the same step."""

    max_hours_waiting: float = Field(gt=0)
    """Hours in a queue, or for nodes and images, until the job is deleted; and that nodes wait for one another."""

    max_hours_working: float = Field(gt=0)
    """Hours with all pods at work until the job is deleted. The operator itself keeps no deadline."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the job; Kueue reads its queue from one."""

    run_policy: dict[str, Any] = Field(default_factory=dict)
    """Fields of the job's `runPolicy` in place of ours."""

    pod: dict[str, Any]
    """Template of every pod. Its container `pytorch` has neither command nor args, and an image only if it is to be
    another than the driver's."""

    @model_validator(mode="after")
    def _has_one_container_to_train_in(self) -> Self:
        found = [container for container in _containers(self.pod) if container.get("name") == CONTAINER]
        if len(found) != 1:
            raise ValueError(f"pod.spec.containers has not one container {CONTAINER!r}")
        if taken := sorted({"command", "args"} & found[0].keys()):
            raise ValueError(f"container {CONTAINER!r} has {' and '.join(taken)}, which we fill in; remove them")
        return self

    @property
    def num_processes(self) -> int:
        """Training processes of all nodes together."""
        return self.nodes * self.processes_per_node

    @property
    def container(self) -> dict[str, Any]:
        """The container that trains."""
        return next(each for each in _containers(self.pod) if each.get("name") == CONTAINER)

    def patched(self, patch: Mapping[str, Any], *, title: str) -> Self:
        """Give the template with a patch merged into it.

        Raises:
            ConfigError: If that is no template; `title` says where the patch is from.
        """
        return parse_config(type(self), merged(self.model_dump(), patch), title=title)

    def with_image(self, image: str) -> Self:
        """Give the template with another image."""
        patch = {"pod": {"spec": {"containers": [{"name": CONTAINER, "image": image}]}}}
        return self.patched(patch, title=f"image {image}")

    @classmethod
    def read(cls, *paths: Path) -> Self:
        """Read a template, and patches of it in the order in which they are merged.

        Args:
            paths: Files, or a folder: its `job_template.yaml`, and then its other `*.yaml` by name.

        Raises:
            EnvironmentProblem: If a file cannot be read, or is no YAML.
            ConfigError: If anything in it is wrong.
        """
        files = [file for path in paths for file in _files(path)]
        values: Any = {}
        for file in files:
            values = merged(values, _read_yaml(file))
        return parse_config(cls, values, title=f"template of training jobs {', '.join(map(str, files))}")

    @classmethod
    def of_environment(cls) -> Self:
        """Read the template that the environment names, with what the driver's own task was given.

        Raises:
            EnvironmentProblem: If it names none, or what it names cannot be read.
            ConfigError: If anything in it is wrong.
        """
        path = os.environ.get(TEMPLATE_VARIABLE)
        if not path:
            raise EnvironmentProblem(
                f"{TEMPLATE_VARIABLE} is not set: it is the path of the platform's template of training jobs; "
                "k8s/base/job_template.yaml is one to start from"
            )
        template = cls.read(Path(path))
        if "image" not in template.container and (image := os.environ.get(IMAGE_VARIABLE)):
            template = template.with_image(image)
        if text := os.environ.get(TASK_CONFIG_VARIABLE):
            title = f"{TASK_CONFIG_VARIABLE}, merged into {path}"
            patch = _task_config(text).patch(template.container.get("resources") or {})
            template = template.patched(patch, title=title)
        return template


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    first = path / TEMPLATE_FILE
    return [first, *sorted(file for file in path.glob("*.yaml") if file != first)]


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot read the template of training jobs at {path}: {error.strerror}; correct --template or "
            f"{TEMPLATE_VARIABLE}, or mount the ConfigMap that holds it there"
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        raise EnvironmentProblem(
            f"the template of training jobs at {path} is no YAML of one document; give the file {TEMPLATE_FILE}, or a "
            f"folder that holds it and its patches alone: {error}"
        ) from error


def _task_config(text: str) -> TaskConfig:
    try:
        values = json.loads(text)
    except ValueError as error:
        what = f"{TASK_CONFIG_VARIABLE} is no JSON ({error}); unset it, or set a TaskConfig"
        raise EnvironmentProblem(what) from error
    return parse_config(TaskConfig, values, title=TASK_CONFIG_VARIABLE)


def job_name(label: str, *ingredients: object) -> str:
    """Make a name for a job: readable, and different if any of the ingredients is; a DNS label."""
    readable = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    digest = short_hash(ingredients)
    return f"{readable[: MAX_NAME_LENGTH - len(digest) - 1].rstrip('-')}-{digest}"


def short_hash(values: object) -> str:
    """Hash what JSON can say to 8 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def training_pod(template: JobTemplate, arguments: Sequence[str], *, labels: Mapping[str, str]) -> dict[str, Any]:
    """Make the template of the pods that run the worker with these arguments, one on every node.

    Args:
        template: What the platform decides.
        arguments: Of the worker.
        labels: Labels besides those of the template.

    Raises:
        EnvironmentProblem: If nothing names an image.
    """
    if "image" not in template.container:
        raise EnvironmentProblem(
            f"the container {CONTAINER!r} of the template of training jobs names no image; name one there, set "
            f"{IMAGE_VARIABLE} to the driver's own, or give `med42 k8s render --image`"
        )
    pod = copy.deepcopy(template.pod)
    metadata = pod.setdefault("metadata", {})
    metadata["labels"] = {**metadata.get("labels", {}), **labels}
    meeting = {"PET_RDZV_CONF": f"timeout={math.ceil(3600 * template.max_hours_waiting)}"}  # where, the operator says
    node = {"name": NODE_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    variables: list[dict[str, Any]] = [node] + [
        {"name": name, "value": value} for name, value in {**meeting, **_budget(template), **_grace(pod)}.items()
    ]
    for container in _containers(pod):
        if container.get("name") == CONTAINER:
            container.update(command=list(_COMMAND), args=list(arguments))
            container["env"] = [*container.get("env", []), *variables]
    return pod


def make_pytorchjob(
    template: JobTemplate,
    name: str,
    arguments: Sequence[str],
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """Make the PyTorchJob that runs the worker with these arguments on every node.

    Args:
        template: What the platform decides.
        name: The job's name, of `job_name`.
        arguments: Of the worker.
        labels: Labels of the job and its pods.
        annotations: Annotations of the job.

    Raises:
        EnvironmentProblem: If nothing names an image.
    """
    pod = training_pod(template, arguments, labels=labels)
    replicas = {"Master": _replicas(1, pod)}
    if template.nodes > 1:
        replicas["Worker"] = _replicas(template.nodes - 1, copy.deepcopy(pod))
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "labels": {**template.labels, **labels}, "annotations": dict(annotations)},
        "spec": {
            "nprocPerNode": str(template.processes_per_node),
            "runPolicy": {**_run_policy(template), **template.run_policy},
            "pytorchReplicaSpecs": replicas,
        },
    }


def _run_policy(template: JobTemplate) -> dict[str, Any]:
    return {
        # The operator gives up when the restarts of all pods together reach this.
        "backoffLimit": template.max_restarts * _RESTARTS_OF_A_POD * template.nodes + 1,
        # The master's success is the job's; what still runs then would keep its GPUs.
        "cleanPodPolicy": "Running",
        "ttlSecondsAfterFinished": _SECONDS_KEPT,
    }


def _budget(template: JobTemplate) -> dict[str, str]:
    """Tell how often training may start from the same step: the operator forgets the restarts of pods that are gone."""
    return {MAX_RESTARTS_VARIABLE: str(template.max_restarts)} if template.max_restarts else {}


def _grace(pod: Mapping[str, Any]) -> dict[str, str]:
    """Tell torchrun how long Kubernetes waits for the pod; left alone it kills its processes after 30 seconds."""
    given = pod["spec"].get("terminationGracePeriodSeconds")
    seconds = GRACE_SECONDS if given is None else given
    return {GRACE_VARIABLE: str(max(1, seconds - _SECONDS_TO_TELL))}


def _replicas(count: int, pod: Mapping[str, Any]) -> dict[str, Any]:
    return {"replicas": count, "restartPolicy": "OnFailure", "template": pod}


def _containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    spec = pod.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    return [each for each in containers if isinstance(each, dict)] if isinstance(containers, list) else []
