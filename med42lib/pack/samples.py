"""Training examples to tokenised samples; what cannot be packed comes out as a `Reject`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from med42lib.core.hashing import content_hash
from med42lib.formats.dataset import EXAMPLES_FILE
from med42lib.formats.prompt import Rendered, render
from med42lib.formats.records import Example
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.pack.config import PackConfig
from med42lib.pack.tokenise import SampleTokenizer, TokenisedSample

EXAMPLES_PER_BATCH = 1024
_WORD, _DIGITS = re.compile(r"\w+"), 12


@dataclass(frozen=True, slots=True)
class Sample:
    """One example's tokens, as they go into the chunks."""

    example_id: str
    system: str
    tokens: TokenisedSample
    truncated: bool
    held_out: bool
    """True means for validation alone."""


def tokenised_samples(
    examples: Iterable[Example], tokenizer: SampleTokenizer, config: PackConfig
) -> Iterator[Sample | Reject]:
    """Tokenise examples in their order, holding `EXAMPLES_PER_BATCH` of them in memory."""
    rows = enumerate(examples, start=1)
    while batch := list(islice(rows, EXAMPLES_PER_BATCH)):
        tokenised = tokenizer.encode([_rendered(example, tokenizer) for _, example in batch])
        for (row, example), tokens in zip(batch, tokenised, strict=True):
            try:
                yield _sample(example, tokens, config)
            except BadRecord as bad:
                yield bad.at(EXAMPLES_FILE, row, example)


def _rendered(example: Example, tokenizer: SampleTokenizer) -> Rendered:
    return render(
        example.system,
        example.exchanges,
        control_tokens=tokenizer.control_tokens,
        end_of_answer=tokenizer.end_of_answer,
    )


def _sample(example: Example, tokens: TokenisedSample, config: PackConfig) -> Sample:
    held_out = is_held_out(example, config.validation_share)
    if not example.exchanges:
        raise BadRecord("has no exchange, so there is no response to learn from")
    if config.policy == "concatenate" or len(tokens) <= config.chunk_length:
        return Sample(example.id, example.system, tokens, truncated=False, held_out=held_out)
    detail = f"{len(tokens):,} tokens, chunk_length {config.chunk_length:,}"
    if config.too_long == "drop":
        raise ExcludedRecord("longer than chunk_length", detail)
    beginning = tokens.cut(config.chunk_length)
    if not beginning.response_T.any():
        raise ExcludedRecord("its prompt alone fills chunk_length", detail)
    return Sample(example.id, example.system, beginning, truncated=True, held_out=held_out)


def is_held_out(example: Example, share: float) -> bool:
    """Draw by the example's group; without one by the words of the question, whatever their case and signs.

    So all of a group are on one side, and so is a question that is asked twice. A larger share holds out what a smaller
    one does, and more.
    """
    drawn_by = ["group", example.group] if example.group else _WORD.findall(example.question.casefold()) or [example.id]
    drawn = int(content_hash("validation", *drawn_by, length=_DIGITS), 16)
    return drawn < share * (1 << 4 * _DIGITS)
