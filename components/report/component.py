"""Kubeflow component of the stage `report`."""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def report(
    settings: str,
    section: str,
    store: str,
    dataset: str,
    items: str,
    contamination: str,
    packed: str,
    trained: dict,
    scores: dict,
    report: dsl.OutputPath(str),
    page: dsl.Output[dsl.HTML],
) -> dsl.ContainerSpec:
    """Write the tables, figures and statistics of the run."""
    return stage_container("report")
