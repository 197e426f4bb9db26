"""Commands in processes of their own, with their seconds and the peak memory of the whole process tree."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]
SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took. Memory is proportional (PSS): what processes share counts once."""

    seconds: float
    peak_bytes: int
    output: str


def measure(command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end.

    Raises:
        SystemExit: If it fails, with what it said.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
    )
    watch = _Watch(process.pid)
    watch.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - started
    watch.stop()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{errors[-4000:]}")
    return Measured(seconds, watch.peak_bytes, output)


class _Watch(threading.Thread):
    """Looks at a process and its descendants ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._root = psutil.Process(pid)
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        while not self._stopped.wait(SECONDS_BETWEEN_LOOKS):
            try:
                tree = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.peak_bytes = max(self.peak_bytes, sum(_memory(process) for process in tree))


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended in between
        return 0
