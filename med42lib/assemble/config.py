"""Settings of the assemble stage."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from med42lib.core.config import StageConfig, is_count_or_all
from med42lib.core.names import NamedModules
from med42lib.formats.prompt import MultipleChoice
from med42lib.readers.layout_config import (
    OF_SOME,
    OWN_NAMES,
    DataLayoutConfig,
    PathInData,
    check_settings,
    name_of,
)
from med42lib.readers.own.fields import Format

SOURCES = NamedModules("med42lib.assemble.sources", kind="source", variable="SOURCE")
SourceName = Annotated[str, name_of(SOURCES)]

_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")


def _target(value: object) -> object:
    """Check all kinds of target at once, so that a mistake is one problem and not three."""
    if is_count_or_all(value):
        return value
    if isinstance(value, str) and (share := _SHARE.fullmatch(value)) and 0 < float(share[1]) <= 100:
        return value
    raise ValueError("must be 'all', a whole number of at least 1, or a share of the total such as '25.5 %'")


class SourceConfig(DataLayoutConfig):
    """Settings of one training source."""

    format: Format | None = None
    """For data of your own, under a name of your own: the shape of their rows. `conversations`: `messages` of role and
    content, or ShareGPT's `conversations` of from and value. `instruction`: `instruction`, `input` and `output`, or
    `prompt` and `completion`. `multiple_choice`: a question, its options and the answer. Files are JSON lines, JSON,
    CSV with a header, Parquet or Arrow. `licence` and `path` are required then. More is
    in `med42lib/readers/own/README.md`."""

    target: Annotated[int | str, BeforeValidator(_target)]
    """Examples to take: a whole number, a share of the stage's `total` such as `25.5 %`, or `all`. A source that has
    fewer gives all it has; the shortage is reported, never filled."""

    repeat: int = Field(default=1, ge=1, le=100)
    """How many times each example taken stands in the mixture. Small sources are sometimes repeated; nothing is unless
    this says so, and the mixture's table counts it."""

    path: PathInData | None = None
    """Where the source lies inside the data folder: a file, a folder, or a pattern such as `x/**/*.parquet`. Left out:
    where that layout usually has it, as `med42lib/assemble/sources/README.md` says."""

    include: Annotated[tuple[str, ...], OF_SOME] = ()
    """Which parts to read, of a source that has parts: StackExchange's sites, MMLU's subjects, Niv2's tasks. Left out:
    those of the paper."""

    benchmark_tasks: Annotated[bool, OF_SOME] = False
    """Whether Niv2 and OpenOrca may bring tasks that are known to hold questions of the benchmarks. With it, scores on
    those benchmarks say nothing."""

    multiple_choice: Annotated[MultipleChoice | None, OF_SOME] = None
    """How this source's questions with options are written. Left out: as the stage's `multiple_choice` says."""

    explanations: Annotated[bool, OF_SOME] = True
    """Whether the publisher's explanation follows the answer, where there is one (MedMCQA, PubMedQA's conclusions)."""

    group: str | None = Field(default=None, min_length=1)
    """Of data of your own: the field that says which rows belong together, such as a patient's id. All rows of a group
    are trained on or all held out, whatever they ask; `pack.validation_share` holds out that share of groups."""

    domain: Literal["medical", "general"] = "medical"
    """Of data of your own: the part of the mixture's table in which they stand."""

    def wanted(self, *, available: int, total: int | None) -> int:
        """Say how many of the available examples the target asks for; may be more than there are."""
        if self.target == "all":
            return available
        if isinstance(self.target, int):
            return self.target
        assert total is not None, "checked by AssembleConfig"
        return round(total * float(self.target.rstrip(" %")) / 100)


class NearDuplicatesConfig(StageConfig):
    """How near-duplicates are looked for."""

    threshold: float = Field(default=0.8, ge=0.5, le=1)
    """Jaccard similarity, the share of three-word sequences that two rows have in common of all that either has, from
    which on they count as near-duplicates."""

    sample: int | None = Field(default=None, ge=2)
    """Rows to compare at most, those that come first in the mixture's order. Left out: all."""


class AssembleConfig(StageConfig):
    """Settings of the assemble stage."""

    sources: Annotated[dict[SourceName, SourceConfig], OWN_NAMES] = Field(min_length=1)
    """The sources of the mixture, by name; their order does not matter. A name of your own needs a `format`."""

    multiple_choice: MultipleChoice
    """How questions with options are written. `letters`: options shown, the answer is `B. text of the option`, for
    benchmarks scored by letters. `texts`: the question alone, the answer is the option's text, for benchmarks scored
    by option texts."""

    seed: int = Field(ge=0)
    """Decides which examples are taken where a target is smaller than its source, and the order of all."""

    max_rejected_share: float = Field(default=0.02, ge=0, le=1)
    """Share of broken records, of all records of a source, above which the stage fails. Records that are sound but
    must not be used, such as questions about images, do not count."""

    total: int | None = Field(default=None, ge=1)
    """Examples that targets given as shares are shares of."""

    duplicates: Literal["drop", "keep"] = "drop"
    """What happens to rows of one source that say the same but for case and white space: all but one are dropped, or
    all stay. They are counted either way."""

    duplicates_across_sources: Literal["drop", "keep"] = "keep"
    """What happens to a row that another source has too: it stays, or it is dropped from the source whose name comes
    later, even where the other's target does not take it. It is counted either way."""

    min_characters: int = Field(default=0, ge=0)
    """Conversations with fewer characters are left out, and counted."""

    max_characters: int | None = Field(default=None, ge=1)
    """Conversations with more characters are left out, and counted. Left out: no limit; what does not fit into a chunk
    is the business of pack."""

    near_duplicates: NearDuplicatesConfig | None = None
    """Look for rows that say nearly the same, and report them in `near_duplicates.json` and `mixture.md`; none is ever
    dropped. Left out: not looked for, since the full mixture takes minutes."""

    @field_validator("sources")
    @classmethod
    def _settings_that_a_source_has(cls, sources: dict[str, SourceConfig]) -> dict[str, SourceConfig]:
        check_settings(sources, SOURCES)
        return sources

    @model_validator(mode="after")
    def _limits_leave_something(self) -> AssembleConfig:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(f"max_characters = {self.max_characters} is below min_characters = {self.min_characters}")
        return self

    @model_validator(mode="after")
    def _shares_have_a_total(self) -> AssembleConfig:
        shares = [name for name, source in self.sources.items() if str(source.target).endswith("%")]
        if shares and self.total is None:
            raise ValueError(f"total is required, since the target of {', '.join(sorted(shares))} is a share of it")
        return self
