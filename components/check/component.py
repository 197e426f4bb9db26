"""Kubeflow component that checks a whole run before anything is spent."""

from kfp import dsl

from components.common import command_container


@dsl.container_component  # type: ignore[untyped-decorator]
def check(
    spec: dict,  # type: ignore[type-arg]
    models: list,  # type: ignore[type-arg]
    shards: dict,  # type: ignore[type-arg]
    train_hours: float,
    train_task_config: dict,  # type: ignore[type-arg]
    scoring_memory: dict,  # type: ignore[type-arg]
    store: str,
    training_data: str,
    benchmark_data: str,
    base_model: str,
    encoder: str,
    settings: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Check the whole spec, the inputs, the store and MLflow; write the settings that all other tasks read."""
    return command_container("check", args=["--executor-input", "{{$}}"])
