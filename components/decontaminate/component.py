"""Kubeflow component of the stage `decontaminate`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def decontaminate(
    settings: str,
    section: str,
    store: str,
    dataset: str,
    items: str,
    encoder: str,
    embedded: dict,
    training: dsl.OutputPath(str),
    contamination: dsl.OutputPath(str),
    overlap: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Find the evaluation items that resemble training examples."""
    return stage_container("decontaminate")
