"""Kubeflow component of the stage `train`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component  # type: ignore[untyped-decorator]
def train(
    config: str,
    store: str,
    packed: str,
    model: str,
    trained: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Fine-tune the model, fully or with LoRA."""
    return stage_container("train")
