"""What is scored: a prompt with one of its answers, and what the model makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and one of its answers, as tokens; both have at least one."""

    prompt: Tokens
    answer: Tokens

    @property
    def read(self) -> Tokens:
        """Give what the model reads; an answer's last token is only predicted."""
        return self.prompt + self.answer[:-1]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer's log-likelihood, in nats, and whether each of its tokens was the likeliest."""

    loglikelihood: float
    is_greedy: bool


@dataclass(frozen=True, slots=True)
class Answers:
    """What a shard has found.

    `requests` are those of all shards, `loglikelihoods` are of this one's. `written` are the answers that the model
    wrote, by the numbers of their prompts among all.
    """

    requests: Sequence[Request]
    loglikelihoods: Mapping[Request, Answered]
    written: Mapping[int, str]
