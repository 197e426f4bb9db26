"""A request to stop (SIGTERM, as when a pod is evicted, or Ctrl-C) that work is given the time to end well for."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from med42lib.core.errors import TERMINATED_EXIT_CODE

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_BY_SIGNAL = 128  # exit codes above are a signal's number


class StopSignal:
    """Whether this process was asked to stop.

    A stage that looks, between two pieces of work, opens it as a block. In there a signal only sets it; elsewhere
    signals do what they did before, which ends the process at once:

        with context.stopping as stopping:
            for piece in work:
                if stopping.is_set():
                    save()
                    raise SystemExit(stopping.exit_code)
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[signal.Signals, object] = {}

    def is_set(self) -> bool:
        """Say whether a signal has come."""
        return self._received is not None

    @property
    def exit_code(self) -> int:
        """The code to leave with: 130 for Ctrl-C, otherwise 143. A retry goes on."""
        return TERMINATED_EXIT_CODE if self._received is None else _BY_SIGNAL + self._received

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # no other may say what a signal does
            self._before = {number: signal.signal(number, self._set) for number in _SIGNALS}
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as it was

    def _set(self, number: int, _frame: FrameType | None) -> None:
        self._received = self._received or number
