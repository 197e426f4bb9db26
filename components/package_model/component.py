"""Kubeflow component of the stage `package_model`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def package_model(
    settings: str,
    section: str,
    store: str,
    base: str,
    trained: dict,
    package: dsl.OutputPath(str),
    candidate: dsl.Output[dsl.Model],
) -> dsl.ContainerSpec:
    """Make the chosen model one folder that MLflow loads."""
    return stage_container("package_model")
