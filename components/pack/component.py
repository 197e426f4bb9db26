"""Kubeflow component of the stage `pack`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component  # type: ignore[untyped-decorator]
def pack(
    settings: str,
    section: str,
    store: str,
    dataset: str,
    model: str,
    packed: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Tokenise and pack the examples into chunks with loss masks."""
    return stage_container("pack")
