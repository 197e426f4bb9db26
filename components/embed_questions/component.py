"""Kubeflow component of the stage `embed_questions`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def embed_questions(
    settings: str,
    section: str,
    store: str,
    dataset: str,
    items: str,
    encoder: str,
    embedded: dsl.OutputPath(str),
) -> dsl.ContainerSpec:
    """Embed one shard's share of the questions that decontaminate compares."""
    return stage_container("embed_questions")
