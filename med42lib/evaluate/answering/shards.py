"""The files in which a shard hands its answers over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.hashing import content_hash
from med42lib.core.json_file import read_json, write_json
from med42lib.evaluate.answering.config import asking
from med42lib.evaluate.answers import Answered, Request
from med42lib.evaluate.config import AskingConfig
from med42lib.evaluate.journal import ANSWERS_FILE, read_answers, write_answers
from med42lib.store.artifacts import Source, Sources

SHARD_FILE = "shard.json"


def work_of(config: AskingConfig, *, items: Source, base: Source, model: Source) -> str:
    """Name what all shards do together: the same model asked the same in the same way."""
    return content_hash(json.dumps(asking(config), sort_keys=True), items.digest, base.digest, model.digest)


def write_shard(folder: Path, answers: Mapping[Request, Answered], requests: Sequence[Request], *, work: str) -> None:
    """Write one shard's answers, and what they are part of.

    Args:
        folder: Receives the files.
        answers: Those of this shard.
        requests: Those of all shards.
        work: As `work_of` names it.
    """
    write_answers(folder / ANSWERS_FILE, answers, requests)
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
        found = [self._read_shard(source, requests) for source in self._shards.values()]
        answers = {request: answer for own in found for request, answer in own.items()}
        num_found = sum(map(len, found))
        if not num_found == len(answers) == len(requests):
            raise DataError(
                f"{len(found)} shards hold {num_found:,} answers to {len(requests):,} requests; give each shard's once"
            )
        return answers

    def keep(self, answers: Mapping[Request, Answered], requests: Sequence[Request]) -> None:
        """Keep nothing: the shards have."""

    def _read_shard(self, source: Source, requests: Sequence[Request]) -> dict[Request, Answered]:
        if read_json(source.path(SHARD_FILE), "give an output of answer_questions").get("of") != self._work:
            raise DataError(
                f"{source.address} holds answers to other questions, of another model, or asked in another way; "
                "answer with the same inputs and settings"
            )
        return read_answers(source.path(ANSWERS_FILE), requests)
