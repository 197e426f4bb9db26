"""torchrun's agent in a process that dies with the stage, and says in one line which process failed, and how."""

from __future__ import annotations

import logging
import os
import pkgutil
import signal
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from med42lib.core.process import child_environment, die_with_parent
from med42lib.train import process
from med42lib.train.request import Failure


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, how often and how."""

    entry: str
    """`module:function`, so that nothing is imported before it is called."""
    argument: Path
    num_processes: int
    start_method: str
    """`fork`, or `spawn` for new Python processes."""
    failure: Path
    """Where to say how a process failed that could not say so itself."""
    logs: Path
    """Folder for what torchrun wants to keep of its processes' errors."""


def run_agent(launch: Launch, environment: Mapping[str, str], output: Connection) -> None:
    """Run torchrun's agent in this process, and leave with exit code 1 if a training process failed.

    Args:
        launch: What to start.
        environment: Of this process and all that it starts.
        output: Where their output goes.
    """
    os.environ.update(environment)
    die_with_parent()
    _redirect(output)
    os.environ.update(child_environment())
    if not _succeeds(launch):
        sys.exit(1)


def _succeeds(launch: Launch) -> bool:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.multiprocessing"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    standalone = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=launch.num_processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        start_method=launch.start_method,
        logs_specs=DefaultLogsSpecs(log_dir=str(launch.logs)),
    )
    try:
        if launch.start_method == "fork":
            elastic_launch(standalone, _run_fork)(launch)
        else:
            elastic_launch(standalone, sys.executable)("-m", process.__name__, launch.entry, str(launch.argument))
    except ChildFailedError as error:
        rank, failed = error.get_first_failure()
        Failure("killed", _describe(rank, failed.exitcode, failed.signal_name())).write(launch.failure)
        return False
    return True


def _run_fork(launch: Launch) -> None:
    """What a training process that is a fork does first."""
    die_with_parent()
    # A fork has the agent's handler, which a process that waits for another in C++ would never come to run.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pkgutil.resolve_name(launch.entry)(launch.argument)


def _redirect(output: Connection) -> None:
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    # In a fork these may be objects that write somewhere else.
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    output.close()


def _describe(rank: int, exit_code: int, signal_name: str) -> str:
    if exit_code >= 0:
        return f"process {rank} ended with exit code {exit_code}"
    reason = " (often: out of memory)" if signal_name == "SIGKILL" else ""
    return f"process {rank} was killed by {signal_name}{reason}"
