"""torchrun's agent, one on each node: it starts the training processes, and says which failed, and how.

Where the nodes find each other is the environment's business: torchrun's own variables, which Kubernetes' training
operator sets (`PET_NNODES`, `PET_NODE_RANK`, `PET_NPROC_PER_NODE`, `PET_MASTER_ADDR`, ...), or `one_machine`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from med42lib.core.errors import TERMINATED_EXIT_CODE
from med42lib.core.process import children_die_with_this_process
from med42lib.store.scratch import attempt_folder, machine_scratch
from med42lib.train.job import STOPPED, Failure
from med42lib.train.worker.starts import starting_again_together

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

WORKER = "med42lib.train.worker"


def one_machine(num_processes: int) -> dict[str, str]:
    """Give torchrun's variables for a training on this machine alone, on a port that is free."""
    return {
        "PET_NNODES": "1",
        "PET_NPROC_PER_NODE": str(num_processes),
        "PET_RDZV_BACKEND": "c10d",
        "PET_RDZV_ENDPOINT": "localhost:0",
        "PET_LOCAL_ADDR": "127.0.0.1",
    }


def run_node(job_address: str, *, worker: str = WORKER, fork: Callable[[str], None] | None = None) -> int:
    """Run this node's part of a job under torchrun, as the environment says.

    Args:
        job_address: Where the job is written.
        worker: The module that a training process runs.
        fork: Called in forks of this process; without it each training process is a new Python.

    Returns:
        The exit code: 0, 1 if a training process failed, 143 if training was asked to stop, so that a retry goes on.
        The reason stands at the job's address.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in ("torch.distributed.elastic", "torch.distributed.run", "torch.multiprocessing"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with attempt_folder(machine_scratch(), "torchrun") as logs:
        config = _launch_config(logs)
        with starting_again_together(config):
            try:
                _launch(config, job_address, worker, fork)
            except ChildFailedError as error:
                rank, failed = error.get_first_failure()
                Failure("killed", _describe(rank, failed.exitcode, failed.signal_name())).write(job_address)
            except SignalException:  # torchrun has passed it on, and waited for its processes (`GRACE_VARIABLE`)
                Failure(STOPPED, "training was asked to stop before it could save").write(job_address)
            else:
                return 0
            failure = Failure.read_if_reachable(job_address)
    return TERMINATED_EXIT_CODE if failure is not None and failure.kind == STOPPED else 1


def _launch(config: LaunchConfig, job_address: str, worker: str, fork: Callable[[str], None] | None) -> None:
    """Run this node's training processes under torchrun's agent, to their end."""
    from torch.distributed.launcher.api import elastic_launch

    if fork is not None:
        config.start_method = "fork"
        elastic_launch(config, fork)(job_address)
        return
    with children_die_with_this_process():
        elastic_launch(config, sys.executable)("-m", worker, "--job", job_address)


def is_training_process(environment: Mapping[str, str]) -> bool:
    """Tell a process that torchrun started from the one that is to start them: only torchrun counts within a node."""
    return "LOCAL_RANK" in environment


def _launch_config(logs: Path) -> LaunchConfig:
    """Let torchrun read its variables itself; `logs` is for what it keeps of its processes' errors."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.run import config_from_args, parse_args

    config, _, _ = config_from_args(parse_args(["-m", WORKER]))  # type: ignore[no-untyped-call]
    config.max_restarts = 0
    config.logs_specs = DefaultLogsSpecs(log_dir=str(logs))
    return config


def _describe(rank: int, exit_code: int, signal_name: str) -> str:
    if exit_code >= 0:
        return f"process {rank} ended with exit code {exit_code}"
    reason = " (often: out of memory)" if signal_name == "SIGKILL" else ""
    return f"process {rank} was killed by {signal_name}{reason}"
