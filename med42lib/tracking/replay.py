"""What MLflow is told of a run: one record per stage, taken from manifests and metrics. Knows no MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from med42lib.store.artifacts import Source
from med42lib.store.lineage import Lineage, Output
from med42lib.store.manifest import Manifest
from med42lib.store.metrics import MetricPoint
from med42lib.tracking.data_inputs import DataInput, data_inputs, mixtures_behind
from med42lib.tracking.names import KEY_TAG, flatten, mlflow_name


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One call of a stage: what becomes a child run.

    `assembled` is the mixture that its training data came from, `rows` says how many rows each output of the run has,
    by its address.
    """

    name: str
    outputs: tuple[Output, ...]
    assembled: Output | None = None
    rows: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        """The manifest of the first output; settings, inputs and times are the same in all of them."""
        return self.outputs[0].manifest

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the outputs are read."""
        return tuple(output.source for output in self.outputs)

    @property
    def end_ms(self) -> int:
        """When the stage finished, in milliseconds since 1970."""
        return int(datetime.fromisoformat(self.manifest.created_at).timestamp() * 1000)

    @property
    def start_ms(self) -> int:
        """When the stage started, in milliseconds since 1970."""
        return self.end_ms - round(self.manifest.seconds * 1000)

    def params(self) -> dict[str, str]:
        """Give the stage's settings, flattened."""
        return flatten(self.manifest.config)

    def tags(self) -> dict[str, str]:
        """Give what identifies the call and its outputs."""
        tags = {KEY_TAG: self.manifest.key, "med42.stage": self.manifest.stage}
        for output in self.outputs:
            target = output.manifest.target
            tags[f"med42.digest.{target}"] = output.manifest.digest
            tags[f"med42.address.{target}"] = output.source.address
            if output.manifest.rows is not None:
                tags[f"med42.rows.{target}"] = str(output.manifest.rows)
        return tags | {f"med42.version.{name}": version for name, version in self.manifest.versions.items()}

    def data(self) -> list[DataInput]:
        """Give the data sets that the stage read, and the mixture that a training's data came from."""
        return data_inputs(self.manifest, self.assembled, self.rows)

    def metrics(self) -> Iterator[MetricPoint]:
        """Read the numbers that the stage recorded, fetching them from the store if need be."""
        for source in self.sources:
            for point in source.metrics():
                yield replace(point, key=mlflow_name(point.key))


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The whole run, which becomes the parent of its stages' runs.

    `digest` identifies it, `params` are the settings that matter, `tags` stand beside those that the runs have anyway.
    The report's files but the page of all pairs become its artifacts, and the report's metrics and data sets its own.
    """

    name: str
    digest: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    stages: Sequence[StageRecord]

    @property
    def report(self) -> StageRecord:
        """The report's record."""
        return next(record for record in self.stages if record.manifest.stage == "report")


def stage_records(lineage: Lineage, report: Manifest) -> list[StageRecord]:
    """Make a record of every stage call, in order, each with a name of its own.

    Args:
        lineage: The run's outputs.
        report: The report's manifest; the edges through which it read outputs name them.
    """
    names = lineage.names({entry.address: edge for edge, entry in report.inputs.items()})
    assembled = mixtures_behind(lineage.outputs)
    rows = {output.source.address: output.manifest.rows for output in lineage.outputs}
    named = zip(names, lineage.stage_runs(), strict=True)
    return [StageRecord(name, outputs, assembled.get(outputs[0].source.address), rows) for name, outputs in named]
