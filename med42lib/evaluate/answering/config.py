"""Settings of answer_questions."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from med42lib.evaluate.config import AskingConfig, EvaluateConfig
from med42lib.formats.shards import ShardConfig, shard_names


class AnswerQuestionsConfig(AskingConfig, ShardConfig):
    """Which questions one shard answers, and how; a spec says it in `evaluate`."""

    batch_size: int = Field(default=8, ge=1)
    """Sequences per forward pass, as in the settings of evaluate. Shards take whole batches, so that it also decides
    which answers are whose."""

    @classmethod
    def of_all(cls, config: EvaluateConfig) -> dict[str, AnswerQuestionsConfig]:
        """Give the settings of the shards by their numbers; there are none where evaluate answers by itself."""
        names = shard_names(config.shards)
        return {name: cls(**asking(config), shard=int(name), shards=config.shards) for name in names}


def asking(config: AskingConfig) -> dict[str, Any]:
    """Give the settings that evaluate and its shards share."""
    return config.model_dump(mode="json", include=set(AskingConfig.model_fields))
