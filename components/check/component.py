"""Kubeflow component that checks a whole run before anything is spent."""

from kfp import dsl

from components.common import command_container


@dsl.container_component
def check(
    spec: dict,
    models: list,
    shards: dict,
    train_hours: float,
    train_task_config: dict,
    scoring_memory: dict,
    store: str,
    training_data: str,
    benchmark_data: str,
    base_model: str,
    encoder: str,
    settings: dsl.OutputPath(str),
) -> dsl.ContainerSpec:
    """Check the whole spec, the inputs, the store and MLflow; write the settings that all other tasks read."""
    return command_container("check", args=["--executor-input", "{{$}}"])
