"""Settings of embed_questions."""

from __future__ import annotations

from typing import Literal

from med42lib.formats.shards import ShardConfig

TextKind = Literal["question", "request"]


class EmbedQuestionsConfig(ShardConfig):
    """Which questions one shard embeds; of all shards a spec says it: `decontaminate.text`, `decontaminate.shards`."""

    text: TextKind
    """What of an example and of an item is embedded: as in the settings of decontaminate."""
