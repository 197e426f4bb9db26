"""Settings of the assemble stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from med42lib.assemble.names import known_source
from med42lib.core.config import StageConfig

MultipleChoice = Literal["letters", "texts"]
SourceName = Annotated[str, AfterValidator(known_source)]


def _target(value: object) -> object:
    """Check both kinds of target at once, so that a mistake is one problem and not two."""
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("must be 'all' or a whole number of at least 1")


class SourceConfig(StageConfig):
    """Settings of one training source."""

    target: Annotated[int | Literal["all"], BeforeValidator(_target)]
    """Examples to take: a whole number, or `all`. A source that has fewer gives all it has; the shortage is
    reported, never filled."""

    layout: Literal["publisher", "huggingface"] = "publisher"
    """Which form of the source to read: the publisher's own release, or the rows that the Hugging Face hub has, as
    Parquet or JSON files. The two differ in ways that matter: MedMCQA's answers count from 1 in one, from 0 in the
    other."""

    path: str | None = Field(default=None, min_length=1)
    """Where the source lies inside the data folder: a file, a folder, or a pattern such as `x/**/*.parquet`. Left out:
    where that layout usually has it, as the table of sources in the README says."""

    hub: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+@[0-9a-f]{40}$")
    """Read the source from the hub and not from the data folder: `owner/name@revision`, where the revision is the full
    commit of 40 hexadecimal digits. Needs `layout: huggingface`."""

    include: tuple[str, ...] = ()
    """Which parts to read, of a source that has parts: StackExchange's sites, MMLU's subjects, Niv2's tasks. Left out:
    those of the paper."""

    benchmark_tasks: bool = False
    """Whether Niv2 and OpenOrca may bring tasks that are known to hold questions of the benchmarks. With it, scores on
    those benchmarks say nothing."""

    multiple_choice: MultipleChoice | None = None
    """How this source's questions with options are written. Left out: as the stage's `multiple_choice` says."""

    explanations: bool = True
    """Whether the publisher's explanation follows the answer, where there is one (PubMedQA's conclusions)."""

    licence: str | None = Field(default=None, min_length=1)
    """Licence to record with every example. Left out: the publisher's. For data of your own in a publisher's
    format."""

    @model_validator(mode="after")
    def _hub_has_its_own_layout(self) -> SourceConfig:
        if self.hub is not None and self.layout != "huggingface":
            raise ValueError("hub needs layout: huggingface, since the hub's files differ from the publisher's")
        return self


class AssembleConfig(StageConfig):
    """Settings of the assemble stage."""

    sources: dict[SourceName, SourceConfig] = Field(min_length=1)
    """The sources of the mixture, by name; their order does not matter."""

    multiple_choice: MultipleChoice
    """How questions with options are written. `letters`: options shown, the answer is `B. text of the option`, for
    benchmarks scored by letters. `texts`: the question alone, the answer is the option's text, for benchmarks scored
    by option texts."""

    seed: int = Field(ge=0)
    """Decides which examples are taken where a target is smaller than its source, and the order of all."""

    max_rejected_share: float = Field(default=0.02, ge=0, le=1)
    """Share of broken records, of all records of a source, above which the stage fails. Records that are sound but
    must not be used, such as questions about images, do not count."""
