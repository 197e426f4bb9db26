"""Settings of the benchmarks stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from med42lib.benchmarks.names import known_family
from med42lib.core.config import StageConfig

FamilyName = Annotated[str, AfterValidator(known_family)]


FAMILIES_WITH_TOPICS = ("mmlu",)


class BenchmarkConfig(StageConfig):
    """Settings of one benchmark."""

    path: str = Field(min_length=1)
    """Where the benchmark lies inside the data folder: a file, or for MMLU a folder of `<topic>_test.csv`."""

    limit: int | None = Field(default=None, ge=1)
    """Items to keep, chosen by a keyed hash of their ids; for MMLU, of each topic. Left out: all of them. A larger
    limit keeps the same items and more."""

    topics: tuple[str, ...] = ()
    """Topics to read, where a benchmark has several (MMLU). Left out: all that are there."""


class BenchmarksConfig(StageConfig):
    """Settings of the benchmarks stage."""

    include: dict[FamilyName, BenchmarkConfig] = Field(min_length=1)
    """The benchmarks, by name; their order does not matter."""

    seed: int = Field(default=0, ge=0)
    """Decides which items a `limit` keeps."""

    max_rejected_share: float = Field(default=0.01, ge=0, le=1)
    """Share of broken records, of all records of a benchmark, above which the stage fails. Records that are sound but
    cannot be asked, such as questions about images, do not count."""

    @field_validator("include")
    @classmethod
    def _topics_where_there_are_some(cls, include: dict[str, BenchmarkConfig]) -> dict[str, BenchmarkConfig]:
        for name, settings in include.items():
            if settings.topics and name not in FAMILIES_WITH_TOPICS:
                raise ValueError(f"topics are for {', '.join(FAMILIES_WITH_TOPICS)} only, not for {name}")
        return include
