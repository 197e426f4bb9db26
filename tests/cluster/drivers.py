"""Drivers of trainings, as processes of this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Driver:
    """A driver in a process of its own."""

    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    job: str = ""
    """Name of the PyTorchJob."""

    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)

    def said(self) -> str:
        return self.log.read_text()

    def says(self, text: str, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while text not in self.said() and not self._has_ended() and time.monotonic() < until:
            time.sleep(0.3)
        assert text in self.said(), self.said()

    def ends(self, seconds: float = 180) -> int:
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the driver still runs. It said:\n{self.said()}") from None

    def _has_ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def signal(self, how: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(how)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """End it, and show what it said: pytest prints this of a test that failed, or hung until its time was up."""
        self.kill()
        sys.stdout.write(self.said())
