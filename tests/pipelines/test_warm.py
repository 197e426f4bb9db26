import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from med42lib.catalogue import STAGES
from med42lib.core.process import children_die_with_this_process
from pipelines import warm
from pipelines.warm import WarmProcesses
from tests.processes import gone, wait_for

pytestmark = pytest.mark.timeout(120)

SLEEPER = """
import os, sys, time
import med42lib.commands.main
from med42lib.core.process import children_die_with_this_process
from pipelines import warm
warm._IMPORTS = "json"
warm.SECONDS_OF_WORK = 0.05
if __name__ == "__main__":
    processes = warm.WarmProcesses()
    with children_die_with_this_process():
        with processes.started_if_slow("assemble"):
            while not processes.can_run("pack"):
                time.sleep(0.02)
        processes.run(["stage", "pack", "--executor-input", "@" + sys.argv[1]], os.environ)
"""
STARTER = """
import time
from med42lib.core.process import children_die_with_this_process
from pipelines import warm
warm._IMPORTS = "hanging"
warm.SECONDS_OF_WORK = 0.05
with children_die_with_this_process(), warm.WarmProcesses().started_if_slow("assemble"):
    time.sleep(60)
"""
HANGING = """
import ctypes, pathlib
pathlib.Path(__file__).with_name("importing").touch()
ctypes.PyDLL(None).sleep(30)  # PyDLL keeps the GIL, as the loading of a large library does
"""


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of these tests imports nothing slow."""
    monkeypatch.setattr(warm, "_IMPORTS", "json")
    monkeypatch.setattr(warm, "SECONDS_OF_WORK", 0.05)
    monkeypatch.setattr(warm, "has_accelerator", lambda: False)


def test_what_is_said_of_stages_is_said_of_some_that_there_are() -> None:
    assert STAGES.keys() >= warm.STAGES | warm.LAST_STAGES
    assert not warm.STAGES & warm.LAST_STAGES


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
        wait_for(lambda: processes.can_run("pack"))
    assert not processes.can_run("fetch_model"), "its imports depend on the environment"


@pytest.mark.parametrize("stage", sorted(warm.LAST_STAGES))
def test_the_last_stages_start_no_server_that_nobody_would_use(stage: str) -> None:
    processes = WarmProcesses()
    with processes.started_if_slow(stage):
        time.sleep(0.5)
    assert not processes.can_run("pack")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_server_in_the_middle_of_an_import_is_gone_with_the_run(tmp_path: Path, end: int) -> None:
    script = tmp_path / "run.py"
    script.write_text(STARTER)
    (tmp_path / "hanging.py").write_text(HANGING)
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}{os.pathsep}{tmp_path}"}
    with subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL) as run:
        wait_for((tmp_path / "importing").exists)
        children = [child.pid for child in psutil.Process(run.pid).children(recursive=True)]
        run.send_signal(end)
    assert children
    wait_for(lambda: all(map(gone, children)), seconds=1)


def test_the_thread_that_started_the_server_stays_since_the_kernel_kills_a_child_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starters: list[threading.Thread] = []
    monkeypatch.setattr(warm, "ensure_running", lambda: starters.append(threading.current_thread()))
    with WarmProcesses().started_if_slow("assemble"):
        wait_for(lambda: bool(starters))
    starters[0].join(0.2)
    assert starters[0].is_alive()


def test_with_gpus_no_server_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "has_accelerator", lambda: True)
    processes = WarmProcesses()
    with processes.started_if_slow("assemble"):
        time.sleep(0.5)
    assert not processes.can_run("pack")


def test_a_warm_stage_has_the_exit_code_of_the_command() -> None:
    processes = WarmProcesses()
    with children_die_with_this_process(), processes.started_if_slow("assemble"):
        wait_for(lambda: processes.can_run("pack"))
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
    wait_for(lambda: all(map(gone, children)), seconds=1)


def wait_for_a_grandchild(pid: int) -> list[int]:
    while True:
        for child in psutil.Process(pid).children():
            if child.children():
                return [process.pid for process in psutil.Process(pid).children(recursive=True)]
        time.sleep(0.02)


SERVER_KILLED = """
import os, signal, threading, time
from multiprocessing import forkserver
from med42lib.core.process import children_die_with_this_process
from pipelines import warm
warm._IMPORTS = "hanging"
warm.SECONDS_OF_WORK = 0.05
processes = warm.WarmProcesses()
with children_die_with_this_process():
    with processes.started_if_slow("assemble"):
        while not processes.can_run("pack"):
            time.sleep(0.02)
    threading.Timer(0.5, lambda: os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)).start()
    print(processes.run(["stage", "pack"], os.environ))
"""


def test_a_server_that_is_killed_before_it_has_started_a_stage_has_that_end_as_one_that_was_killed(
    tmp_path: Path,
) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", SERVER_KILLED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"{-signal.SIGKILL}\n", done.stderr
