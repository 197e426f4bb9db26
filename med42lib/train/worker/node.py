"""torchrun's agent, one on each node: it starts the training processes, and says which failed, and how.

Where the nodes find each other is the environment's business: torchrun's own variables, which Kubernetes' training
operator sets (`PET_NNODES`, `PET_NODE_RANK`, `PET_NPROC_PER_NODE`, `PET_MASTER_ADDR`, ...), or `one_machine`.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from med42lib.core.environment import THREADS_VARIABLE, num_cores, threads_asked_for
from med42lib.core.errors import TERMINATED_EXIT_CODE, EnvironmentProblem
from med42lib.core.log import log
from med42lib.core.process import children_die_with_this_process
from med42lib.store.scratch import attempt_folder, machine_scratch
from med42lib.train.job import ENDED, STOPPED, Failure, grace_seconds
from med42lib.train.worker.starts import starting_again_together

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure
    from torch.distributed.launcher.api import LaunchConfig

WORKER = "med42lib.train.worker"
_TIMED_OUT = re.compile("timed? ?out", re.IGNORECASE)
_OF_CONSEQUENCES = (signal.SIGTERM, signal.SIGABRT)
"""torchrun's own, and that by which NCCL ends a process that has lost another."""


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
        with _told_if_alone(config, job_address), starting_again_together(config):
            try:
                _launch(config, job_address, worker, fork)
            except ChildFailedError as error:
                failure = first_failure(error.failures)
                log("train").error("%s", failure.message)
                failure.write(job_address)
            except SignalException:  # torchrun has passed it on, and waited for its processes (`GRACE_VARIABLE`)
                Failure(STOPPED, "training was asked to stop before it could save").write(job_address)
            else:
                return 0
    told = Failure.read_if_reachable(job_address)
    return TERMINATED_EXIT_CODE if told is not None and told.kind == STOPPED else 1


@contextmanager
def _told_if_alone(config: LaunchConfig, job_address: str) -> Iterator[None]:
    """End the block where nodes do not meet in it, and say why in plain words."""
    from torch.distributed import DistError

    began, seconds = time.monotonic(), float(config.rdzv_configs["timeout"])
    try:
        yield
    except DistError as error:
        failure = Failure(ENDED, f"the nodes lost one another: {error}")
        if _TIMED_OUT.search(str(error)) and time.monotonic() - began >= seconds:
            failure = Failure(EnvironmentProblem.__name__, _alone(config.max_nodes, seconds))
        log("train").error("%s", failure.message)
        failure.write(job_address)


def _alone(num_nodes: int, seconds: float) -> str:
    return (
        f"{socket.gethostname()} waited {seconds / 3600:g} hours for all {num_nodes} nodes to come, which is "
        "max_hours_waiting of the job template; see what the pods wait for that do not run (kubectl describe pod), or "
        "train on fewer nodes, then run again"
    )


def _launch(config: LaunchConfig, job_address: str, worker: str, fork: Callable[[str], None] | None) -> None:
    """Run this node's training processes under torchrun's agent, to their end."""
    from torch.distributed.launcher.api import elastic_launch

    if fork is not None:
        config.start_method = "fork"
        elastic_launch(config, fork)(job_address)
        return
    with children_die_with_this_process():
        elastic_launch(config, sys.executable)("-m", worker, "--job", job_address)


def threads_per_process(processes: int) -> int:
    """Divide the cores that this process may use; at least 1."""
    return max(1, num_cores() // processes)


def is_training_process(environment: Mapping[str, str]) -> bool:
    """Tell a process that torchrun started from the one that is to start them: only torchrun counts within a node."""
    return "LOCAL_RANK" in environment


def _launch_config(logs: Path) -> LaunchConfig:
    """Let torchrun read its variables itself; `logs` is for what it keeps of its processes' errors."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.run import config_from_args, determine_local_world_size, parse_args

    given = parse_args(["-m", WORKER])  # type: ignore[no-untyped-call]
    processes = determine_local_world_size(given.nproc_per_node)
    # torchrun itself gives each process one thread where a node has several.
    os.environ[THREADS_VARIABLE] = threads_asked_for() or str(threads_per_process(processes))
    config, _, _ = config_from_args(given)
    config.max_restarts = 0
    config.logs_specs = DefaultLogsSpecs(log_dir=str(logs))
    return config


def first_failure(failures: Mapping[int, ProcessFailure]) -> Failure:
    """Describe the one of a node's failed processes, by rank, that the others failed with.

    Peers of a killed process may be gone before it is: the system has to clear its memory, and the GPU's, away.
    """
    close = grace_seconds() + min(failed.timestamp for failed in failures.values())  # then torchrun kills the others
    rank = min(failures, key=lambda rank: (not _is_cause(failures[rank], close), failures[rank].timestamp))
    failed, name = failures[rank], failures[rank].signal_name()
    if failed.exitcode >= 0:
        return Failure(ENDED, f"process {rank} ended with exit code {failed.exitcode}")
    reason = " (often: out of memory)" if name == "SIGKILL" else ""
    kind = "killed" if _is_cause(failed, close) else ENDED
    return Failure(kind, f"process {rank} was killed by {name}{reason}")


def _is_cause(failed: ProcessFailure, close: float) -> bool:
    return failed.exitcode < 0 and -failed.exitcode not in _OF_CONSEQUENCES and failed.timestamp < close
