"""Which requests are scored in one forward pass, and which shard scores which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from med42lib.evaluate.answers import Answered, Request, Tokens

T = TypeVar("T")
Scorer = Callable[[Sequence[Request]], Mapping[Request, Answered]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests, and what scores them: the bits of the answers depend on both."""

    requests: tuple[Request, ...]
    scorer: Scorer

    @property
    def num_inputs(self) -> int:
        """Count the distinct inputs: answers of one token to the same prompt share one."""
        return len({request.read for request in self.requests})


@dataclass(frozen=True, slots=True)
class Share:
    """Every `shards`-th batch, beginning with the `shard`-th, from 1: each shard has some of each length."""

    shard: int = 1
    shards: int = 1

    def of(self, batches: Sequence[T]) -> Sequence[T]:
        """Choose this shard's batches; there may be none."""
        return batches[self.shard - 1 :: self.shards]


WHOLE = Share()


def in_batches(requests: Iterable[Request], batch_size: int, scorer: Scorer) -> Iterator[Batch]:
    """Gather requests by prompt, prompts of like length together, until a batch has so many distinct inputs.

    The longest come first. A prompt's requests stay together, so that a batch may be larger.
    """
    by_prompt: dict[Tokens, list[Request]] = defaultdict(list)
    for request in requests:
        by_prompt[request.prompt].append(request)
    batch: list[Request] = []
    num_inputs = 0
    for _, group in sorted(by_prompt.items(), key=lambda item: (-len(item[0]), item[0])):
        inputs = len({request.read for request in group})
        if batch and num_inputs + inputs > batch_size:
            yield Batch(tuple(batch), scorer)
            batch, num_inputs = [], 0
        batch += group
        num_inputs += inputs
    if batch:
        yield Batch(tuple(batch), scorer)
