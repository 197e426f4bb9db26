import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from med42lib.core.errors import DivergedError, EnvironmentProblem, NoSpaceError, TrainingProcessError
from med42lib.core.progress import TERMINAL_VARIABLE
from med42lib.train import launcher
from med42lib.train.launcher import check_launcher, processes_per_node, run_torchrun, threads_per_process
from med42lib.train.request import reported_errors
from tests.conftest import REPOSITORY
from tests.hostile import UNSEEN_IN_UTF_8, unseen_in


def healthy_worker(argument: Path) -> None:
    sys.stdout.write(f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} got {argument.name}\n")


def killed_worker(_argument: Path) -> None:
    sys.stderr.write("about to die\n")
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def telling_worker(_argument: Path) -> None:
    if os.environ["RANK"] == "0":
        sys.stdout.write(f"HF_TOKEN=hunter2 {UNSEEN_IN_UTF_8}")
        sys.stdout.flush()
        sys.stdout.write("\n 10%\r 20%\r\n-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\nend")


def failing_worker(argument: Path) -> None:
    with reported_errors(argument.parent / "failure.json", argument.parent):
        if os.environ["RANK"] == "1":
            raise DivergedError("at step 3")
        time.sleep(60)


@pytest.fixture(autouse=True)
def workers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new Python process may not look for this module in the working folder, once a command has run."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.fixture(params=["spawn", "fork"])
def started_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_START_METHOD", request.param)


def run(entry: Callable[[Path], None], folder: Path) -> None:
    run_torchrun(entry, folder / "request.json", processes=2, failure=folder / "failure.json")


@pytest.mark.slow
@pytest.mark.usefixtures("started_by")
def test_output_of_every_process_is_passed_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(healthy_worker, tmp_path)
    captured = capsys.readouterr()
    assert sorted(captured.err.splitlines()) == ["rank 0 of 2 got request.json", "rank 1 of 2 got request.json"]
    assert captured.out == ""


@pytest.mark.slow
def test_output_is_passed_on_without_secrets_and_unseen_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_START_METHOD", "fork")
    run(telling_worker, tmp_path)
    shown = capsys.readouterr().err
    assert shown.startswith("HF_TOKEN=*** \\x1b[2J")
    assert "\n 10%\r 20%\r\n***\nend" in shown, "bars still go back to the beginning of their line"
    assert not unseen_in(shown.replace("\r", ""))


@pytest.mark.slow
@pytest.mark.usefixtures("started_by")
def test_a_killed_process_is_named_with_its_signal_and_the_end_of_the_output(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(TrainingProcessError, match=r"process 1 was killed by SIGKILL(.|\n)*about to die") as caught:
        run(killed_worker, tmp_path)
    assert len(str(caught.value).splitlines()) < 25
    assert time.monotonic() - started < 30, "the other process was not stopped"


@pytest.mark.slow
@pytest.mark.usefixtures("started_by")
def test_an_error_of_one_process_ends_all_and_is_the_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DivergedError, match="at step 3"):
        run(failing_worker, tmp_path)
    assert capsys.readouterr().err == ""


def test_an_unknown_way_of_starting_processes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_START_METHOD", "forkserver")
    with pytest.raises(EnvironmentProblem, match="'forkserver': expected spawn or fork"):
        run(healthy_worker, tmp_path)


def test_a_torchrun_that_cannot_start_is_no_success(tmp_path: Path) -> None:
    error = launcher._failure(tmp_path / "none.json", 3, "the tail").to_error("the tail")
    assert type(error) is TrainingProcessError
    assert "torchrun ended with exit code 3" in str(error)
    assert "the tail" in str(error)


def test_a_disk_too_full_for_the_reason_is_recognised_by_the_output(tmp_path: Path) -> None:
    tail = "OSError: [Errno 28] No space left on device: 'failure.json'"
    assert type(launcher._failure(tmp_path / "none.json", 1, tail).to_error(tail)) is NoSpaceError


def test_only_launchers_that_exist_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MED42_LAUNCHER", raising=False)
    check_launcher()
    monkeypatch.setenv("MED42_LAUNCHER", "pytorchjob")
    with pytest.raises(EnvironmentProblem, match=r"'pytorchjob'.*only 'torchrun'"):
        check_launcher()


def test_the_environment_decides_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_PROCESSES_PER_NODE", "16")
    assert processes_per_node() == 16


@pytest.mark.parametrize("value", ["0", "two", "-1", ""])
def test_a_number_of_processes_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MED42_PROCESSES_PER_NODE", value)
    with pytest.raises(EnvironmentProblem, match="whole number above 0"):
        processes_per_node()


def test_without_gpus_there_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MED42_PROCESSES_PER_NODE", raising=False)
    monkeypatch.setattr(launcher, "_num_cuda_devices", lambda: 0)
    assert processes_per_node() == 2
    monkeypatch.setattr(launcher, "_num_cuda_devices", lambda: 8)
    assert processes_per_node() == 8


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: range(8))
    assert [threads_per_process(processes) for processes in (1, 3, 8, 16)] == [8, 2, 1, 1]


def test_a_users_choice_of_threads_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert launcher._environment(2)["OMP_NUM_THREADS"] == "5"


def test_a_bar_is_drawn_only_if_someone_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert launcher._environment(2)[TERMINAL_VARIABLE] == "1"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert TERMINAL_VARIABLE not in launcher._environment(2)
