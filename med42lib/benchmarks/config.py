"""Settings of the benchmarks stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from med42lib.core.config import CountOrAll, StageConfig
from med42lib.core.names import NamedModules
from med42lib.core.sampling import DEFAULT_SEED
from med42lib.formats.report import POOLED
from med42lib.readers.layout_config import (
    OF_SOME,
    OWN_NAMES,
    DataLayoutConfig,
    PathInData,
    check_settings,
    name_of,
)

FAMILIES = NamedModules("med42lib.benchmarks.families", kind="benchmark", variable="FAMILY")


def _taken_for_no_other(name: str) -> str:
    """Refuse a name of the user's own that stands for something else in the report."""
    family = next((family for family in FAMILIES.names() if name.startswith(f"{family}_")), None)
    if family:
        raise ValueError(f"would be taken for a part of {family}; choose a name that does not begin so")
    if name in POOLED or name.endswith("_average"):
        raise ValueError("is what the report calls a line of several benchmarks; choose another name")
    return name


FamilyName = Annotated[str, AfterValidator(_taken_for_no_other), name_of(FAMILIES, ("multiple_choice", "lm_eval"))]


class BenchmarkConfig(DataLayoutConfig):
    """Settings of one benchmark."""

    format: Literal["multiple_choice", "lm_eval"] | None = None
    """For a benchmark of your own, under a name of your own. `multiple_choice`: a question, its options and the answer,
    in JSON lines, JSON, CSV with a header, Parquet or Arrow. `lm_eval`: a task of lm-eval, asked and scored as its YAML
    says, be it by options (`multiple_choice`) or by an answer that the model writes (`generate_until` with
    `exact_match`); code that it names (`!function`) is refused and never run. `licence` is required then. More is in
    `med42lib/readers/own/README.md`."""

    path: PathInData
    """Where the benchmark lies inside the data folder. In the publisher's layout a file; for MMLU a folder of
    `<topic>_test.csv`, for USMLE one with the folders `sample_exam` and `self_assessment`. In the hub's layout a file,
    a pattern such as `medqa/*.parquet`, or a folder, of which the split that is scored is read; USMLE has no such
    layout. With `hub`, `path` is inside that repository: `.` is all of it. Of your own questions a file, a pattern,
    or a folder, of which the test split is read. Of lm-eval a task's YAML, a group's, or a folder of tasks: several
    tasks are one benchmark, in which each is the subject of its questions."""

    limit: CountOrAll = "all"
    """Items to keep, at most; for MMLU, of each topic. They are chosen by a keyed hash of their ids, so that a larger
    limit keeps the same items and more."""

    topics: Annotated[tuple[str, ...], OF_SOME] = ()
    """Topics to read, where a benchmark has several: MMLU's, or the `subject` of your own questions. Left out: all that
    are there."""

    group: Annotated[str | None, OF_SOME] = Field(default=None, min_length=1)
    """Of your own questions: the field that says which belong together, such as a case or a patient. The report takes
    the answers to a group's questions for one draw, and not for independent ones."""


class BenchmarksConfig(StageConfig):
    """Settings of the benchmarks stage."""

    include: Annotated[dict[FamilyName, BenchmarkConfig], OWN_NAMES] = Field(min_length=1)
    """The benchmarks, by name; their order does not matter. A name of your own needs a `format`."""

    seed: int = Field(default=DEFAULT_SEED, ge=0)
    """Decides which items a `limit` keeps."""

    max_rejected_share: float = Field(default=0.01, ge=0, le=1)
    """Share of broken records, of all records of a benchmark, above which the stage fails. Records that are sound but
    cannot be asked, such as questions about images, do not count."""

    @field_validator("include")
    @classmethod
    def _settings_that_a_benchmark_has(cls, include: dict[str, BenchmarkConfig]) -> dict[str, BenchmarkConfig]:
        check_settings(include, FAMILIES)
        return include
