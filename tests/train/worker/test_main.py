import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from med42lib.core.process import PARENT_VARIABLE
from tests.processes import gone, wait_for

# The job is a pipe that nobody writes to, so the process waits for ever to read it.
PARENT = """
import subprocess, sys
from med42lib.core.process import child_environment
command = [sys.executable, "-m", "med42lib.train.worker", "--job", sys.argv[1]]
child = subprocess.Popen(command, env=child_environment())
print(child.pid, flush=True)
child.wait()
"""


def environment(**others: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.getcwd(), "LOCAL_RANK": "0", **others}


def test_it_dies_with_its_parent_whatever_it_waits_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "job.json")
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        wait_for(lambda: "job" in Path(f"/proc/{child}/cmdline").read_text())
        parent.kill()
    wait_for(lambda: gone(child), seconds=1)


def test_one_whose_parent_is_gone_does_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "med42lib.train.worker", "--job", str(tmp_path)]
    done = subprocess.run(command, env=environment(**{PARENT_VARIABLE: "999999999"}), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-9, b"")


def test_without_a_job_it_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "med42lib.train.worker"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--job" in done.stderr


NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def may_make_namespaces() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*NAMESPACE, "true"], check=False).returncode == 0


@pytest.mark.skipif(not may_make_namespaces(), reason="this machine lets nobody make a namespace of processes")
def test_as_a_containers_first_process_it_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    """Whatever it waits for: here for a job that never comes."""
    os.mkfifo(tmp_path / "job.json")
    command = [*NAMESPACE, sys.executable, "-m", "med42lib.train.worker", "--job", str(tmp_path)]
    with subprocess.Popen(command, env=environment()) as outside:
        wait_for(lambda: is_read(tmp_path / "job.json"))
        first = int(Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text())
        os.kill(first, signal.SIGTERM)
        try:
            assert outside.wait(timeout=5) == 128 + signal.SIGTERM
        finally:
            outside.kill()


def is_read(fifo: Path) -> bool:
    """Say whether somebody waits to read from a pipe, and keep them waiting: the end to write to stays open."""
    try:
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    return True
