"""Kubeflow component of the stage `package_model`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component  # type: ignore[untyped-decorator]
def package_model(
    settings: str,
    section: str,
    store: str,
    base: str,
    trained: dict,  # type: ignore[type-arg]
    package: dsl.OutputPath(str),  # type: ignore[valid-type]
    candidate: dsl.Output[dsl.Model],
) -> dsl.ContainerSpec:
    """Make the chosen model one folder that MLflow loads."""
    return stage_container("package_model")
