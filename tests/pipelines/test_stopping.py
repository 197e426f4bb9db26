import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from med42lib.core.errors import TERMINATED_EXIT_CODE
from tests.processes import gone, wait_for

pytestmark = pytest.mark.timeout(120)

RUN = """
import os, signal, sys, time
from pathlib import Path
from med42lib.core.process import children_die_with_this_process, die_with_parent
from med42lib.core.stop_signal import StopSignal
from pipelines import stopping, warm
from pipelines.host import HostHandler, HostRun

how, does, folder = sys.argv[-3:]
warm._IMPORTS, warm.has_accelerator = "json", lambda: False
stopping._SECONDS_TO_END = 0.5

def stage(*_):
    die_with_parent()
    with StopSignal() as stopping:
        Path(folder, "works").touch()
        while does == "never ends" or not stopping.is_set():
            time.sleep(0.02)
        time.sleep(2)
    Path(folder, "saved").touch()

def ask(*_):
    sys.exit(143)

if __name__ == "__main__" and "stage" in sys.argv:
    stage()
elif __name__ == "__main__":
    signal.signal(signal.SIGTERM, ask)
    warm._med42, warm.SECONDS_OF_WORK, processes = stage, 0.05, warm.WarmProcesses()
    with children_die_with_this_process():
        if how == "cold":
            HostHandler([sys.executable, __file__, "stage", *sys.argv[-3:]], HostRun(1))._run_cold()
        with processes.started_if_slow("assemble"):
            while not processes.can_run("train"):
                time.sleep(0.02)
        processes.run([], os.environ)
"""
Start = Callable[[str, str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a run of one stage in a process group of its own, as a terminal does; returns when the stage is at work."""
    (tmp_path / "run.py").write_text(RUN)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    runs = []

    def start(how: str, does: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(tmp_path / "run.py"), how, does, str(tmp_path)]
        runs.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True))
        wait_for((tmp_path / "works").exists, seconds=60)
        return runs[-1]

    yield start
    for run in runs:
        run.kill()
        run.communicate()


def ctrl_c(run: "subprocess.Popen[str]") -> None:
    os.killpg(run.pid, signal.SIGINT)


def terminate_as_timeout_does(run: "subprocess.Popen[str]") -> None:
    run.terminate()
    run.terminate()


ASKED = [(ctrl_c, -signal.SIGINT), (terminate_as_timeout_does, TERMINATED_EXIT_CODE)]


@pytest.mark.parametrize("how", ["cold", "warm"])
@pytest.mark.parametrize(("ask", "exit_code"), ASKED)
def test_a_stage_saves_when_the_run_is_asked_to_stop(
    start: Start, tmp_path: Path, how: str, ask: Callable[["subprocess.Popen[str]"], None], exit_code: int
) -> None:
    run = start(how, "saves")
    ask(run)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == exit_code, said
    assert (tmp_path / "saved").exists(), said
    assert "stopping: a training has 30 s to save its state; asked again, all ends at once" in said


@pytest.mark.parametrize("how", ["cold", "warm"])
@pytest.mark.parametrize("ask", [ctrl_c, subprocess.Popen.terminate])
def test_asked_a_second_time_all_ends_at_once(
    start: Start, how: str, ask: Callable[["subprocess.Popen[str]"], None]
) -> None:
    run = start(how, "never ends")
    children = [child.pid for child in psutil.Process(run.pid).children(recursive=True)]
    ask(run)
    assert run.stderr is not None
    assert any("stopping" in line for line in run.stderr)
    ask(run)
    wait_for(lambda: run.poll() is not None and all(map(gone, children)), seconds=5)


def test_a_stage_that_does_not_end_in_time_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "1")
    run = start("cold", "never ends")
    children = [child.pid for child in psutil.Process(run.pid).children(recursive=True)]
    run.terminate()
    run.communicate(timeout=20)
    assert run.returncode == TERMINATED_EXIT_CODE
    assert all(map(gone, children))
