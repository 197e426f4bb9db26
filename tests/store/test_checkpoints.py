from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.store.address import open_store
from med42lib.store.checkpoints import Checkpoint, Checkpoints, attempt_of
from med42lib.store.publish import find_sealed
from tests.store.outputs import filled, published

PREFIX = "train/k"
Open = Callable[..., Checkpoints]


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"s3://{request.getfixturevalue('bucket')}/runs"


def checkpoints_of(address: str, attempt: str = "one") -> Checkpoints:
    return Checkpoints(open_store(address), PREFIX, attempt)


def save(
    address: str,
    step: int,
    folder: Path,
    *,
    attempt: str = "one",
    seal: bool = True,
    content: str = "",
    best_step: int | None = None,
) -> None:
    """Save a checkpoint as two processes do: each puts a file, then one seals."""
    names = [f"rank-{rank}.pt" for rank in range(2)]
    filled(folder / "saved", {name: content or f"{name} of step {step}" for name in names})
    with ThreadPoolExecutor() as processes:
        files = processes.map(lambda n: checkpoints_of(address, attempt).put(step, n, folder / "saved" / n), names)
        entries = list(files)
    if seal:
        checkpoints_of(address, attempt).seal(step, entries, {"num_tokens": 10 * step}, best_step)


def read(checkpoint: Checkpoint | None, folder: Path) -> str:
    assert checkpoint is not None
    return checkpoint.source(folder / "fetched").path("rank-1.pt").read_text()


def steps(address: str) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints_of(address).complete()]


def folders(address: str) -> set[str]:
    return {name.split("/")[3] for name in open_store(address).files(PREFIX) if "checkpoints" in name}


def test_another_attempt_finds_the_newest_with_its_files_and_what_was_said_of_it(address: str, tmp_path: Path) -> None:
    assert checkpoints_of(address).newest() is None
    for step in (9, 100):
        save(address, step, tmp_path)
    found = checkpoints_of(address, "two").newest()
    assert found is not None
    assert (found.step, found.state) == (100, {"num_tokens": 1000})
    assert read(found, tmp_path) == "rank-1.pt of step 100"


def test_one_that_is_saved_again_with_other_bytes_is_what_was_saved_last(address: str, tmp_path: Path) -> None:
    """An attempt whose newest was damaged goes back, and comes to that step again; on GPUs bits differ."""
    save(address, 9, tmp_path)
    save(address, 9, tmp_path, content="other bytes")
    assert read(checkpoints_of(address).newest(), tmp_path) == "other bytes"


def test_what_was_put_of_one_that_failed_can_be_removed_and_nothing_else_goes(address: str, tmp_path: Path) -> None:
    for step in (1, 2):
        save(address, step, tmp_path)
    save(address, 2, tmp_path, attempt="two", seal=False)
    checkpoints_of(address, "two").discard(2)
    assert folders(address) == {"00000001-one", "00000002-one"}


def test_one_is_saved_although_old_ones_cannot_be_looked_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address, nowhere = str(tmp_path / "store"), tmp_path / "store/train/k/checkpoints/nowhere"
    nowhere.parent.mkdir(parents=True)
    nowhere.symlink_to(tmp_path / "gone")
    save(address, 1, tmp_path)
    assert "could not be removed" in caplog.text
    nowhere.unlink()
    assert steps(address) == [1]


def test_one_that_was_not_sealed_is_none(address: str, tmp_path: Path) -> None:
    save(address, 1, tmp_path)
    save(address, 2, tmp_path, seal=False)
    assert steps(address) == [1]


def test_the_two_newest_are_kept_and_what_a_killed_attempt_left_before_them_is_not(
    address: str, tmp_path: Path
) -> None:
    save(address, 1, tmp_path, attempt="killed", seal=False)
    for step in (2, 3, 4):
        save(address, step, tmp_path)
    assert folders(address) == {"00000003-one", "00000004-one"}


def test_the_best_is_kept_whichever_attempt_saved_it_until_another_is_better(address: str, tmp_path: Path) -> None:
    save(address, 2, tmp_path, attempt="killed", best_step=2)
    for step in (3, 4, 5):
        save(address, step, tmp_path, best_step=2)
    assert folders(address) == {"00000002-killed", "00000004-one", "00000005-one"}
    for step in (6, 7):
        save(address, step, tmp_path, best_step=6)
    assert folders(address) == {"00000006-one", "00000007-one"}


def test_what_another_attempt_is_about_to_save_stays(address: str, tmp_path: Path) -> None:
    save(address, 5, tmp_path, attempt="two", seal=False)
    for step in (3, 4, 5):
        save(address, step, tmp_path)
    assert folders(address) == {"00000004-one", "00000005-one", "00000005-two"}


@pytest.mark.parametrize("damage", ["", "shorter"])
def test_one_that_lacks_a_file_or_has_another_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    address = str(tmp_path / "store")
    for step in (1, 2):
        save(address, step, tmp_path)
    file = tmp_path / "store/train/k/checkpoints/00000002-one/rank-0.pt"
    file.write_text(damage) if damage else file.unlink()
    assert steps(address) == [1]
    assert "00000002-one/rank-0.pt is missing or not 19 bytes long" in caplog.text


def test_one_whose_list_is_damaged_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    address = str(tmp_path / "store")
    for step in (1, 2):
        save(address, step, tmp_path)
    (tmp_path / "store/train/k/checkpoints/00000002-one/manifest.json").write_text("{")
    assert steps(address) == [1]
    assert "is not a readable manifest" in caplog.text


def test_other_content_of_the_same_size_is_told_when_it_is_fetched(address: str, tmp_path: Path) -> None:
    save(address, 1, tmp_path)
    (tmp_path / "other").write_text("rank-1.pt of step X")
    open_store(address).put(f"{PREFIX}/checkpoints/00000001-one/rank-1.pt", tmp_path / "other")
    with pytest.raises(DataError, match=r"rank-1\.pt differs from its manifest"):
        read(checkpoints_of(address).newest(), tmp_path)


def test_they_are_no_output_and_go_when_they_are_removed(address: str, tmp_path: Path) -> None:
    save(address, 1, tmp_path)
    assert find_sealed(open_store(address), PREFIX, ["trained"]) is None
    published(address, filled(tmp_path / "other", {"a": "b"}))
    checkpoints_of(address).remove()
    assert folders(address) == set()
    assert open_store(address).files("pack"), "nothing else is touched"


def test_starts_from_the_same_step_are_counted_over_all_attempts_until_one_begins_later(address: str) -> None:
    counts = [checkpoints_of(address, f"{n}").count_starts(step) for n, step in enumerate((0, 0, 0, 500, 500, 0))]
    assert counts == [1, 2, 3, 1, 2, 1]
    checkpoints_of(address).forget_starts()
    assert checkpoints_of(address).count_starts(0) == 1


def test_a_start_that_was_asked_to_stop_is_counted_no_more(address: str) -> None:
    checkpoints_of(address, "1").count_starts(0)
    stopped = checkpoints_of(address, "2")
    stopped.count_starts(0)
    assert stopped.count_starts(0) == 3
    stopped.take_back_start()
    assert checkpoints_of(address, "3").count_starts(0) == 3
    checkpoints_of(address, "4").take_back_start()
    assert checkpoints_of(address, "5").count_starts(0) == 4, "it had none"


def test_starts_are_no_checkpoints_and_stay_when_old_ones_go(address: str, tmp_path: Path) -> None:
    checkpoints_of(address).count_starts(0)
    for step in (1, 2, 3):
        save(address, step, tmp_path)
    assert steps(address) == [3, 2]
    assert checkpoints_of(address).count_starts(0) == 2
    checkpoints_of(address).remove()
    assert folders(address) == set()


@pytest.mark.parametrize(
    ("named", "attempt"),
    [
        ("s3://b/runs/train/k/checkpoints/00000100-20261128T0-a/", "s3://b/runs/train/k/20261128T0-a"),
        ("runs/train/k/checkpoints/00000100-20261128T0-a", "runs/train/k/20261128T0-a"),
        ("runs/train/k/20261128T0-a/trained", None),
        ("runs/checkpoints/mine", None),
    ],
)
def test_a_checkpoints_address_leads_to_the_attempt_that_saved_it(named: str, attempt: str | None) -> None:
    assert attempt_of(named) == attempt
