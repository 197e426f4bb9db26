"""What the environment says of this machine: numbers, cores, a cluster, and whether libraries may ask a hub."""

from __future__ import annotations

import os

from med42lib.core.errors import EnvironmentProblem

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""With these Hugging Face's libraries ask no hub. They read them once, when they are imported."""


def number_from_environment(variable: str) -> int | None:
    """Read a whole number above 0 from a variable of the environment; None if it is not set.

    Raises:
        EnvironmentProblem: If it says something else.
    """
    value = os.environ.get(variable)
    if value is None:
        return None
    if not value.isdecimal() or int(value) == 0:
        raise EnvironmentProblem(f"{variable}={value!r}: expected a whole number above 0")
    return int(value)


def num_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_pod() -> bool:
    """Say whether this process runs in a container on Kubernetes, where the kubelet sets this variable."""
    return "KUBERNETES_SERVICE_HOST" in os.environ
