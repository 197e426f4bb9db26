"""Settings of `pack`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from med42lib.core.config import StageConfig


class PackConfig(StageConfig):
    """How samples are laid out in training sequences."""

    policy: Literal["concatenate", "best_fit"]
    """`concatenate`: the paper's. All samples in one stream, cut every `chunk_length` tokens; a sample may be cut in
    two, positions run on and attention is shared by all samples in a chunk.
    `best_fit`: whole samples, placed so that few slots stay empty; positions and attention restart with each."""

    chunk_length: int = Field(ge=2, le=1 << 20)
    """Tokens per training sequence, padding included; the paper's is 4,096. No more than the model's context."""

    too_long: Literal["drop", "truncate"] | None = Field(default=None, validate_default=True)
    """For `best_fit` only, and required there: what happens to a sample of more than `chunk_length` tokens.
    `drop` leaves it out; `truncate` keeps its first `chunk_length` tokens, or leaves it out if no part of a response
    is among them. Both are counted, and what is left out is listed in `rejects.jsonl`."""

    seed: int = Field(ge=0, lt=1 << 32)
    """Seed of the order in which training meets the samples."""

    validation_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the questions that are held out of training, so that `train` can measure its loss on them; which ones,
    the text of the question alone decides, so that the same question stays on one side. Paper: none. 0.01 shows
    whether three or eight epochs are too many."""

    @field_validator("too_long")
    @classmethod
    def _fits_policy(cls, value: str | None, info: ValidationInfo) -> str | None:
        policy = info.data.get("policy")
        if policy == "best_fit" and value is None:
            raise ValueError("must be drop or truncate with policy best_fit, which never cuts a sample in two")
        if policy == "concatenate" and value is not None:
            raise ValueError(
                "does not apply to policy concatenate, which cuts samples where chunks end; remove it or set it to null"
            )
        return value
