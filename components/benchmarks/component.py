"""Kubeflow component of the stage `benchmarks`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def benchmarks(
    settings: str,
    section: str,
    store: str,
    data: str,
    items: dsl.OutputPath(str),
) -> dsl.ContainerSpec:
    """Mirror every evaluation item, with a stable id, into the store."""
    return stage_container("benchmarks")
