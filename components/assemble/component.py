"""Kubeflow component of the stage `assemble`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component  # type: ignore[untyped-decorator]
def assemble(
    config: str,
    store: str,
    data: str,
    dataset: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Turn the publishers' files into one sampled training mixture."""
    return stage_container("assemble")
