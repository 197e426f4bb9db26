import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import distributed

from med42lib.train.worker.starts import STORE_VARIABLE, check_start
from tests.conftest import REPOSITORY
from tests.processes import gone, wait_for
from tests.s3_server import free_ports
from tests.train.launchers.local_operator import injected

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NODE = """
import sys
from med42lib.core.process import exit_at_once
from med42lib.train.worker import starts
from med42lib.train.worker.node import run_node
starts._SECONDS_TO_ANSWER = starts._SECONDS_TO_END = 5
exit_at_once(run_node(sys.argv[1], worker="tests.train.worker.deaf"))
"""

Start = Callable[[int], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a node of two, as the training operator does."""
    [port], nodes = free_ports(1), []

    def start(rank: int) -> "subprocess.Popen[bytes]":
        own = {"PET_RDZV_CONF": "timeout=600", "PYTHONPATH": str(REPOSITORY)}
        disk = {"MED42_SCRATCH": str(tmp_path), "TMPDIR": str(tmp_path)}
        environment = {**os.environ, **injected(rank, 2, 1, port), **own, **disk}
        nodes.append(subprocess.Popen([sys.executable, "-c", NODE, str(tmp_path)], env=environment))
        return nodes[-1]

    yield start
    for node in nodes:
        node.kill()
        node.wait()


@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_node_was_killed_the_other_ends_though_its_processes_wait_and_both_meet_again(
    start: Start, tmp_path: Path, killed: int
) -> None:
    nodes = [start(0), start(1)]
    wait_for(lambda: len(list(tmp_path.glob("node-*-1"))) == 2, seconds=60)
    nodes[killed].kill()
    again = {killed: start(killed)}
    other = 1 - killed
    assert nodes[other].wait(90) == 1
    again[other] = start(other)
    assert {rank: node.wait(90) for rank, node in again.items()} == {0: 0, 1: 0}
    assert {path.name for path in tmp_path.glob("node-*")} == {"node-0-1", "node-0-2", "node-1-1", "node-1-2"}
    for path in tmp_path.glob("node-*-1"):
        wait_for(lambda path=path: gone(int(path.read_text())), seconds=30)  # type: ignore[misc]


def test_a_first_node_that_answers_no_more_is_a_lost_one(start: Start, tmp_path: Path) -> None:
    nodes = [start(0), start(1)]
    wait_for(lambda: len(list(tmp_path.glob("node-*-1"))) == 2, seconds=60)
    nodes[0].send_signal(signal.SIGSTOP)  # like a machine without power, it breaks no connection
    assert nodes[1].wait(60) == 1


def test_a_process_of_an_earlier_start_ends_before_it_meets_those_of_the_next() -> None:
    [port] = free_ports(1)
    store = distributed.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    given = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    store.set("med42/name", "second")
    check_start({**given, STORE_VARIABLE: "second"})
    check_start(given)  # one that no torchrun of ours has started
    with pytest.raises(SystemExit, match="1"):
        check_start({**given, STORE_VARIABLE: "first"})
