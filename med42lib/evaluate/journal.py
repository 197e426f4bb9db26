"""Answers kept in files: of a run that was killed, so that it goes on behind them, and of shards."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from med42lib.core.errors import DataError
from med42lib.core.json_file import write_json_lines
from med42lib.core.log import log
from med42lib.evaluate.answers import Answered, Request
from med42lib.store.checkpoints import Checkpoints

MINUTES = 10.0
ANSWERS_FILE = "answers.jsonl"


class Memory(Protocol):
    """Knows some answers before scoring begins, and keeps others while it goes on."""

    def read(self, requests: Sequence[Request]) -> dict[Request, Answered]:
        """Give what is known; nothing if nothing is."""

    def keep(self, answers: Mapping[Request, Answered], requests: Sequence[Request]) -> None:
        """Take all answers so far."""

    def written(self, num_prompts: int) -> dict[int, str]:
        """Give what the model has written, by the numbers of the prompts: all of it, or nothing."""


class Journal:
    """The answers of one key so far, by the numbers of their requests, which are the same whenever it is tried."""

    def __init__(self, checkpoints: Checkpoints, scratch: Path, *, minutes: float = MINUTES) -> None:
        self._checkpoints, self._scratch, self._seconds = checkpoints, scratch, 60 * minutes
        self._saved_at = time.monotonic()

    def read(self, requests: Sequence[Request]) -> dict[Request, Answered]:
        """Give what another attempt has answered; nothing if there was none."""
        newest = self._checkpoints.newest()
        if newest is None:
            return {}
        answers = read_answers(newest.source(self._scratch / "answers").path(ANSWERS_FILE), requests)
        log("evaluate").info("going on behind %s answers of an earlier attempt", f"{len(answers):,}")
        return answers

    def keep(self, answers: Mapping[Request, Answered], requests: Sequence[Request]) -> None:
        """Save all answers so far, if it is time to."""
        if time.monotonic() - self._saved_at < self._seconds:
            return
        path = self._scratch / ANSWERS_FILE
        write_answers(path, answers, requests)
        self._checkpoints.seal(len(answers), [self._checkpoints.put(len(answers), ANSWERS_FILE, path)], {})
        self._saved_at = time.monotonic()

    def written(self, num_prompts: int) -> dict[int, str]:
        """Give nothing: what the model writes is kept when all is written."""
        return {}


def write_answers(path: Path, answers: Mapping[Request, Answered], requests: Sequence[Request]) -> None:
    """Write the answers that there are, each by the number of its request: `[17, -3.25, true]`, in their order."""
    numbered = ((number, answers.get(request)) for number, request in enumerate(requests))
    write_json_lines(path, ([number, found.loglikelihood, found.is_greedy] for number, found in numbered if found))


def read_answers(path: Path, requests: Sequence[Request]) -> dict[Request, Answered]:
    """Read what `write_answers` wrote of the same requests.

    Raises:
        DataError: If a line is no answer to one of them.
    """
    answers, by_number = {}, dict(enumerate(requests))
    with path.open(encoding="utf-8") as file:
        for line_number, line in enumerate(file, start=1):
            try:
                number, loglikelihood, is_greedy = json.loads(line)
                answers[by_number[number]] = Answered(float(loglikelihood), bool(is_greedy))
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(f"{path}:{line_number} is no answer ({error}); run evaluate again") from error
    return answers
