"""Starting the training processes of this machine, and passing on what they say.

Where training runs is the environment's business, not the run specification's:

    MED42_LAUNCHER             torchrun (default): processes on this machine
    MED42_PROCESSES_PER_NODE   training processes; default: one per CUDA device, or 2 on CPU
    OMP_NUM_THREADS            threads of each process; default: cores divided by processes
"""

from __future__ import annotations

import codecs
import os
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import IO

from med42lib.core.errors import EnvironmentProblem, NoSpaceError, TrainingProcessError
from med42lib.core.process import child_environment
from med42lib.core.progress import TERMINAL_VARIABLE
from med42lib.train.request import Failure

LAUNCHER_VARIABLE = "MED42_LAUNCHER"
PROCESSES_VARIABLE = "MED42_PROCESSES_PER_NODE"
CPU_PROCESSES = 2
_ACCELERATOR_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
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


def run_torchrun(module: str, argument: Path, *, processes: int, failure: Path) -> None:
    """Run a Python module in several processes under torchrun, its output passed on live.

    Args:
        module: The module to run in each process.
        argument: Its only argument.
        processes: How many.
        failure: Where a failing process says why.

    Raises:
        Med42Error: What a process says it failed of; TrainingProcessError if it could not say.
    """
    command = [sys.executable, "-m", "med42lib.train.torchrun", str(failure), "--standalone"]
    command += [
        "--local-addr",
        "127.0.0.1",
        f"--nproc-per-node={processes}",
        "--log-dir",
        str(argument.parent / "logs"),
    ]
    command += ["-m", module, str(argument)]
    with subprocess.Popen(
        command, env=_environment(processes), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            assert process.stdout is not None
            tail = _pass_on(process.stdout)
            exit_code = process.wait()
        finally:
            _end(process)
    if exit_code != 0:
        raise _failure(failure, exit_code, tail).to_error(tail)


def _failure(path: Path, exit_code: int, tail: str) -> Failure:
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
    if not any(Path(device).exists() for device in _ACCELERATOR_DEVICES):
        return 0
    import torch

    return torch.cuda.device_count()


def _environment(processes: int) -> dict[str, str]:
    environment = {"OMP_NUM_THREADS": str(threads_per_process(processes)), **child_environment()}
    if sys.stderr.isatty():
        environment[TERMINAL_VARIABLE] = "1"
    return environment


def _pass_on(stream: IO[bytes]) -> str:
    """Copy a process's output to standard error as it comes; returns its last lines."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    tail: deque[str] = deque([""], maxlen=_NUM_TAIL_LINES + 1)
    while block := os.read(stream.fileno(), 1 << 16):
        text = decoder.decode(block)
        sys.stderr.write(text)
        sys.stderr.flush()
        first, *others = text.split("\n")
        tail[-1] += first
        tail.extend(others)
    return "\n".join(line.rpartition("\r")[2] for line in tail if line.strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop torchrun, and it its processes, if this process is interrupted before they are done."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
