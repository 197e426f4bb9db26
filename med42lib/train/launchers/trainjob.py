"""A training as a TrainJob of Kubeflow Trainer 2, experimental: rendered for `kubectl apply`, watched by nobody.

    TrainingRuntime: the pods of a PyTorchJob's template, and how often all begin anew ─┐
                                                                                       ├─► JobSet ─► one Job, its pods
    TrainJob: how many nodes, and processes on each                                    ─┘

Only fields that Trainer 2.0 to 2.3 all have: what overrides a runtime has had three names in them, so each job has a
runtime of its own, which nothing overrides. Trainer gives torchrun its `PET_*` variables, by which the agents meet, at
port 29500. JobSet replaces all pods of a training when one fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import brief
from med42lib.train.launchers.patches import CONTAINER
from med42lib.train.launchers.template import JobTemplate, training_pod

GROUP_VERSION, KIND, RUNTIME_KIND = "trainer.kubeflow.org/v1alpha1", "TrainJob", "TrainingRuntime"
_NODE = "node"
"""What Trainer wants both the job in a runtime and its container to be called; the master's address is made of it."""

_STEP = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}


def make_trainjob(
    template: JobTemplate,
    name: str,
    arguments: Sequence[str],
    *,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Make the TrainJob that runs the worker with these arguments on every node, after the runtime that it names.

    Args:
        template: What the platform decides.
        name: The name of both, of `job_name`.
        arguments: Of the worker.
        labels: Labels of both and of the pods.
        annotations: Annotations of the TrainJob.

    Raises:
        ConfigError: If the template has fields of a PyTorchJob's `runPolicy`.
        EnvironmentProblem: If nothing names an image.
    """
    if template.run_policy:
        problem = Problem(
            "run_policy",
            f"is of PyTorchJobs, and a TrainJob has none (given: {brief(template.run_policy)}); leave it out, "
            "or render a PyTorchJob",
        )
        raise ConfigError("template of training jobs", [problem])
    common = {**template.labels, **labels}
    pod = training_pod(template, arguments, labels=labels)
    return [
        _object(RUNTIME_KIND, {"name": name, "labels": dict(common)}, _runtime(_as_trainer_wants(pod), template)),
        _object(
            KIND,
            {"name": name, "labels": dict(common), "annotations": dict(annotations)},
            {
                "runtimeRef": {"kind": RUNTIME_KIND, "name": name},
                "trainer": {"numNodes": template.nodes, "numProcPerNode": template.processes_per_node},
            },
        ),
    ]


def _object(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": GROUP_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _runtime(pod: Mapping[str, Any], template: JobTemplate) -> dict[str, Any]:
    # No ttlSecondsAfterFinished: Trainer 2.2 begins a failed TrainJob again when its JobSet is gone.
    jobs = {
        "failurePolicy": {"maxRestarts": template.max_restarts},
        "replicatedJobs": [
            {"name": _NODE, "template": {"metadata": {"labels": _STEP}, "spec": {"backoffLimit": 0, "template": pod}}}
        ],
    }
    return {"mlPolicy": {"torch": {}}, "template": {"spec": jobs}}


def _as_trainer_wants(pod: Mapping[str, Any]) -> dict[str, Any]:
    spec = pod["spec"]
    containers = [{**each, "name": _NODE} if each["name"] == CONTAINER else each for each in spec["containers"]]
    return {**pod, "spec": {**spec, "containers": containers, "restartPolicy": "Never"}}
