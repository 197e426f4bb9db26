"""The files in which a shard hands its answers over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TypeVar

from med42lib.core.errors import DataError
from med42lib.core.hashing import content_hash
from med42lib.core.json_file import read_json, write_json, write_json_lines
from med42lib.evaluate.answering.config import asking
from med42lib.evaluate.answers import Answered, Answers, Request
from med42lib.evaluate.config import AskingConfig
from med42lib.evaluate.journal import ANSWERS_FILE, read_answers, write_answers
from med42lib.store.artifacts import Source, Sources

SHARD_FILE, WRITTEN_FILE = "shard.json", "written.jsonl"
_ADVICE = "give an output of answer_questions"
K = TypeVar("K")
V = TypeVar("V")


def work_of(config: AskingConfig, *, items: Source, base: Source, model: Source) -> str:
    """Name what all shards do together: the same model asked the same in the same way."""
    return content_hash(json.dumps(asking(config), sort_keys=True), items.digest, base.digest, model.digest)


def write_shard(folder: Path, found: Answers, *, work: str) -> None:
    """Write what one shard has found, and what it is part of.

    Args:
        folder: Receives the files.
        found: What it has found.
        work: As `work_of` names it.
    """
    write_answers(folder / ANSWERS_FILE, found.loglikelihoods, found.requests)
    write_json_lines(folder / WRITTEN_FILE, found.written.items())
    write_json(folder / SHARD_FILE, {"of": work})


class ShardAnswers:
    """What all shards have answered: a `Memory` that knows everything."""

    def __init__(self, shards: Sources, *, work: str) -> None:
        self._shards, self._work = shards, work

    def read(self, requests: Sequence[Request]) -> dict[Request, Answered]:
        """Give all answers.

        Raises:
            DataError: If a shard answered something else, or the answers are not all there, each once.
        """
        return _together([read_answers(path, requests) for path in self._paths(ANSWERS_FILE)], set(requests))

    def written(self, num_prompts: int) -> dict[int, str]:
        """Give all that the model has written; errors as in `read`."""
        return _together([dict(_read_written(path)) for path in self._paths(WRITTEN_FILE)], set(range(num_prompts)))

    def keep(self, answers: Mapping[Request, Answered], requests: Sequence[Request]) -> None:
        """Keep nothing: the shards have."""

    def _paths(self, file: str) -> Iterator[Path]:
        for source in self._shards.values():
            if read_json(source.path(SHARD_FILE), _ADVICE).get("of") != self._work:
                raise DataError(
                    f"{source.address} holds answers to other questions, of another model, or asked in another way; "
                    "answer with the same inputs and settings"
                )
            yield source.path(file)


def _read_written(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as file:
        for line_number, line in enumerate(file, start=1):
            try:
                number, text = json.loads(line)
            except (ValueError, TypeError) as error:
                raise DataError(f"{path}:{line_number} is no answer ({error}); {_ADVICE}") from error
            yield number, text


def _together(found: Sequence[Mapping[K, V]], asked: Set[K]) -> dict[K, V]:
    answers = {request: answer for own in found for request, answer in own.items()}
    num_found = sum(map(len, found))
    if answers.keys() != asked or num_found > len(asked):
        raise DataError(
            f"{len(found)} shards hold {num_found:,} answers to {len(asked):,} requests; give each shard's once"
        )
    return answers
