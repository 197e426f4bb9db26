"""Starting the training processes of this machine, and passing on what they say.

Where training runs is the environment's business, not the run specification's:

    MED42_LAUNCHER             torchrun (default): processes on this machine
    MED42_PROCESSES_PER_NODE   training processes; default: one per CUDA device, or 2 on CPU
    MED42_START_METHOD         spawn (default): new Python processes; fork: copies of this process, which saves their
                               imports, if it has computed nothing yet and there is no CUDA device
    OMP_NUM_THREADS            threads of each process; default: cores divided by processes
"""

from __future__ import annotations

import codecs
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from med42lib.core.errors import EnvironmentProblem, NoSpaceError, TrainingProcessError
from med42lib.core.printable import printable
from med42lib.core.process import child_environment, has_accelerator
from med42lib.core.progress import TERMINAL_VARIABLE
from med42lib.core.secrets import redacted_lines
from med42lib.train.request import Failure
from med42lib.train.torchrun import Launch, run_agent

LAUNCHER_VARIABLE = "MED42_LAUNCHER"
PROCESSES_VARIABLE = "MED42_PROCESSES_PER_NODE"
START_METHOD_VARIABLE = "MED42_START_METHOD"
_CONTEXTS: dict[str, SpawnContext | ForkContext] = {
    "spawn": multiprocessing.get_context("spawn"),
    "fork": multiprocessing.get_context("fork"),
}
CPU_PROCESSES = 2
_NUM_TAIL_LINES = 15
_SECONDS_TO_END = 10.0


def check_launcher() -> None:
    """Make sure that the launcher the environment asks for exists.

    Raises:
        EnvironmentProblem: If it does not.
    """
    wanted = os.environ.get(LAUNCHER_VARIABLE, "torchrun")
    if wanted != "torchrun":
        raise EnvironmentProblem(f"{LAUNCHER_VARIABLE}={wanted!r}: there is only 'torchrun' so far; unset the variable")


def processes_per_node() -> int:
    """Say how many training processes to start on this machine.

    Raises:
        EnvironmentProblem: If the environment asks for something that is not a whole number above 0.
    """
    wanted = os.environ.get(PROCESSES_VARIABLE)
    if wanted is None:
        return _num_cuda_devices() or CPU_PROCESSES
    if not wanted.isdecimal() or int(wanted) == 0:
        raise EnvironmentProblem(f"{PROCESSES_VARIABLE}={wanted!r}: expected a whole number above 0")
    return int(wanted)


def threads_per_process(processes: int) -> int:
    """Divide the cores that this process may use; at least 1."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, num_cores // processes)


def start_method() -> str:
    """Say how to start the training processes of this machine.

    Raises:
        EnvironmentProblem: If the environment asks for another.
    """
    wanted = os.environ.get(START_METHOD_VARIABLE, "spawn")
    if wanted not in _CONTEXTS:
        raise EnvironmentProblem(f"{START_METHOD_VARIABLE}={wanted!r}: expected {' or '.join(_CONTEXTS)}")
    return wanted


def run_torchrun(entry: Callable[[Path], None], argument: Path, *, processes: int, failure: Path) -> None:
    """Call a function in several processes under torchrun, its output passed on live.

    Args:
        entry: The function to call in each process; one of a module, so that a new Python process can import it.
        argument: Its only argument.
        processes: How many.
        failure: Where a failing process says why.

    Raises:
        Med42Error: What a process says it failed of; TrainingProcessError if it could not say.
        EnvironmentProblem: If the environment asks for an unknown way of starting processes.
    """
    name = f"{entry.__module__}:{entry.__qualname__}"
    launch = Launch(name, argument, processes, start_method(), failure, argument.parent / "logs")
    context = _CONTEXTS[launch.start_method]
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=run_agent, args=(launch, _environment(processes), writing))
    process.start()
    writing.close()
    try:
        tail = _pass_on(reading)
        process.join()
    finally:
        _end(process)
        reading.close()
    if process.exitcode != 0:
        raise _failure(failure, process.exitcode, tail).to_error(tail)


def _failure(path: Path, exit_code: int | None, tail: str) -> Failure:
    """Read why training failed, or guess it from the output: on a full disk even the reason cannot be written."""
    written = Failure.read(path)
    if written is not None:
        return written
    guessed = Failure.of(RuntimeError(tail), path.parent)
    if guessed.kind == NoSpaceError.__name__:
        return guessed
    return Failure(TrainingProcessError.__name__, f"torchrun ended with exit code {exit_code}")


def _num_cuda_devices() -> int:
    """Count the devices; without a device file there is none, and no need for the seconds that torch takes."""
    if not has_accelerator():
        return 0
    import torch

    return torch.cuda.device_count()


def _environment(processes: int) -> dict[str, str]:
    environment = {"OMP_NUM_THREADS": str(threads_per_process(processes)), **child_environment()}
    if sys.stderr.isatty():
        environment[TERMINAL_VARIABLE] = "1"
    return environment


def _pass_on(stream: Connection) -> str:
    """Copy a process's output to standard error as it comes, without secrets; returns its last lines."""
    tail: deque[str] = deque([""], maxlen=_NUM_TAIL_LINES + 1)
    for lines in redacted_lines(_decoded(stream)):
        text = "\r".join(map(printable, lines.split("\r")))  # progress bars go back to the line's beginning
        sys.stderr.write(text)
        sys.stderr.flush()
        first, *others = text.split("\n")
        tail[-1] += first
        tail.extend(others)
    return "\n".join(line.rpartition("\r")[2] for line in tail if line.strip())


def _decoded(stream: Connection) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while block := os.read(stream.fileno(), 1 << 16):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _end(process: BaseProcess) -> None:
    """Stop torchrun, and it its processes, if this process is interrupted before they are done."""
    process.terminate()
    process.join(_SECONDS_TO_END)
    process.kill()
