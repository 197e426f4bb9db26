"""Kubeflow component of the stage `evaluate`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def evaluate(
    settings: str,
    section: str,
    store: str,
    items: str,
    base: str,
    model: str,
    answers: dict,
    scores: dsl.OutputPath(str),
    accuracy: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Score a model on every evaluation item."""
    return stage_container("evaluate")
