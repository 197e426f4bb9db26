import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from med42lib.train.job import Failure
from med42lib.train.worker import node
from tests.conftest import REPOSITORY
from tests.s3_server import free_ports
from tests.train.launchers.local_operator import injected

NODE = """
import sys
from med42lib.core.process import exit_at_once
from med42lib.train.worker.node import run_node
exit_at_once(run_node(sys.argv[1], worker="tests.train.worker.cut_off"))
"""


def start(folder: Path, rank: int, nodes: int, processes: int, port: int, **own: str) -> "subprocess.Popen[str]":
    """Start a node as the training operator does."""
    disk = {"MED42_SCRATCH": str(folder), "TMPDIR": str(folder), "PYTHONPATH": str(REPOSITORY)}
    environment = {**os.environ, **injected(rank, nodes, processes, port), **disk, **own}
    command = [sys.executable, "-c", NODE, str(folder / "job")]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("nodes", "processes"), [(1, 2), (2, 1)])
def test_that_a_process_was_killed_is_told_and_not_that_others_lost_it(
    tmp_path: Path, nodes: int, processes: int
) -> None:
    [port] = free_ports(1)
    started = [start(tmp_path, rank, nodes, processes, port) for rank in range(nodes)]
    said = [node.communicate(timeout=120)[1] for node in started]
    assert [node.returncode for node in started] == [1] * nodes
    assert Failure.read(str(tmp_path / "job")) == Failure(
        "killed", "process 1 was killed by SIGKILL (often: out of memory)"
    )
    assert "gloo" in (tmp_path / "job/consequence.json").read_text()
    assert "process 1 was killed by SIGKILL" in said[-1]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_node_that_has_waited_in_vain_for_another_says_so_in_plain_words(tmp_path: Path) -> None:
    [port] = free_ports(1)
    waiting = start(tmp_path, 0, 2, 1, port, PET_RDZV_CONF="timeout=2")
    _, said = waiting.communicate(timeout=100)
    assert waiting.returncode == 1
    assert "Traceback" not in said
    failure = Failure.read(str(tmp_path / "job"))
    assert failure is not None
    assert failure.kind == "EnvironmentProblem"
    assert "for all 2 nodes to come, which is max_hours_waiting of the job template" in failure.message
    assert failure.message in said


KILLED, ABORTED, ASKED, FAILED = -9, -6, -15, 1


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ({0: (FAILED, 100), 1: (KILLED, 100)}, ("killed", "process 1 was killed by SIGKILL (often: out of memory)")),
        ({0: (FAILED, 100), 1: (KILLED, 107)}, ("killed", "process 1 was killed by SIGKILL (often: out of memory)")),
        ({0: (FAILED, 100), 1: (KILLED, 130)}, ("ended", "process 0 ended with exit code 1")),
        ({0: (FAILED, 100), 1: (ASKED, 101)}, ("ended", "process 0 ended with exit code 1")),
        ({0: (ABORTED, 100), 1: (ASKED, 101)}, ("ended", "process 0 was killed by SIGABRT")),
        ({0: (ABORTED, 100), 1: (-11, 100)}, ("killed", "process 1 was killed by SIGSEGV")),
    ],
    ids=["at once", "after its peer", "by torchrun", "asked by torchrun", "NCCL", "a crash"],
)
def test_of_a_nodes_failed_processes_the_one_that_the_others_failed_with_is_told(
    monkeypatch: pytest.MonkeyPatch, ends: dict[int, tuple[int, int]], told: tuple[str, str]
) -> None:
    monkeypatch.delenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", raising=False)
    names = {-9: "SIGKILL", -6: "SIGABRT", -15: "SIGTERM", -11: "SIGSEGV", 1: "<N/A>"}
    failures: Any = {
        rank: SimpleNamespace(exitcode=code, timestamp=when, signal_name=lambda code=code: names[code])
        for rank, (code, when) in ends.items()
    }
    assert node.first_failure(failures) == Failure(*told)


@pytest.mark.parametrize(("asked", "threads"), [(None, "8"), ("3", "3")])
def test_a_pods_processes_share_its_cores_unless_somebody_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, threads: str
) -> None:
    given = {**injected(0, 16, 8, 29500), **({"OMP_NUM_THREADS": asked} if asked else {})}
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], **given})
    monkeypatch.setattr(node, "num_cores", lambda: 64)
    node._launch_config(tmp_path)
    assert os.environ["OMP_NUM_THREADS"] == threads
