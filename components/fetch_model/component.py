"""Kubeflow component of the stage `fetch_model`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def fetch_model(
    settings: str,
    section: str,
    store: str,
    weights: str,
    model: dsl.OutputPath(str),
) -> dsl.ContainerSpec:
    """Mirror the base model's weights and tokenizer into the store."""
    return stage_container("fetch_model")
