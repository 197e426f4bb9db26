import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from med42lib.assemble.reading import pool as readers
from med42lib.assemble.reading.pool import PROCESSES_VARIABLE, num_processes, prepare_all
from med42lib.assemble.reading.read_source import Reading, readings
from med42lib.core.errors import DataError, EnvironmentProblem
from med42lib.store import cache as store_cache
from med42lib.store.artifacts import Source
from med42lib.store.cache import StageCache
from med42lib.store.manifest import FileEntry
from tests.assemble.own_rows import CHOICE, MESSAGES, WARD
from tests.assemble.small_sources import (
    ADVICE,
    ALL,
    CARDS,
    DeadlyReading,
    EndlessReading,
    FailingReading,
    fake,
    settings,
    write_advice,
    write_cards,
)
from tests.conftest import REPOSITORY
from tests.data_files import write_data
from tests.processes import gone, wait_for


@pytest.fixture
def filled(data: Path) -> Path:
    """A data folder of both small sources."""
    write_cards(data, map(str, range(50)))
    write_advice(data, {"a": [f"Take {n}." for n in range(20)]})
    return data


@pytest.fixture
def cache(tmp_path: Path) -> StageCache:
    """An empty store's cache."""
    return StageCache(str(tmp_path / "store"), "assemble", tmp_path / "scratch")


def both(data: Path) -> list[Reading]:
    return readings(settings(ALL), Source(str(data)), data)


def sized(num_bytes: int, data: Path) -> Reading:
    """Make a reading that claims to have so many bytes to read."""
    entry = FileEntry("x", num_bytes, "0" * 64)
    return replace(both(data)[0], data=Source(str(data), files=(entry,)))


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no process be started for reading."""
    monkeypatch.delattr(readers, "ProcessPoolExecutor")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_every_source_is_prepared_and_found_in_the_order_given(
    filled: Path, cache: StageCache, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, processes)
    wanted = both(filled)
    folders = prepare_all(wanted, cache)
    assert [folder.parents[1].name for folder in folders] == [one.key for one in wanted]
    assert prepare_all(wanted[::-1], cache) == folders[::-1]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_an_error_in_one_source_reaches_the_caller_with_its_text(
    filled: Path, cache: StageCache, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, processes)
    (filled / CARDS).write_text('[{"input": "cut')
    with pytest.raises(DataError, match=rf"{CARDS} is not a whole JSON document.*copy it again"):
        prepare_all(both(filled), cache)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_all_sources_of_which_too_many_rows_are_broken_are_named_at_once(
    data: Path, cache: StageCache, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, processes)
    rows = {"chat": [{"messages": "x"}], "talk": [{"messages": "x"}], "good": [{"messages": MESSAGES}]}
    for name, found in rows.items():
        write_data(data / f"{name}.jsonl", found)
    sources = {name: WARD | {"path": f"{name}.jsonl"} for name in rows}
    with pytest.raises(DataError, match=r"(?s)^chat: 1 of 1 records were rejected.*\ntalk: 1 of 1 .*$"):
        prepare_all(readings(settings(sources), Source(str(data)), data), cache)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_answers_that_nobody_can_read_are_told_by_whichever_process_meets_them(
    data: Path, cache: StageCache, processes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, processes)
    for name in ("one", "two"):
        write_data(data / f"{name}.jsonl", [{**CHOICE, "answer": 1}])
    sources = {name: WARD | {"format": "multiple_choice", "path": f"{name}.jsonl"} for name in ("one", "two")}
    with pytest.raises(DataError, match="number from 0 or number from 1"):
        prepare_all(readings(settings(sources), Source(str(data)), data), cache)


def test_after_an_error_no_other_source_is_begun(
    filled: Path, cache: StageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, "1")
    sizes = {"small": 10, "medium": 20, "large": 30}
    wanted = [fake(FailingReading, name, sized(size, filled).data, tmp_path) for name, size in sizes.items()]
    with pytest.raises(DataError, match="large is broken"):
        prepare_all(wanted, cache)
    assert {path.stem for path in tmp_path.glob("*.pid")} == {"large"}


@pytest.mark.usefixtures("no_processes")
def test_what_is_kept_needs_no_process_and_does_not_count_towards_their_number(
    filled: Path, cache: StageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PROCESSES_VARIABLE, raising=False)
    folders = prepare_all(both(filled), cache)
    monkeypatch.setattr(readers, "BYTES_PER_PROCESS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4), raising=False)
    assert prepare_all(both(filled), cache) == folders
    write_cards(filled, ["other"])
    assert prepare_all(both(filled), cache)[0] == folders[0]
    monkeypatch.setenv(PROCESSES_VARIABLE, "2")
    prepare_all(both(filled), cache)


def test_sources_read_before_another_failed_need_not_be_read_again(
    filled: Path, cache: StageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, "1")
    (filled / ADVICE / "annotations_a.csv").write_text("label\n")
    with pytest.raises(DataError, match="no column pmid, sentence"):
        prepare_all(both(filled), cache)
    assert [path.name for path in (tmp_path / "store/.cache/assemble").iterdir()] == [both(filled)[1].key]


def test_little_data_is_read_without_another_process(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROCESSES_VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert num_processes(both(filled)) == 1
    assert num_processes([]) == 1


def test_there_are_no_more_processes_than_cores_sources_or_work(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROCESSES_VARIABLE, raising=False)
    monkeypatch.setattr(readers, "BYTES_PER_PROCESS", 100)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4), raising=False)
    assert num_processes([sized(1000, filled)] * 9) == 4
    assert num_processes([sized(1000, filled)] * 3) == 3
    assert num_processes([sized(50, filled)] * 5) == 2


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", ""])
def test_a_wrong_number_of_processes_names_the_variable(
    filled: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, value)
    with pytest.raises(EnvironmentProblem, match=f"{PROCESSES_VARIABLE}={value!r}: expected a whole number above 0"):
        num_processes(both(filled))


def test_a_killed_process_is_an_error_that_says_what_to_do_and_leaves_nobody_behind(
    filled: Path, cache: StageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROCESSES_VARIABLE, "2")
    data = Source(str(filled))
    endless, deadly = fake(EndlessReading, "endless", data, tmp_path), fake(DeadlyReading, "deadly", data, tmp_path)
    with pytest.raises(EnvironmentProblem, match=f"out of memory.*set {PROCESSES_VARIABLE}=1"):
        prepare_all([endless, deadly], cache)
    readers_started = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
    assert readers_started
    wait_for(lambda: all(map(gone, readers_started)))
    assert multiprocessing.active_children() == []


ENDLESS = """
import signal, sys
from pathlib import Path
from med42lib.assemble.reading.pool import prepare_all
from med42lib.store.artifacts import Source
from med42lib.store.cache import StageCache
from tests.assemble.small_sources import EndlessReading, fake
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
folder = Path(sys.argv[1])
names = ("one", "two")
prepare_all([fake(EndlessReading, n, Source(sys.argv[2]), folder) for n in names], StageCache(sys.argv[1], "x", folder))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_readers_do_not_outlive_the_stage_however_it_ends(filled: Path, tmp_path: Path, end: int) -> None:
    environment: dict[str, Any] = {**os.environ, PROCESSES_VARIABLE: "2", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", ENDLESS, str(tmp_path), str(filled)]
    with subprocess.Popen(command, env=environment, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as stage:
        try:
            wait_for(lambda: all((tmp_path / f"{name}.pid").exists() for name in ("one", "two")), seconds=60)
            started = [child.pid for child in psutil.Process(stage.pid).children(recursive=True)]
            stage.send_signal(end)
            stage.wait(20)
        finally:
            stage.kill()
    assert {int((tmp_path / f"{name}.pid").read_text()) for name in ("one", "two")} <= set(started)
    wait_for(lambda: all(map(gone, started)), seconds=1)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_one_process_alone_ends_in_the_middle_of_a_source(filled: Path, tmp_path: Path, end: int) -> None:
    environment: dict[str, Any] = {**os.environ, PROCESSES_VARIABLE: "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", ENDLESS, str(tmp_path), str(filled)]
    with subprocess.Popen(command, env=environment, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as stage:
        wait_for(lambda: bool(list(tmp_path.glob("*.pid"))))
        stage.send_signal(end)
        try:
            stage.wait(20)
        finally:
            stage.kill()


def test_of_what_was_read_the_oldest_goes_beyond_the_limit_and_nothing_that_this_run_uses(
    filled: Path, cache: StageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {reading.name: reading.key for reading in both(filled)}
    prepare_all(both(filled), cache)
    write_cards(filled, map(str, range(60)))
    now = {reading.name: reading.key for reading in both(filled)}
    monkeypatch.setattr(readers, "MOST_BYTES", 0)
    monkeypatch.setattr(store_cache, "SECONDS_UNTIL_WHOLE", -1)
    prepare_all(both(filled), StageCache(str(tmp_path / "store"), "assemble", tmp_path / "again"))
    assert len(set(before.values()) - set(now.values())) == 1
    assert cache.parts().keys() == set(now.values())
