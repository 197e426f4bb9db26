"""Waiting for a stage's process: when `med42 run` is asked to stop, the stage may save what it has first.

Ctrl-C or SIGTERM ─► one second, in which it may end by itself ─► SIGTERM to it ─► no end in time ─► killed
                                                                      └► asked a second time ──────► killed
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import Protocol

from med42lib.core.log import tell
from med42lib.core.stop_signal import StopSignal
from med42lib.train.job import grace_seconds

_SECONDS_BY_ITSELF = 1.0
"""A terminal's Ctrl-C came to the stage too, and a second signal would disturb its end. Who asks here may do so twice
at once, as `timeout` does."""

_SECONDS_TO_END = 10.0
"""What a stage has to end in when its time to save is over."""


class StageProcess(Protocol):
    """What is needed of `multiprocessing`'s processes."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""

    def is_alive(self) -> bool:
        """Say whether it has not ended."""

    def terminate(self) -> None:
        """Ask it to stop."""

    def kill(self) -> None:
        """End it at once."""


class StageCommand(subprocess.Popen[bytes]):
    """A command as a `StageProcess`."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(timeout)

    def is_alive(self) -> bool:
        """Say whether it has not ended."""
        return self.poll() is None


def wait_for_stage(process: StageProcess) -> None:
    """Wait for a stage's end; asked to stop, for as long as a training may take to save, and asked again no longer.

    Raises:
        KeyboardInterrupt, SystemExit: If this process was asked to stop; the stage has ended.
    """
    try:
        process.join()
    except (KeyboardInterrupt, SystemExit):
        _stop(process)
        raise
    finally:
        process.kill()
        process.join()


def _stop(process: StageProcess) -> None:
    with StopSignal():
        process.join(_SECONDS_BY_ITSELF)
    if process.is_alive():
        seconds = grace_seconds()
        tell("run", f"\nstopping: a training has {seconds} s to save its state; asked again, all ends at once")
        process.terminate()
        process.join(seconds + _SECONDS_TO_END)
