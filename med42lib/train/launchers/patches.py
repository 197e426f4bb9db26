"""What changes a template of training jobs: the platform's patches, and what a person gave the pipeline's task.

A patch is merged nearly as Kubernetes merges one:

    a mapping                                                     key by key; null removes a key
    containers, initContainers                                    by name, each merged in turn
    env, volumes, imagePullSecrets by name, volumeMounts by path  an entry replaces the one of its name
    tolerations, envFrom                                          added to those that are there
    any other list, text or number                                replaces the other
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from med42lib.core.cluster_objects import FOR_STORE, SETTINGS_MAP
from med42lib.core.config import StageConfig

CONTAINER = "pytorch"
"""What the training operator's webhook wants the container to be called."""

_MERGED_BY_NAME = ("containers", "initContainers")
_REPLACED_BY = {"env": "name", "volumes": "name", "imagePullSecrets": "name", "volumeMounts": "mountPath"}
_ADDED = ("tolerations", "envFrom")
_KINDS = ("requests", "limits")
_GPU = re.compile(r"^gpu\.|/(gpu|mig-)")
"""What clusters call their GPUs: `nvidia.com/gpu`, `nvidia.com/mig-3g.40gb`, `amd.com/gpu`, `gpu.intel.com/xe`."""

_OF_THE_DRIVER = ("MED42_", "med42-")
"""Beginnings of the names of variables and volumes that the pipeline gives its tasks."""

_OF_THE_PIPELINE = (SETTINGS_MAP, FOR_STORE)
"""What the pipeline takes its tasks' other variables from; of the training's pods, the template says it."""


def merged(base: Any, patch: Any, field: str = "") -> Any:
    """Merge a patch into what JSON can say, and leave both as they are.

    Args:
        base: What is changed.
        patch: The changes.
        field: What both are in the object around them; the rule for a list depends on it.
    """
    if isinstance(patch, Mapping):
        own = base if isinstance(base, Mapping) else {}
        together = {**own, **{name: merged(own.get(name), value, name) for name, value in patch.items()}}
        return {name: value for name, value in together.items() if value is not None}
    if not isinstance(base, list) or not isinstance(patch, list):
        return patch
    if field in _ADDED:
        return [*base, *(each for each in patch if each not in base)]
    if field in _MERGED_BY_NAME:
        return _by_key(base, patch, "name", merge=True)
    return _by_key(base, patch, _REPLACED_BY[field], merge=False) if field in _REPLACED_BY else patch


def _by_key(base: list[Any], patch: list[Any], key: str, *, merge: bool) -> list[Any]:
    if not all(isinstance(each, Mapping) for each in (*base, *patch)):
        return patch
    together = {each.get(key): each for each in base}
    for each in patch:
        together[each.get(key)] = merged(together.get(each.get(key)), each) if merge else each
    return list(together.values())


class TaskConfig(StageConfig):
    """What a person gave the pipeline's task, and Kubeflow passes on, in the words of a pod's specification."""

    model_config = ConfigDict(extra="ignore")  # what a later Kubeflow adds

    resources: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Requests and limits of the container."""

    env: list[dict[str, Any]] = Field(default_factory=list)
    """Variables of the container, references to Secrets among them."""

    tolerations: list[dict[str, Any]] = Field(default_factory=list)
    """Taints of nodes that pods may run on all the same, besides those of the template."""

    nodeSelector: dict[str, str] = Field(default_factory=dict)
    """Labels that nodes must have."""

    affinity: dict[str, Any] = Field(default_factory=dict)
    """Rules of where pods may run."""

    volumes: list[dict[str, Any]] = Field(default_factory=list)
    """Volumes of the pod."""

    volumeMounts: list[dict[str, Any]] = Field(default_factory=list)
    """Where the container sees them."""

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_not_set(cls, values: Any) -> Any:
        """Kubeflow hands over every field that it may pass on, and null for what nobody set."""
        return (
            {name: value for name, value in values.items() if value is not None} if isinstance(values, dict) else values
        )

    def patch(self, resources: Mapping[str, Any]) -> dict[str, Any]:
        """Say the same as a patch of a template of training jobs.

        Of a resource that is given, the template's request and limit are both gone. GPUs that are given are those of
        each pod, one training process for each, in place of the template's. Variables and volumes that the pipeline
        gives the driver are not the pods'.

        Args:
            resources: What the template's container asks for.
        """
        num_gpus = _num_gpus(self.resources)
        replaced = {name for name in _names(resources) if _GPU.search(name)} if num_gpus else set()
        container = {
            "name": CONTAINER,
            "resources": self._resources(replaced),
            "env": [each for each in _not_the_drivers(self.env) if _referred(each) not in _OF_THE_PIPELINE],
            "volumeMounts": _not_the_drivers(self.volumeMounts),
        }
        pod = {
            "containers": [{name: value for name, value in container.items() if value}],
            "tolerations": self.tolerations,
            "nodeSelector": self.nodeSelector,
            "affinity": self.affinity,
            "volumes": _not_the_drivers(self.volumes),
        }
        patch: dict[str, Any] = {"pod": {"spec": {name: value for name, value in pod.items() if value}}}
        return {**patch, "processes_per_node": num_gpus} if num_gpus else patch

    def _resources(self, replaced: set[str]) -> dict[str, Any]:
        gone = replaced | _names(self.resources)
        return {kind: {**dict.fromkeys(gone), **self.resources.get(kind, {})} for kind in _KINDS} if gone else {}


def _not_the_drivers(named: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in named if not each.get("name", "").startswith(_OF_THE_DRIVER)]


def _referred(variable: Mapping[str, Any]) -> str:
    """Name the ConfigMap or Secret that a variable is read from; empty if it is from none."""
    references = (variable.get("valueFrom") or {}).values()
    return next((each["name"] for each in references if "name" in each), "")


def _num_gpus(resources: Mapping[str, Mapping[str, Any]]) -> int:
    """Count what a task was given that has a slash in its name: Kubeflow passes on no devices but accelerators."""
    return sum(int(quantity) for name, quantity in resources.get("limits", {}).items() if "/" in name)


def _names(resources: Mapping[str, Any]) -> set[str]:
    return {name for kind in _KINDS for name in resources.get(kind) or ()}
