"""Kubeflow component of the stage `answer_questions`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def answer_questions(
    settings: str,
    section: str,
    store: str,
    items: str,
    base: str,
    model: str,
    answers: dsl.OutputPath(str),
) -> dsl.ContainerSpec:
    """Answer one shard's share of the questions that evaluate marks."""
    return stage_container("answer_questions")
