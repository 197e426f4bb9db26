"""What training processes write: passed on live, without secrets, and its end kept for an error."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable

from med42lib.core.printable import printable
from med42lib.core.redaction import redacted_lines

_NUM_TAIL_LINES = 15


class LiveOutput:
    """Copies output to standard error, and remembers its last lines."""

    def __init__(self) -> None:
        self._tail: deque[str] = deque([""], maxlen=_NUM_TAIL_LINES + 1)

    def pass_on(self, blocks: Iterable[str]) -> None:
        """Copy text as it comes, without secrets."""
        for lines in redacted_lines(blocks):
            text = "\r".join(map(printable, lines.split("\r")))  # progress bars go back to the line's beginning
            sys.stderr.write(text)
            sys.stderr.flush()
            first, *others = text.split("\n")
            self._tail[-1] += first
            self._tail.extend(others)

    @property
    def tail(self) -> str:
        """The last lines; of a progress bar its last state."""
        return "\n".join(line.rpartition("\r")[2] for line in list(self._tail) if line.strip())
