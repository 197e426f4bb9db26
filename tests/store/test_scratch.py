import errno
import fcntl
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import StoreError
from med42lib.store import scratch as module
from med42lib.store.scratch import attempt_folder, machine_scratch, remove_abandoned

HOLD = """
import sys, time
from pathlib import Path
from med42lib.store.scratch import attempt_folder
with attempt_folder(Path(sys.argv[1]), "x") as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_an_attempts_folder_goes_with_it(tmp_path: Path) -> None:
    with attempt_folder(tmp_path / "scratch", "train") as folder:
        (folder / "half").write_text("x")
        assert folder.parent == tmp_path / "scratch"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_it_goes_also_when_the_attempt_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), attempt_folder(tmp_path, "train"):
        raise ValueError("boom")
    assert list(tmp_path.iterdir()) == []


def test_two_attempts_at_once_do_not_touch_each_other(tmp_path: Path) -> None:
    with attempt_folder(tmp_path, "train") as first:
        with attempt_folder(tmp_path, "train") as second:
            assert first != second
        assert first.exists()


def test_the_folder_of_a_killed_attempt_is_removed_by_the_next(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    assert remove_abandoned(tmp_path) == []
    process.kill()
    process.wait()
    process.stdout.close()
    time.sleep(0.1)
    assert left.exists()
    with attempt_folder(tmp_path, "train"):
        assert not left.exists()


def filled(folder: Path) -> Path:
    for number in range(20):
        (folder / f"{number}").mkdir()
        (folder / f"{number}/file").touch()
        (folder / f"{number}.txt").touch()
    return folder


def after(look: Callable[[], None], act: Callable[..., None]) -> Callable[..., None]:
    def looked(*args: Any, **kwargs: Any) -> None:
        look()
        act(*args, **kwargs)

    return looked


def look_before_each_removal(look: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("unlink", "rmdir"):
        monkeypatch.setattr(os, name, after(look, getattr(os, name)))


@pytest.mark.parametrize("by", ["the attempt", "a later one"])
def test_what_a_kill_leaves_of_a_removal_is_known_as_abandoned(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look() -> None:
        if left := sorted(path.name for path in folder.iterdir()):
            assert ".med42-lock" in left
            seen.append(left)

    if by == "the attempt":
        with attempt_folder(tmp_path, "train") as folder:
            filled(folder)
            look_before_each_removal(look, monkeypatch)
    else:
        folder = tmp_path / "train-x"
        folder.mkdir()
        (filled(folder) / ".med42-lock").touch()
        look_before_each_removal(look, monkeypatch)
        assert remove_abandoned(tmp_path) == [folder]
    assert len(seen) == 61
    assert not folder.exists()


def test_an_attempt_whose_files_could_not_all_be_removed_is_removed_by_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EBUSY, "busy")

    with attempt_folder(tmp_path, "train") as folder:
        filled(folder)
        monkeypatch.setattr(os, "rmdir", refuse)
    assert not list(folder.rglob("file")), "what could be removed is"
    monkeypatch.undo()
    assert remove_abandoned(tmp_path) == [folder]
    assert not folder.exists()


def test_a_folder_with_somebody_elses_lock_is_no_attempts(tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment/.lock").touch()
    assert remove_abandoned(tmp_path) == []
    assert (tmp_path / "environment").exists()


def test_an_attempt_that_starts_before_another_holds_its_lock_leaves_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def lock_late(file: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX:
            assert remove_abandoned(tmp_path) == []
        lock(file, operation)

    monkeypatch.setattr(module.fcntl, "flock", lock_late)
    with attempt_folder(tmp_path, "train") as folder:
        assert folder.exists()
        assert remove_abandoned(tmp_path) == []


def test_the_folder_of_all_attempts_is_this_users_alone(tmp_path: Path) -> None:
    with attempt_folder(tmp_path / "scratch", "train") as folder:
        assert (tmp_path / "scratch").stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_link_laid_in_its_place_is_refused_and_the_folder_behind_it_untouched(tmp_path: Path) -> None:
    (tmp_path / "others/attempt-x").mkdir(parents=True)
    (tmp_path / "others/attempt-x/.med42-lock").touch()
    (tmp_path / "scratch").symlink_to(tmp_path / "others")
    with (
        pytest.raises(StoreError, match=r"scratch is a link, no folder, or somebody else's"),
        attempt_folder(tmp_path / "scratch", "train"),
    ):
        raise AssertionError
    assert (tmp_path / "others/attempt-x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to another user needs root")
def test_a_folder_that_somebody_else_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir(mode=0o777)
    os.chown(tmp_path / "scratch", 12345, 12345)
    with (
        pytest.raises(StoreError, match=r"somebody else's \(user 12345\)"),
        attempt_folder(tmp_path / "scratch", "train"),
    ):
        raise AssertionError


def test_links_among_the_attempts_lead_the_clean_up_nowhere(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/.med42-lock").touch()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/train-link").symlink_to(tmp_path / "mine")
    with attempt_folder(tmp_path / "scratch", "train"):
        assert (tmp_path / "mine/.med42-lock").exists()


@pytest.mark.parametrize("variable", ["MED42_SCRATCH", "TMPDIR"])
def test_the_machines_scratch_is_a_folder_of_this_users_in_the_place_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("MED42_SCRATCH", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv(variable, str(tmp_path))
    assert machine_scratch() == tmp_path / f"med42-{os.getuid()}"


def test_in_a_folder_of_a_team_each_attempts_files_get_the_teams_group(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    for _ in range(2):
        with attempt_folder(tmp_path / "scratch", "pack") as folder:
            assert stat.S_IMODE((tmp_path / "scratch").stat().st_mode) == 0o2700
            assert folder.stat().st_mode & stat.S_ISGID
