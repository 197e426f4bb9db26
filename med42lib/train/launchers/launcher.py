"""What a launcher of training processes does, and which one the environment asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from med42lib.core.errors import EnvironmentProblem
from med42lib.core.stop_signal import StopSignal
from med42lib.train.job import TrainingJob
from med42lib.train.launchers.local import LocalLauncher
from med42lib.train.launchers.pytorchjob import PyTorchJobLauncher

LAUNCHER_VARIABLE = "MED42_LAUNCHER"
CLUSTER_LAUNCHER = "pytorchjob"


class Launcher(Protocol):
    """Starts a training's processes, and waits for them."""

    num_processes: int
    """Training processes on all nodes together."""

    def run(self, job: TrainingJob, stopping: StopSignal) -> TrainingJob:
        """Run a job, which was written to its address, to its end.

        Returns:
            The job that was run: this one, or that of an earlier attempt at the same output that was still at work.

        Raises:
            SystemExit: If it was asked to stop, and has saved what it could.
            Med42Error: What a training process says it failed of; TrainingProcessError if it could not say.
        """


_LAUNCHERS: dict[str, Callable[[], Launcher]] = {"local": LocalLauncher, CLUSTER_LAUNCHER: PyTorchJobLauncher}


def launcher_name() -> str:
    """Name the launcher that the environment asks for."""
    return os.environ.get(LAUNCHER_VARIABLE, "local")


def open_launcher() -> Launcher:
    """Make the launcher that the environment asks for.

    Raises:
        EnvironmentProblem: If there is none of that name, or the environment does not suit it.
    """
    wanted = launcher_name()
    if wanted not in _LAUNCHERS:
        raise EnvironmentProblem(f"{LAUNCHER_VARIABLE}={wanted!r}: expected {' or '.join(_LAUNCHERS)}; or unset it")
    return _LAUNCHERS[wanted]()
