"""What training processes write: passed on live, without secrets, and its end kept for an error."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from med42lib.core.log import passed_record, tell, write_error, writes_json
from med42lib.core.printable import printable
from med42lib.core.redaction import redacted_lines

_NUM_TAIL_LINES = 15
_LONGEST_RECORD = 1 << 20


class LiveOutput:
    """Copies output to standard error, and remembers its last lines."""

    def __init__(self) -> None:
        self._tail: deque[str] = deque([""], maxlen=_NUM_TAIL_LINES + 1)

    def pass_on(self, blocks: Iterable[str]) -> None:
        """Copy text as it comes, without secrets."""
        if writes_json():
            self._pass_on_as_json(blocks)
        else:
            self._pass_on_as_text(blocks)

    @property
    def tail(self) -> str:
        """The last lines; of a progress bar its last state."""
        return "\n".join(line.rpartition("\r")[2] for line in list(self._tail) if line.strip())

    def _pass_on_as_text(self, blocks: Iterable[str]) -> None:
        for lines in redacted_lines(blocks):
            text = "\r".join(map(printable, lines.split("\r")))  # progress bars go back to the line's beginning
            write_error(text)
            first, *others = text.split("\n")
            self._tail[-1] += first
            self._tail.extend(others)

    def _pass_on_as_json(self, blocks: Iterable[str]) -> None:
        """Copy log lines, and make one of every other line."""
        for lines in redacted_lines(self._without_records(blocks)):
            for line in filter(str.strip, lines.splitlines()):
                tell("train", line)
                self._tail.append(line)

    def _without_records(self, blocks: Iterable[str]) -> Iterator[str]:
        """Write the lines that are log lines, and give the others: to redact JSON as text could break it."""
        rest = ""
        for block in blocks:
            *lines, rest = (rest + block).replace("\r", "\n").split("\n")
            if len(rest) > _LONGEST_RECORD:
                lines, rest = [*lines, rest], ""
            for line in lines:
                record = passed_record(line)
                if record is None:
                    yield f"{line}\n"
                else:
                    write_error(f"{record}\n")
                    self._tail.append(record)
        yield rest
