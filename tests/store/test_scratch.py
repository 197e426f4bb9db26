import fcntl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from med42lib.store import scratch as module
from med42lib.store.scratch import attempt_folder, remove_abandoned

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
