"""Run the pipeline in its containers on this machine, through `kfp.local`'s runner for Docker.

A container gets what a pod with restricted security gets: a user that is not root, a root file system that cannot be
written, one volume that can, no capabilities. It is in this machine's network, so that servers here can be reached.
"""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import docker.errors
from kfp import local

from med42lib.core.errors import EnvironmentProblem

POD: Mapping[str, Any] = {
    "cap_drop": ["ALL"],
    "network_mode": "host",
    "read_only": True,
    "security_opt": ["no-new-privileges"],
    "shm_size": "1g",
    "tmpfs": {"/scratch": "mode=1777,exec"},
}
"""How a container is started, as docker's own library calls it."""

_RUN_LABEL = "io.med42.run"
_USER_FOR_ROOT = 10_001


def run_in_docker(pipeline: Any, arguments: Mapping[str, Any], environment: Mapping[str, str]) -> str | None:
    """Run a pipeline, each task in a container of its image; what they print is printed.

    Args:
        pipeline: What `pipelines.med42.med42` gives.
        arguments: The pipeline's parameters.
        environment: Variables of every container: where servers are, and credentials.

    Returns:
        The address of the report, or None if a task failed; it has said why.

    Raises:
        EnvironmentProblem: If no Docker answers, or it lacks an image.
    """
    run = uuid.uuid4().hex
    with closing(check_docker(pipeline)) as client, tempfile.TemporaryDirectory(prefix="med42-docker-") as root:
        # The containers' user writes outputs' addresses there.
        os.chmod(root, 0o777)
        user = f"{os.getuid() or _USER_FOR_ROOT}:0"
        runner = local.DockerRunner(**POD, user=user, environment=dict(environment), labels={_RUN_LABEL: run})
        local.init(runner, pipeline_root=root, workspace_root=f"{root}/workspace")
        try:
            with warnings.catch_warnings():
                # Resources are for a cluster; kfp.local says at each task that they do nothing here.
                warnings.filterwarnings("ignore", message=".*have no effect in the current local runner")
                pipeline(**arguments)
        except RuntimeError as error:
            print(error)
            return None
        finally:
            _end_containers(client, run)
        [report] = Path(root).glob("*/report/report")
        return report.read_text(encoding="utf-8")


def check_docker(pipeline: Any) -> docker.DockerClient:
    """Connect to Docker, and look for the pipeline's images there.

    Raises:
        EnvironmentProblem: If no Docker answers, or it lacks an image.
    """
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise EnvironmentProblem(f"no Docker answers ({error}): start its daemon, or use `make demo`") from error
    executors = pipeline.pipeline_spec.deployment_spec["executors"].values()
    wanted = {executor["container"]["image"] for executor in executors}
    if missing := sorted(reference for reference in wanted if not _has(client, reference)):
        raise EnvironmentProblem(f"Docker lacks the images {', '.join(missing)}: make images")
    return client


def _has(client: docker.DockerClient, reference: str) -> bool:
    """Ask Docker itself, which knows an image by tag, by digest, and with or without its own hub's name."""
    try:
        client.images.get(reference)
    except docker.errors.ImageNotFound:
        return False
    return True


def _end_containers(client: docker.DockerClient, run: str) -> None:
    """End what an interrupted run leaves behind."""
    for container in client.containers.list(filters={"label": f"{_RUN_LABEL}={run}"}):
        container.kill()
