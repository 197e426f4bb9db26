"""Kubeflow component of the stage `assemble`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def assemble(
    settings: str,
    section: str,
    store: str,
    data: str,
    dataset: dsl.OutputPath(str),
    card: dsl.Output[dsl.Markdown],
) -> dsl.ContainerSpec:
    """Turn the publishers' files into one sampled training mixture."""
    return stage_container("assemble")
