"""Settings of decontaminate."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from med42lib.core.config import SPEED_ONLY, StageConfig
from med42lib.decontaminate.embedding.config import EmbedQuestionsConfig, TextKind
from med42lib.formats.shards import MOST_SHARDS, shard_names


class DecontaminateConfig(StageConfig):
    """When two questions count as the same, and what happens then."""

    threshold: float = Field(default=0.8, gt=0, lt=1)
    """Cosine similarity above which, strictly, a pair counts as contaminated; the paper's is 0.8 (appendix A.4)."""

    text: TextKind = "question"
    """What of an example and of an item is compared. Of a conversation every turn of the user is, each by itself.

    `question`: the bare question, so that a shared format cannot make a match, nor a different one hide it.
    `request`: all that is asked, with options and context: in training, what the prompter says. The paper does
    not say which it used. Of the two contaminated pairs it prints (figure A.1), MiniLM puts the one at 0.88 as
    questions and 0.90 with options, the other at 0.75 and 0.91: `request` finds both. It costs several times
    the embedding work, and more texts are longer than the encoder reads: they are compared in windows.
    """

    generic_stems: Literal["tell_apart", "count_as_leaks"] = "tell_apart"
    """What becomes of pairs whose item is a stem without a matter of its own: "Which of the following is true?".

    `tell_apart`: such a pair is a leak only if the example speaks of the item's right option, or of half its options;
    where items ask one question of several contexts, only if it has half of the item's. The others are written to
    `stems.jsonl` and counted in the summary; they flag no item and drop no example.
    `count_as_leaks`: the paper's rule, cosine alone. With `text: request` options are compared anyway, and nothing is
    told apart.
    """

    action: Literal["flag", "drop_training"] = "flag"
    """What becomes of the training examples in such pairs.

    `flag`, as in the paper: they stay, and the report scores the evaluation again without the flagged items.
    `drop_training`: they are left out of training. Items are flagged either way.
    """

    dropped_by: Literal["cosine", "either"] = "cosine"
    """Which pairs lose their example with `action: drop_training`.

    `cosine`: those above the threshold, the paper's rule. `either`: those too that the second detector alone finds,
    because the words of the item's question stand in the example one for one, or 13 of them in a row. They are in
    `overlaps.jsonl` and in the report either way, and flag no item.
    """

    rows_per_block: Annotated[int, SPEED_ONLY] = Field(default=512, ge=1)
    """Training questions compared at a time by each core; bounds memory at about 5 bytes for each of them and
    evaluation question (11,904 questions: 30 MB for each core), and does not change the result."""

    shards: Annotated[int, SPEED_ONLY] = Field(default=1, ge=1, le=MOST_SHARDS)
    """Tasks that embed the questions side by side, each its share, before they are compared. The result is the same for
    every number; with 1 there is no such task, and decontaminate embeds them itself.

    Two cores embed about 190 questions a second: the paper's 706,713 examples take them an hour (`med42 plan` works it
    out), and 16 shards on as many nodes about 4 minutes. A shard of less than 10,000 questions is not worth its pod's
    start. On one machine, which runs one task after the other and embeds with all cores, 1 is best.
    """

    @model_validator(mode="after")
    def _something_is_dropped(self) -> Self:
        if self.dropped_by == "either" and self.action == "flag":
            raise ValueError(
                "dropped_by: either has no effect with action: flag; set action: drop_training, or leave it out"
            )
        return self

    def embedding(self) -> dict[str, EmbedQuestionsConfig]:
        """Give the settings of the shards by their numbers; there are none where decontaminate embeds by itself."""
        names = shard_names(self.shards)
        return {name: EmbedQuestionsConfig(text=self.text, shard=int(name), shards=self.shards) for name in names}
