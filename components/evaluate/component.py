"""Kubeflow component of the stage `evaluate`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component  # type: ignore[untyped-decorator]
def evaluate(
    settings: str,
    section: str,
    store: str,
    items: str,
    base: str,
    model: str,
    answers: dict,  # type: ignore[type-arg]
    scores: dsl.OutputPath(str),  # type: ignore[valid-type]
    accuracy: dsl.Output[dsl.Metrics],
) -> dsl.ContainerSpec:
    """Score a model on every evaluation item."""
    return stage_container("evaluate")
