"""Training examples to tokenised samples; what cannot be packed comes out as a `Reject`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from med42lib.formats.dataset import EXAMPLES_FILE
from med42lib.formats.prompt import render
from med42lib.formats.records import Example
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.pack.config import PackConfig
from med42lib.pack.tokenise import SampleTokenizer, TokenisedSample

EXAMPLES_PER_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One example's tokens, as they go into the chunks."""

    example_id: str
    tokens: TokenisedSample
    truncated: bool


def tokenised_samples(
    examples: Iterable[Example], tokenizer: SampleTokenizer, config: PackConfig
) -> Iterator[Sample | Reject]:
    """Tokenise examples in their order, holding `EXAMPLES_PER_BATCH` of them in memory."""
    rows = enumerate(examples, start=1)
    while batch := list(islice(rows, EXAMPLES_PER_BATCH)):
        tokenised = tokenizer.encode([render(example.system, example.exchanges) for _, example in batch])
        for (row, example), tokens in zip(batch, tokenised, strict=True):
            try:
                yield _sample(example, tokens, config)
            except BadRecord as bad:
                yield bad.at(EXAMPLES_FILE, row, example)


def _sample(example: Example, tokens: TokenisedSample, config: PackConfig) -> Sample:
    if not example.exchanges:
        raise BadRecord("has no exchange, so there is no response to learn from")
    if config.policy == "concatenate" or len(tokens) <= config.chunk_length:
        return Sample(example.id, tokens, truncated=False)
    detail = f"{len(tokens):,} tokens, chunk_length {config.chunk_length:,}"
    if config.too_long == "drop":
        raise ExcludedRecord("longer than chunk_length", detail)
    beginning = tokens.cut(config.chunk_length)
    if not beginning.response_T.any():
        raise ExcludedRecord("its prompt alone fills chunk_length", detail)
    return Sample(example.id, beginning, truncated=True)
