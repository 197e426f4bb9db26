"""Child processes that do not outlive their parent, whatever killed it.

A parent starts a child with `child_environment()`; the child calls `die_with_parent()` first thing. A `kill -9`
of a stage then ends its torchrun and its training processes too, so none of them races with the rerun:

    med42 run ──► stage process ──► torchrun ──► training processes
         each arrow: the child is killed when the parent is gone

On Linux it is the kernel that kills the child. It does so when the *thread* that started the child ends, so
start children from a thread that lives as long as the process. Elsewhere a thread of the child looks for its
parent twice a second.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import NoReturn

PARENT_VARIABLE = "MED42_PARENT_PID"
_ACCELERATOR_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
_PR_SET_PDEATHSIG = 1
_SECONDS_BETWEEN_LOOKS = 0.5


def child_environment() -> dict[str, str]:
    """Give this process's environment, plus what makes a child die with this process."""
    return {**os.environ, PARENT_VARIABLE: str(os.getpid())}


def die_with_parent() -> None:
    """Have this process killed (SIGKILL) as soon as its parent is gone, even if it is gone already.

    Does nothing unless the parent asked for it with `child_environment()`: a command started by hand goes on
    when its shell ends. The request is not handed on to this process's own children.
    """
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is None:
        return
    if not _killed_by_kernel():
        threading.Thread(target=_watch, args=(int(parent), threading.Event()), daemon=True).start()
    if os.getppid() != int(parent):
        _kill_this_process()


def die_with_creator() -> None:
    """Have this process of Python's `multiprocessing` killed as soon as the process that asked for it is gone.

    Its parent may be a fork server, which lives on as long as this process does.
    """
    creator = multiprocessing.parent_process()
    if creator is not None:
        threading.Thread(target=_watch_sentinel, args=(creator.sentinel,), daemon=True).start()


@contextmanager
def dying_with_parent() -> Iterator[None]:
    """Have this process killed within a second after its parent is gone, as long as the block runs.

    For blocks of a fork server: no thread of this is left to be lost in its forks.
    """
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(os.getppid(), done), daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def has_accelerator() -> bool:
    """Say whether this machine may have a CUDA device, without the seconds that asking torch takes."""
    return any(os.path.exists(device) for device in _ACCELERATOR_DEVICES)


def leave(exit_code: int) -> NoReturn:
    """End this process at once.

    Python would first take its modules apart, which for torch and transformers takes over a second, in each of a
    dozen processes of a run. Call it when everything is written and no thread has work left.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _killed_by_kernel() -> bool:
    """Ask the kernel for the signal; False where it has no such service."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)


def _watch(parent: int, done: threading.Event) -> None:
    while not done.wait(_SECONDS_BETWEEN_LOOKS):
        if os.getppid() != parent:
            _kill_this_process()


def _watch_sentinel(sentinel: int) -> None:
    wait([sentinel])
    _kill_this_process()


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
