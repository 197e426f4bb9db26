"""Kubeflow component of the stage `decontaminate`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component  # type: ignore[untyped-decorator]
def decontaminate(
    settings: str,
    section: str,
    store: str,
    dataset: str,
    items: str,
    encoder: str,
    embedded: dict,  # type: ignore[type-arg]
    training: dsl.OutputPath(str),  # type: ignore[valid-type]
    contamination: dsl.OutputPath(str),  # type: ignore[valid-type]
    overlap: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Find the evaluation items that resemble training examples."""
    return stage_container("decontaminate")
