"""Kubeflow component of the stage `register`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def register(
    settings: str,
    section: str,
    store: str,
    trained: dict,
    package: str,
    report: str,
    registered: dsl.OutputPath(str),
    version: dsl.Output[dsl.Model],
) -> dsl.ContainerSpec:
    """Record the run in MLflow and register the chosen model."""
    return stage_container("register")
