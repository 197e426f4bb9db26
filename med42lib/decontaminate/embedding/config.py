"""Settings of embed_questions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from med42lib.core.config import StageConfig

TextKind = Literal["question", "request"]


class EmbedQuestionsConfig(StageConfig):
    """Which questions one shard embeds; of all shards a spec says it: `decontaminate.text`, `decontaminate.shards`."""

    text: TextKind
    """What of an example and of an item is embedded: as in the settings of decontaminate."""

    shard: int = Field(ge=1)
    """Which of the shards this is, counted from 1."""

    shards: int = Field(ge=1)
    """How many there are. Their vectors together are the same for every number."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> EmbedQuestionsConfig:
        if self.shard > self.shards:
            raise ValueError(f"shard must be at most the number of shards, {self.shards}; it is {self.shard}")
        return self
