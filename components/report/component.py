"""Kubeflow component of the stage `report`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component  # type: ignore[untyped-decorator]
def report(
    config: str,
    store: str,
    dataset: str,
    items: str,
    contamination: str,
    packed: str,
    full: str,
    lora: str,
    base_scores: str,
    full_scores: str,
    lora_scores: str,
    report: dsl.OutputPath(str),  # type: ignore[valid-type]
) -> dsl.ContainerSpec:
    """Write the tables, figures and statistics of the run."""
    return stage_container("report")
