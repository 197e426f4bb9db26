"""Progress on long loops: a bar on a terminal, a plain line every few seconds elsewhere, or a log line in JSON.

Bars that libraries draw by tqdm are seen on a terminal alone.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from med42lib.core.log import tell, writes_json
from med42lib.core.printable import one_line
from med42lib.core.redaction import redact

TERMINAL_VARIABLE = "MED42_TERMINAL"
"""Set to 1 for a process whose output reaches a terminal through a pipe."""


def _on_terminal() -> bool:
    return not writes_json() and (sys.stderr.isatty() or os.environ.get(TERMINAL_VARIABLE) == "1")


if not _on_terminal():
    os.environ.setdefault("TQDM_DISABLE", "1")  # which tqdm reads when it is imported

from tqdm import tqdm  # noqa: E402

# By itself tqdm makes a lock between processes, a semaphore that a stage's quick end (core.process.exit_at_once) leaks.
tqdm.set_lock(threading.RLock())

SECONDS_BETWEEN_LINES = 10.0
T = TypeVar("T")


class Progress:
    """Counts work done towards `total` (None if unknown), with rate and time left.

    What was done before, `initial`, counts towards the total, not towards the rate.
    """

    def __init__(self, label: str, total: int | None, unit: str, initial: int = 0) -> None:
        self._label, self._total, self._unit = one_line(redact(label)), total, unit
        self._done = self._initial = initial
        self._note = ""
        self._started = self._printed = time.monotonic()
        self._bar = (
            tqdm(total=total, desc=self._label, unit=unit, leave=False, unit_scale=True, disable=False, initial=initial)
            if _on_terminal()
            else None
        )

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Report that `count` more units are done; `note` (a loss, say) is shown behind the rate."""
        self._done += count
        self._note = one_line(note)
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._print()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _print(self) -> None:
        self._printed = time.monotonic()
        line = tqdm.format_meter(
            self._done,
            self._total,  # type: ignore[arg-type]  # the stub forbids None, tqdm documents it
            self._printed - self._started,
            prefix=self._label,
            unit=self._unit,
            unit_scale=True,
            ncols=0,
            postfix=self._note or None,
            initial=self._initial,
        )
        tell("progress", f"  {line}")


@contextmanager
def progress(label: str, total: int | None, *, unit: str = "rows", initial: int = 0) -> Iterator[Progress]:
    """Show progress while the block runs; call `advance` on what it yields."""
    bar = Progress(label, total, f" {unit}", initial)
    try:
        yield bar
    finally:
        bar.close()


def track(items: Iterable[T], label: str, *, total: int | None = None, unit: str = "rows") -> Iterator[T]:
    """Yield the items, showing progress."""
    with progress(label, total, unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()
