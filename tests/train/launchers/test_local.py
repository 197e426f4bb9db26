import json
import os
import sys
import time
from pathlib import Path

import pytest

from med42lib.core import environment
from med42lib.core.errors import DivergedError, EnvironmentProblem, NoSpaceError, TrainingProcessError
from med42lib.core.progress import TERMINAL_VARIABLE
from med42lib.core.stop_signal import StopSignal
from med42lib.train.launchers import local
from med42lib.train.launchers.local import LocalLauncher, processes_per_node, threads_per_process
from tests.conftest import REPOSITORY
from tests.hostile import unseen_in
from tests.train.conftest import FULL, job_of


@pytest.fixture(params=["spawn", "fork"])
def started_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_START_METHOD", request.param)


class StopWhenDeaf(StopSignal):
    """Asks to stop when both stand-ins hear no signal any more."""

    def __init__(self, store: Path) -> None:
        super().__init__()
        self._store = store

    def is_set(self) -> bool:
        return len(list(self._store.rglob("deaf-*"))) == 2


def run(doing: str, folder: Path, monkeypatch: pytest.MonkeyPatch, stopping: StopSignal | None = None) -> None:
    """Start two stand-ins that do something."""
    monkeypatch.setenv("MED42_STAND_IN", doing)
    monkeypatch.setenv("MED42_PROCESSES_PER_NODE", "2")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    LocalLauncher("tests.train.launchers.stand_in").run(job_of(FULL, "p", "m", folder), stopping or StopSignal())


@pytest.mark.slow
@pytest.mark.usefixtures("started_by")
def test_output_of_every_process_is_passed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("healthy", tmp_path, monkeypatch)
    captured = capsys.readouterr()
    assert sorted(captured.err.splitlines()) == ["rank 0 of 2", "rank 1 of 2"]
    assert captured.out == ""


@pytest.mark.slow
def test_output_is_passed_on_without_secrets_and_unseen_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_START_METHOD", "fork")
    run("telling", tmp_path, monkeypatch)
    shown = capsys.readouterr().err
    assert shown.startswith("HF_TOKEN=*** \\x1b[2J")
    assert "\n 10%\r 20%\r\n***\nend" in shown, "bars still go back to the beginning of their line"
    assert not unseen_in(shown.replace("\r", ""))


@pytest.mark.slow
def test_in_json_every_line_of_every_process_is_an_object_with_its_rank_where_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_START_METHOD", "fork")
    monkeypatch.setenv("MED42_LOG", "json")
    monkeypatch.setenv("MED42_LOG_PLACE", '{"stage": "train"}')
    run("logging_in_json", tmp_path, monkeypatch)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert sorted((line["message"], line["stage"], line.get("rank")) for line in said if "rank" in line) == [
        ("token=*** of 0", "train", "0"),
        ("token=*** of 1", "train", "1"),
    ]
    others = [(line["message"], line["stage"], line["logger"]) for line in said if "rank" not in line]
    assert others == 2 * [("a library says password=***", "train", "med42.train")]


@pytest.mark.slow
@pytest.mark.usefixtures("started_by")
def test_a_killed_process_is_named_with_its_signal_and_the_end_of_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    with pytest.raises(TrainingProcessError, match=r"process 1 was killed by SIGKILL(.|\n)*about to die") as caught:
        run("killed", tmp_path, monkeypatch)
    assert len(str(caught.value).splitlines()) < 25
    assert time.monotonic() - started < 30, "the other process was not stopped"


@pytest.mark.slow
@pytest.mark.usefixtures("started_by")
def test_an_error_of_one_process_ends_all_and_is_the_stages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DivergedError, match="at step 3"):
        run("failing", tmp_path, monkeypatch)
    assert "Traceback" not in capsys.readouterr().err


def test_an_unknown_way_of_starting_processes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_START_METHOD", "forkserver")
    with pytest.raises(EnvironmentProblem, match="'forkserver': expected spawn or fork"):
        run("healthy", tmp_path, monkeypatch)


def test_a_torchrun_that_cannot_start_is_no_success(tmp_path: Path) -> None:
    error = local._failure(str(tmp_path), 3, "the tail").to_error("the tail")
    assert type(error) is TrainingProcessError
    assert "torchrun ended with exit code 3" in str(error)
    assert "the tail" in str(error)


def test_a_disk_too_full_for_the_reason_is_recognised_by_the_output(tmp_path: Path) -> None:
    tail = "OSError: [Errno 28] No space left on device: 'failure.json'"
    assert type(local._failure(str(tmp_path), 1, tail).to_error(tail)) is NoSpaceError


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
    monkeypatch.setattr(local, "_num_cuda_devices", lambda: 0)
    assert processes_per_node() == 2
    monkeypatch.setattr(local, "_num_cuda_devices", lambda: 8)
    assert processes_per_node() == 8


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: range(8))
    assert [threads_per_process(processes) for processes in (1, 3, 8, 16)] == [8, 2, 1, 1]


def test_a_users_choice_of_threads_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert local._environment(2)["OMP_NUM_THREADS"] == "5"


def test_what_a_containers_cpu_limit_allows_is_divided_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: range(64))
    monkeypatch.setattr(environment, "cpu_limit", lambda _cgroups: 4.0)
    environment.limit_threads()
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert local._environment(2)["OMP_NUM_THREADS"] == "2"


def test_a_bar_is_drawn_only_if_someone_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert local._environment(2)[TERMINAL_VARIABLE] == "1"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert TERMINAL_VARIABLE not in local._environment(2)


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "at_most"), [("1", 10), ("4", 20)])
def test_who_does_not_stop_is_killed_when_the_time_to_save_is_over_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seconds: str, at_most: float
) -> None:
    monkeypatch.setenv("MED42_START_METHOD", "fork")
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", seconds)
    began = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        run("deaf", tmp_path, monkeypatch, StopWhenDeaf(tmp_path))
    assert ended.value.code == 143
    assert float(seconds) < time.monotonic() - began < at_most
    assert "training was asked to stop before it could save" in caplog.text
