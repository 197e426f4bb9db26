"""Training processes of this machine: one torchrun, whose output is passed on live.

The environment says how:

    MED42_PROCESSES_PER_NODE   training processes; default: one per CUDA device, or 2 on CPU
    MED42_START_METHOD         spawn (default): new Python processes; fork: copies of this process, which saves their
                               imports, if it has computed nothing yet and there is no CUDA device
    OMP_NUM_THREADS            threads of each process; default: cores divided by processes
"""

from __future__ import annotations

import codecs
import importlib.util
import multiprocessing
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess

from med42lib.core.errors import EnvironmentProblem, NoSpaceError, TrainingProcessError
from med42lib.core.process import child_environment, die_with_parent, has_accelerator
from med42lib.core.progress import TERMINAL_VARIABLE
from med42lib.train.job import Failure, TrainingJob
from med42lib.train.launchers.output import LiveOutput
from med42lib.train.worker.node import WORKER, one_machine, run_node

PROCESSES_VARIABLE = "MED42_PROCESSES_PER_NODE"
START_METHOD_VARIABLE = "MED42_START_METHOD"
_CONTEXTS: dict[str, SpawnContext | ForkContext] = {
    "spawn": multiprocessing.get_context("spawn"),
    "fork": multiprocessing.get_context("fork"),
}
CPU_PROCESSES = 2
_SECONDS_TO_END = 10.0


class LocalLauncher:
    """torchrun in a child process that dies with this one."""

    def __init__(self, worker: str = WORKER) -> None:
        self.num_processes = processes_per_node()
        self._worker, self._start_method = worker, start_method()

    def run(self, job: TrainingJob) -> TrainingJob:
        """Run a job to its end; errors as `Launcher.run` says."""
        context = _CONTEXTS[self._start_method]
        reading, writing = context.Pipe(duplex=False)
        forks = self._start_method == "fork"
        process = context.Process(
            target=_run_agent, args=(job.address, self._worker, _environment(self.num_processes), writing, forks)
        )
        process.start()
        writing.close()
        output = LiveOutput()
        try:
            output.pass_on(_decoded(reading))
            process.join()
        finally:
            _end(process)
            reading.close()
        if process.exitcode != 0:
            raise _failure(job.address, process.exitcode, output.tail).to_error(output.tail)
        return job


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


def _run_agent(job_address: str, worker: str, environment: Mapping[str, str], output: Connection, forks: bool) -> None:
    """Run torchrun's agent in this process, and leave with exit code 1 if a training process failed."""
    os.environ.update(environment)
    die_with_parent()
    _redirect(output)
    os.environ.update(child_environment())
    if not run_node(job_address, worker=worker, fork=_in_fork(worker) if forks else None):
        sys.exit(1)


def _in_fork(worker: str) -> Callable[[str], None]:
    """Make what a training process that is a fork does."""

    def train(job_address: str) -> None:
        die_with_parent()
        # A fork has the agent's handler, which a process that waits for another in C++ would never come to run.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        pkgutil.resolve_name(f"{worker}.training:run_training")(job_address)

    return train


def _redirect(output: Connection) -> None:
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    # In a fork these may be objects that write somewhere else.
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    output.close()


def _failure(job_address: str, exit_code: int | None, tail: str) -> Failure:
    """Read why training failed, or guess it from the output: on a full disk even the reason cannot be written."""
    written = Failure.read(job_address)
    if written is not None:
        return written
    guessed = Failure.of(RuntimeError(tail), job_address)
    if guessed.kind == NoSpaceError.__name__:
        return guessed
    return Failure(TrainingProcessError.__name__, f"torchrun ended with exit code {exit_code}")


def _num_cuda_devices() -> int:
    """Count the devices; without a device file there is none, and no need for the seconds that torch takes.

    `plan` asks too, perhaps where torch is not installed: nothing can train there.
    """
    if not has_accelerator() or importlib.util.find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count()


def _environment(processes: int) -> dict[str, str]:
    threads = str(threads_per_process(processes))
    environment = {"OMP_NUM_THREADS": threads, **child_environment(), **one_machine(processes)}
    if sys.stderr.isatty():
        environment[TERMINAL_VARIABLE] = "1"
    return environment


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
