"""Shards: several tasks that do a stage's work side by side, each its share."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from med42lib.core.config import StageConfig

MOST_SHARDS = 64
"""Each is a task of the pipeline, and Kubeflow keeps a run's tasks in one object of limited size."""

MOST_TASKS = 170
"""Of a run in shards: Kubernetes takes 1.5 MB, and 47 tasks fill some 395 kB (`pipelines/README.md`)."""

_COMMON_TASKS = 10
"""Two commands, and eight stages that a run has once."""


class ShardConfig(StageConfig):
    """Which share is whose; of all shards a spec says how many there are."""

    shard: int = Field(ge=1)
    """Which of the shards this is, counted from 1."""

    shards: int = Field(ge=1)
    """How many there are. What they find together is the same for every number."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.shard > self.shards:
            raise ValueError(f"shard must be at most the number of shards, {self.shards}; it is {self.shard}")
        return self


def shard_names(shards: int) -> list[str]:
    """Name the tasks by their numbers, from 1; there is none where the stage does all of its work by itself."""
    return [str(number) for number in range(1, shards + 1)] if shards > 1 else []


def num_tasks(*, models: int, decontaminate: int, evaluate: int) -> int:
    """Count the tasks of a run with so many models, the base among them, and so many shards.

    Each model is evaluated, and all but the base are trained.
    """
    of_models = 2 * models - 1 + models * len(shard_names(evaluate))
    return _COMMON_TASKS + len(shard_names(decontaminate)) + of_models
