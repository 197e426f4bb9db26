"""Kubeflow component of the stage `pack`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def pack(
    settings: str,
    section: str,
    store: str,
    dataset: str,
    model: str,
    packed: dsl.OutputPath(str),
) -> dsl.ContainerSpec:
    """Tokenise and pack the examples into chunks with loss masks."""
    return stage_container("pack")
