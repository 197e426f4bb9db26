"""Answers kept in the store while scoring goes on: a run that was killed goes on behind them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from med42lib.core.log import log
from med42lib.evaluate.answers import Answered, Request
from med42lib.store.checkpoints import Checkpoints

MINUTES = 10.0
_FILE = "answers.jsonl"


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
        path = newest.source(self._scratch / "answers").path(_FILE)
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        log("evaluate").info("going on behind %s answers of an earlier attempt", f"{len(rows):,}")
        return {requests[number]: Answered(loglikelihood, greedy) for number, loglikelihood, greedy in rows}

    def keep(self, answers: Mapping[Request, Answered], requests: Sequence[Request]) -> None:
        """Save all answers so far, if it is time to."""
        if time.monotonic() - self._saved_at < self._seconds:
            return
        path = self._scratch / _FILE
        with path.open("w", encoding="utf-8") as file:
            for number, request in enumerate(requests):
                if answer := answers.get(request):
                    file.write(json.dumps([number, answer.loglikelihood, answer.is_greedy]) + "\n")
        self._checkpoints.seal(len(answers), [self._checkpoints.put(len(answers), _FILE, path)], {})
        self._saved_at = time.monotonic()
