"""Training processes of this machine: one torchrun, whose output is passed on live.

The environment says how:

    MED42_PROCESSES_PER_NODE   training processes; default: one per CUDA device, or 2 on CPU
    MED42_START_METHOD         spawn (default): new Python processes; fork: copies of this process, which saves their
                               imports, if it has computed nothing yet and there is no CUDA device
    OMP_NUM_THREADS            threads of each process; default: cores divided by processes
    TORCH_ELASTIC_SHUTDOWN_TIMEOUT    seconds to save in when asked to stop; default: 30
"""

from __future__ import annotations

import codecs
import importlib.util
import multiprocessing
import os
import pkgutil
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess

from med42lib.core.environment import THREADS_VARIABLE, number_from_environment, threads_asked_for
from med42lib.core.errors import EnvironmentProblem, NoSpaceError, TrainingProcessError
from med42lib.core.process import START_METHOD_VARIABLE, child_environment, die_with_parent, has_accelerator
from med42lib.core.progress import TERMINAL_VARIABLE
from med42lib.core.stop_signal import StopSignal
from med42lib.train.job import Failure, TrainingJob, grace_seconds
from med42lib.train.launchers.output import LiveOutput
from med42lib.train.worker.node import WORKER, one_machine, run_node, threads_per_process

PROCESSES_VARIABLE = "MED42_PROCESSES_PER_NODE"
_CONTEXTS: dict[str, SpawnContext | ForkContext] = {
    "spawn": multiprocessing.get_context("spawn"),
    "fork": multiprocessing.get_context("fork"),
}
CPU_PROCESSES = 2
_SECONDS_TO_END = 10.0
_SECONDS_TO_TELL = 2.0  # why, once torchrun has killed its processes
_SECONDS_BETWEEN_LOOKS = 0.2


class LocalLauncher:
    """torchrun in a child process that dies with this one."""

    def __init__(self, worker: str = WORKER) -> None:
        self.num_processes = processes_per_node()
        self._worker, self._start_method = worker, start_method()

    def run(self, job: TrainingJob, stopping: StopSignal) -> TrainingJob:
        """Run a job to its end; errors as `Launcher.run` says."""
        context = _CONTEXTS[self._start_method]
        reading, writing = context.Pipe(duplex=False)
        forks = self._start_method == "fork"
        process = context.Process(
            target=_run_agent, args=(job.address, self._worker, _environment(self.num_processes), writing, forks)
        )
        process.start()
        writing.close()
        grace, output = _Grace(process, stopping), LiveOutput()
        try:
            with stopping:
                output.pass_on(_decoded(reading, grace))
            if grace.is_over():
                process.kill()
            process.join()
        finally:
            _end(process)
            reading.close()
        if process.exitcode != 0:
            _failure(job.address, process.exitcode, output.tail).end(output.tail, stopping)
        return job


def processes_per_node() -> int:
    """Say how many training processes to start on this machine.

    Raises:
        EnvironmentProblem: If the environment asks for something that is not a whole number above 0.
    """
    return number_from_environment(PROCESSES_VARIABLE) or _num_cuda_devices() or CPU_PROCESSES


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
    """Run torchrun's agent in this process, and leave with its exit code."""
    os.environ.update(environment)
    die_with_parent()
    # Ctrl-C goes to all processes of a terminal. The stage hands it on, and a second signal would end torchrun at once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _redirect(output)
    os.environ.update(child_environment())
    sys.exit(run_node(job_address, worker=worker, fork=_in_fork(worker) if forks else None))


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
    threads = threads_asked_for() or str(threads_per_process(processes))
    environment = {**child_environment(), THREADS_VARIABLE: threads, **one_machine(processes)}
    environment["PET_SIGNALS_TO_HANDLE"] = "SIGTERM"
    if sys.stderr.isatty():
        environment[TERMINAL_VARIABLE] = "1"
    return environment


class _Grace:
    """Hands a request to stop on to torchrun, once, and gives its processes time to save."""

    def __init__(self, process: BaseProcess, stopping: StopSignal) -> None:
        self._process, self._stopping = process, stopping
        self._ends: float | None = None

    def is_over(self) -> bool:
        """Say whether that time is over; call it often."""
        if self._stopping.is_set() and self._ends is None:
            self._process.terminate()
            self._ends = time.monotonic() + grace_seconds() + _SECONDS_TO_TELL
        return self._ends is not None and time.monotonic() > self._ends


def _decoded(stream: Connection, grace: _Grace) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while not grace.is_over():
        if select.select([stream], [], [], _SECONDS_BETWEEN_LOOKS)[0]:
            block = os.read(stream.fileno(), 1 << 16)
            yield decoder.decode(block, final=not block)
            if not block:
                break


def _end(process: BaseProcess) -> None:
    """Stop torchrun, and it its processes, if this process is interrupted before they are done."""
    process.terminate()
    process.join(_SECONDS_TO_END)
    process.kill()
