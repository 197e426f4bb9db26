"""What a real cluster says of PyTorchJobs."""

from __future__ import annotations

from typing import Any

from tests.cluster.kubectl import Kubectl, KubectlError

JOB_NAME_LABEL = "training.kubeflow.org/job-name"


def find(kubectl: Kubectl, job: str) -> Any | None:
    """Read a job; None if there is none of that name."""
    try:
        return kubectl.get("pytorchjob", job)
    except KubectlError as error:
        if "NotFound" in str(error):
            return None
        raise


def is_true(kubectl: Kubectl, job: str, condition: str) -> bool:
    """Say whether a job's condition is there and true."""
    found = find(kubectl, job) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def pods_of(kubectl: Kubectl, job: str) -> list[Any]:
    """List a job's pods."""
    found: list[Any] = kubectl.get("pods", f"--selector={JOB_NAME_LABEL}={job}")["items"]
    return found


def is_running(pod: Any) -> bool:
    """Say whether a pod's container runs."""
    return bool(pod["status"].get("phase") == "Running")
