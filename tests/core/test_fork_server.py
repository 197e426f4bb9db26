import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.processes import gone, wait_for

CREATOR = """
    import ctypes, multiprocessing, os, time
    from med42lib.core import process

    def work():
        print(os.getpid(), flush=True)
        {work}

    if __name__ == "__main__":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([process.FORK_SERVER])
        with process.children_die_with_this_process():
            context.Process(target=work).start()
        time.sleep(60)
"""
HOLD_THE_GIL = "ctypes.PyDLL(None).sleep(60)"
FORK = "own = os.fork(); own and print(own, flush=True); time.sleep(60)"


def started(folder: Path, work: str) -> "subprocess.Popen[str]":
    (folder / "creator.py").write_text(textwrap.dedent(CREATOR).format(work=work))
    command = [sys.executable, str(folder / "creator.py")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("killed", ["creator", "server"])
def test_a_fork_dies_with_whom_it_was_made_for_whatever_it_is_doing(tmp_path: Path, killed: str) -> None:
    with started(tmp_path, HOLD_THE_GIL) as creator:
        assert creator.stdout is not None
        fork = int(creator.stdout.readline())
        server = psutil.Process(fork).ppid()
        assert server != creator.pid
        (creator if killed == "creator" else psutil.Process(server)).kill()
        wait_for(lambda: gone(fork) and gone(server), seconds=1)
        creator.kill()


def test_a_forks_own_forks_are_its_own_business(tmp_path: Path) -> None:
    with started(tmp_path, FORK) as creator:
        assert creator.stdout is not None
        fork, forks_own = int(creator.stdout.readline()), int(creator.stdout.readline())
        creator.kill()
        wait_for(lambda: gone(fork), seconds=1)
    assert not gone(forks_own)
    psutil.Process(forks_own).kill()
