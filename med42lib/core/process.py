"""Child processes that do not outlive their parent, whatever killed it.

A parent starts a child with `child_environment()`; the child calls `die_with_parent()` first thing. A `kill -9`
of a stage then ends its torchrun and its training processes too, so none of them races with the rerun:

    med42 run ──► stage process ──► torchrun ──► training processes
        │                ▲
        └──► fork server ┘        each arrow: the child is killed when the parent is gone

On Linux it is the kernel that kills the child, at once and whatever it is doing. It does so when the *thread* that
started the child ends, so start children from a thread that lives as long as the process. Elsewhere a thread of the
child looks for its parent twice a second, when Python lets it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

PARENT_VARIABLE = "MED42_PARENT_PID"
START_METHOD_VARIABLE = "MED42_START_METHOD"
"""`fork` where this process is a fork with the slow imports done, so that its own children may be forks too."""

FORK_SERVER = "med42lib.core.fork_server"
"""What Python's own fork server has to import first, started in a block of `children_die_with_this_process`."""

_ACCELERATOR_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
_PR_SET_PDEATHSIG = 1
_SECONDS_BETWEEN_LOOKS = 0.5
_BY_SIGNAL = 128  # exit codes above are a signal's number


def child_environment() -> dict[str, str]:
    """Give this process's environment, plus what makes a child die with this process."""
    return {**os.environ, PARENT_VARIABLE: str(os.getpid())}


def children_import_nothing_from_here() -> None:
    """Have Python processes started from now on look for modules where Python's are, not in the working folder.

    It would come first: a stranger's `signal.py` beside the data that a run is started in would be run.
    """
    os.environ["PYTHONSAFEPATH"] = "1"


@contextmanager
def children_die_with_this_process() -> Iterator[None]:
    """Give `child_environment()` to what libraries start in this block."""
    os.environ.update(child_environment())
    try:
        yield
    finally:
        os.environ.pop(PARENT_VARIABLE, None)


def die_with_parent() -> None:
    """Have this process killed (SIGKILL) as soon as its parent is gone, even if it is gone already.

    Does nothing unless the parent asked for it with `child_environment()`: a command started by hand goes on
    when its shell ends. The request is not handed on to this process's own children.
    """
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is not None:
        _die_with(int(parent))


def forks_die_with_this_process() -> None:
    """Have every fork of this process, but none of theirs, killed as soon as this process is gone."""
    parent = [os.getpid()]

    def in_fork() -> None:
        if parent:
            _die_with(parent.pop())

    os.register_at_fork(after_in_child=in_fork)


def has_accelerator() -> bool:
    """Say whether this machine may have a CUDA device, without the seconds that asking torch takes."""
    return any(os.path.exists(device) for device in _ACCELERATOR_DEVICES)


def leave_process_1_to_signals() -> None:
    """Go on in a child if this process is a container's first, which the kernel spares every signal it does not handle.

    The first process then hands SIGTERM and SIGINT on, ends with the child's exit code, 128 and more for a signal, and
    buries what else lost its parent. In the child signals do what they do everywhere. Call it before threads start.
    """
    if os.getpid() != 1:
        return
    child = os.fork()
    if child == 0:
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else _BY_SIGNAL - code)


def exit_at_once(exit_code: int) -> NoReturn:
    """End this process at once.

    Python would first take its modules apart, which for torch and transformers takes over a second, in each of a
    dozen processes of a run. Call it when everything is written and no thread has work left.
    """
    _remove_folder_of_fork_server()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def end_with(run: Callable[[], int | None]) -> NoReturn:
    """Call what a process is for, and end the process at once with the code that it gives, or ends with.

    Python would first wait for threads that fetch files, of which nobody needs any more.
    """
    try:
        code = run() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    exit_at_once(code)


def _remove_folder_of_fork_server() -> None:
    """Remove the folder that multiprocessing made for a fork server's socket, which is its first process's to do.

    Its own function for that would also wait for children, who are killed with this process.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None or multiprocessing.parent_process() is not None:
        return
    if folder := multiprocessing.current_process()._config.get("tempdir"):
        shutil.rmtree(folder, ignore_errors=True)


def _die_with(parent: int) -> None:
    if not _killed_by_kernel():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        _kill_this_process()


def _killed_by_kernel() -> bool:
    """Ask the kernel for the signal; False where it has no such service."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    _kill_this_process()


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
