import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines import warm
from pipelines.warm import WarmProcesses

pytestmark = pytest.mark.timeout(120)

SLEEPER = """
import os, sys, time
import med42lib.cli
from pipelines import warm
warm._IMPORTS = "json"
if __name__ == "__main__":
    processes = warm.WarmProcesses()
    processes._start()
    processes.run(["stage", "pack", "--executor-input", "@" + sys.argv[1]], os.environ)
"""
STARTER = """
import time
from pipelines import warm
warm.WarmProcesses()._start()
time.sleep(1.5)
print("started", flush=True)
"""


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of these tests imports nothing slow."""
    monkeypatch.setattr(warm, "_IMPORTS", "json")
    monkeypatch.setattr(warm, "SECONDS_OF_WORK", 0.05)
    monkeypatch.setattr(warm, "has_accelerator", lambda: False)


def test_quick_stages_start_no_server() -> None:
    processes = WarmProcesses()
    with processes.started_if_slow("assemble"):
        pass
    time.sleep(0.1)
    assert not processes.can_run("pack")


def test_a_stage_that_works_starts_the_server_for_the_next_ones() -> None:
    processes = WarmProcesses()
    with processes.started_if_slow("assemble"):
        assert not processes.can_run("pack")
        time.sleep(0.5)
    assert processes.can_run("pack")
    assert not processes.can_run("fetch_model"), "its imports depend on the environment"


@pytest.mark.parametrize("stage", sorted(warm.LAST_STAGES))
def test_the_last_stages_start_no_server_that_nobody_would_use(stage: str) -> None:
    processes = WarmProcesses()
    with processes.started_if_slow(stage):
        time.sleep(0.5)
    assert not processes.can_run("pack")


def test_a_server_that_is_still_importing_is_gone_with_the_run(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(STARTER)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"started\n"
        children = psutil.Process(run.pid).children(recursive=True)
    assert children
    assert run.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=3)
    assert not alive


def test_with_gpus_no_server_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "has_accelerator", lambda: True)
    processes = WarmProcesses()
    with processes.started_if_slow("assemble"):
        time.sleep(0.5)
    assert not processes.can_run("pack")


def test_a_warm_stage_has_the_exit_code_of_the_command() -> None:
    processes = WarmProcesses()
    processes._start()
    assert processes.run(["stage", "pack", "--executor-input", "{}"], os.environ) == 2


def test_a_warm_stage_dies_with_the_run(tmp_path: Path) -> None:
    """The stage waits for ever to read its request from a pipe that nobody writes to."""
    script, pipe = tmp_path / "run.py", tmp_path / "pipe"
    script.write_text(SLEEPER)
    os.mkfifo(pipe)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    run = subprocess.Popen([sys.executable, str(script), str(pipe)], env=environment, cwd=tmp_path)
    children = wait_for_a_grandchild(run.pid)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def wait_for_a_grandchild(pid: int) -> list[psutil.Process]:
    while True:
        for child in psutil.Process(pid).children():
            if child.children():
                return psutil.Process(pid).children(recursive=True)
        time.sleep(0.02)
