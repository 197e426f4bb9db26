"""The whole run: made, reused, changed, killed, and on S3."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.conftest import MED42, SMOKE, Run, scientific_content

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NUM_TASKS = 13
DEPENDS_ON_EVALUATE = ["evaluate", "evaluate", "evaluate", "report", "register"]


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """One uninterrupted run, and the folder of its MLflow."""
    home = tmp_path_factory.mktemp("reference")
    command = [*MED42, "run", str(SMOKE), "--store", str(home / "store")]
    environment = {**os.environ, "MED42_HOME": str(home / "home")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home, env=environment)
    return Run(done.returncode, done.stdout + done.stderr, str(home / "store")), home


@pytest.fixture
def copy_of_reference(reference: tuple[Run, Path], home: Path) -> Path:
    """A store to change without touching the reference."""
    shutil.copytree(reference[0].store, home / "store")
    return home / "store"


def test_the_run_ends_with_the_table_and_the_reports_path(reference: tuple[Run, Path]) -> None:
    run, _ = reference
    assert run.exit_code == 0, run.output
    assert len(run.made) == NUM_TASKS
    assert f"({NUM_TASKS}/{NUM_TASKS}) register" in run.output
    [report] = [line.split()[1] for line in run.output.splitlines() if line.startswith("report ")]
    assert Path(report).read_text().startswith("<!doctype html>")
    assert "mlflow ui --backend-store-uri sqlite:///" in run.output


def test_a_second_run_reuses_everything_but_the_look_at_mlflow(
    copy_of_reference: Path, med42_run: Callable[..., Run]
) -> None:
    again = med42_run(copy_of_reference)
    assert again.exit_code == 0, again.output
    assert len(again.reused) == NUM_TASKS - 1
    assert again.made == ["register"]


def test_a_knob_of_evaluate_runs_only_what_depends_on_it(
    copy_of_reference: Path, med42_run: Callable[..., Run]
) -> None:
    changed = med42_run(copy_of_reference, "evaluate.prompt=plain")
    assert changed.exit_code == 0, changed.output
    assert changed.made == DEPENDS_ON_EVALUATE


def test_a_run_killed_in_every_stage_ends_where_an_unbroken_one_does(
    reference: tuple[Run, Path], home: Path, med42_run: Callable[..., Run]
) -> None:
    store = home / "store"
    killed_in = [kill_during_next_stage(store, already_killed=count) for count in range(NUM_TASKS - 1)]
    assert len(set(killed_in)) >= 9, f"killed in {killed_in}"
    finished = med42_run(store)
    assert finished.exit_code == 0, finished.output
    assert scientific_content(str(store), home / "a") == scientific_content(reference[0].store, home / "b")
    assert not any((store / ".scratch").iterdir()), "a killed attempt's scratch is removed"


def kill_during_next_stage(store: Path, *, already_killed: int) -> str:
    """Start a run, let it finish `already_killed` tasks, and kill -9 it in the one after; returns that stage.

    By turns the whole run is killed and only the stage's own process.
    """
    run = subprocess.Popen([*MED42, "run", str(SMOKE), "--store", str(store)], stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    for line in run.stderr:
        if line.startswith(f"({already_killed + 1}/"):
            break
    stage = line.split()[1]
    processes = wait_for_scratch(store, stage, psutil.Process(run.pid))
    victim = run.pid if already_killed % 2 else processes[0].pid
    os.kill(victim, signal.SIGKILL)
    assert run.wait(timeout=60) in (137, -signal.SIGKILL)
    run.stderr.close()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive, f"{alive} outlived the run"
    return stage


def wait_for_scratch(store: Path, stage: str, run: psutil.Process) -> list[psutil.Process]:
    """Wait until the stage's process has its scratch folder, and a moment more; returns it with its children."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if list((store / ".scratch").glob(f"{stage}-*")):
            time.sleep(2.0 if stage == "train" else 0.1)
            return run.children(recursive=True)
        time.sleep(0.02)
    raise AssertionError(f"{stage} did not start")


def test_a_run_on_s3_finds_the_same_as_one_in_a_folder(
    reference: tuple[Run, Path], bucket: str, home: Path, med42_run: Callable[..., Run]
) -> None:
    on_s3 = med42_run(f"s3://{bucket}/runs")
    assert on_s3.exit_code == 0, on_s3.output
    assert scientific_content(on_s3.store, home / "a") == scientific_content(reference[0].store, home / "b")
    again = med42_run(f"s3://{bucket}/runs")
    assert len(again.reused) == NUM_TASKS - 1
