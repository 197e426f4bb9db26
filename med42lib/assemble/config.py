"""Settings of the assemble stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

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

    path: str | None = Field(default=None, min_length=1)
    """Where the source lies inside the data folder. Left out: where the publisher's release usually has it, as the
    source's module in `med42lib/assemble/sources` says."""

    multiple_choice: MultipleChoice | None = None
    """How this source's questions with options are written. Left out: as the stage's `multiple_choice` says."""

    explanations: bool = True
    """Whether the publisher's explanation follows the answer, where there is one (PubMedQA's conclusions)."""

    licence: str | None = Field(default=None, min_length=1)
    """Licence to record with every example. Left out: the publisher's. For data of your own in a publisher's
    format."""


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
