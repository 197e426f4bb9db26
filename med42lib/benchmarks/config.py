"""Settings of the benchmarks stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from med42lib.benchmarks.names import known_family
from med42lib.core.config import StageConfig
from med42lib.core.sampling import DEFAULT_SEED
from med42lib.readers.layout_config import NOT_WHOLE_ON_THE_HUB, DataLayoutConfig

FamilyName = Annotated[str, AfterValidator(known_family)]

FAMILIES_WITH_TOPICS = ("mmlu",)
FAMILIES_WITHOUT_HUB_LAYOUT = ("usmle",)


class BenchmarkConfig(DataLayoutConfig):
    """Settings of one benchmark."""

    path: str = Field(min_length=1)
    """Where the benchmark lies inside the data folder. In the publisher's layout a file; for MMLU a folder of
    `<topic>_test.csv`, for USMLE one with the folders `sample_exam` and `self_assessment`. In the hub's layout a file,
    a pattern such as `medqa/*.parquet`, or a folder, of which the split that is scored is read; USMLE has no such
    layout. With `hub`, `path` is inside that repository: `.` is all of it."""

    limit: int | None = Field(default=None, ge=1)
    """Items to keep, chosen by a keyed hash of their ids; for MMLU, of each topic. Left out: all of them. A larger
    limit keeps the same items and more."""

    topics: tuple[str, ...] = ()
    """Topics to read, where a benchmark has several (MMLU). Left out: all that are there."""


class BenchmarksConfig(StageConfig):
    """Settings of the benchmarks stage."""

    include: dict[FamilyName, BenchmarkConfig] = Field(min_length=1)
    """The benchmarks, by name; their order does not matter."""

    seed: int = Field(default=DEFAULT_SEED, ge=0)
    """Decides which items a `limit` keeps."""

    max_rejected_share: float = Field(default=0.01, ge=0, le=1)
    """Share of broken records, of all records of a benchmark, above which the stage fails. Records that are sound but
    cannot be asked, such as questions about images, do not count."""

    @field_validator("include")
    @classmethod
    def _settings_that_a_benchmark_has(cls, include: dict[str, BenchmarkConfig]) -> dict[str, BenchmarkConfig]:
        for name, settings in include.items():
            if settings.topics and name not in FAMILIES_WITH_TOPICS:
                raise ValueError(f"topics are for {', '.join(FAMILIES_WITH_TOPICS)} only, not for {name}")
            if settings.layout == "huggingface" and name in FAMILIES_WITHOUT_HUB_LAYOUT:
                raise ValueError(f"{name} has the layout publisher only: leave layout out")
            if settings.hub is not None and name in NOT_WHOLE_ON_THE_HUB:
                raise ValueError(f"the hub lacks a file that {name} needs: download it into the data folder instead")
        return include
