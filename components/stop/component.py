"""Kubeflow component that ends the trainings of a run: its exit handler."""

from kfp import dsl

from components.common import command_container


@dsl.container_component
def stop() -> dsl.ContainerSpec:
    """Delete the PyTorchJobs of this run that are still there, however the run ended."""
    return command_container("k8s", "stop", args=["--if-launched"])
