"""Waiting for what other processes do."""

import time
from collections.abc import Callable

import psutil


def gone(pid: int) -> bool:
    """Say whether a process has ended, be it waited for or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)
