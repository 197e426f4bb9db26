"""Two attempts at one key, in every order in which their steps can fall, in a folder and on a real S3 server."""

import itertools
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import AccessError, NoSpaceError, StoreError, StoreUnavailable
from med42lib.store import publish as module
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.base import Store
from med42lib.store.publish import Upload, find_sealed, sealed_outputs, sibling_output
from tests.store.outputs import filled, manifest_of, published

PREFIX = "pack/k"
OUTPUTS = ["packed", "log"]
GATED = ("files", "put_once", "delete")


class Killed(BaseException):
    """Ends an attempt where it stands, like kill -9: nothing of it is cleaned up."""


class Gated:
    """A store whose steps wait for their turn, and end in `Killed` at one of them."""

    def __init__(self, store: Store, killed_at: int = -1) -> None:
        self._store, self._killed_at = store, killed_at
        self.turn, self.arrived = threading.Semaphore(0), threading.Semaphore(0)
        self.steps = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._gate(found) if name in GATED else found

    def put(self, name: str, path: Path) -> None:
        step = self._gate(self._store.put) if name.endswith("log/manifest.json") else self._store.put
        step(name, path)

    def _gate(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def gated(*arguments: Any) -> Any:
            self.arrived.release()
            self.turn.acquire()
            self.steps += 1
            if self.steps - 1 == self._killed_at:
                raise Killed
            return step(*arguments)

        return gated


class Attempt(threading.Thread):
    """Publishes two outputs with contents of its own."""

    def __init__(self, store: Store, folder: Path, text: str, killed_at: int = -1) -> None:
        super().__init__(daemon=True)
        self.store, self.folder, self.text = Gated(store, killed_at), folder, text
        self.sealed: str | None = None
        self.done = False

    def run(self) -> None:
        try:
            self.sealed = publish_both(self.store, self.folder, self.text)  # type: ignore[arg-type]
        except Killed:
            pass
        finally:
            self.done = True
            self.store.arrived.release()

    def step(self) -> None:
        """Let it take one step, and wait until it stands before the next."""
        if not self.done:
            self.store.turn.release()
            self.store.arrived.acquire()


def publish_both(store: Store, folder: Path, text: str) -> str:
    upload = Upload(store, PREFIX)
    for output in OUTPUTS:
        made = filled(folder / output, {"data": f"{output} of {text}", "deep/metrics": text})
        upload.put_folder(output, made, manifest_of(made, target=output))
    return upload.seal(OUTPUTS).address


def contents(address: str, cache: Path) -> list[str]:
    """Read both outputs of an attempt whole, each file checked against its manifest."""
    sources = [Source(f"{address}/{output}", cache=cache / output) for output in OUTPUTS]
    for source in sources:
        assert source.path().is_dir()
    return [source.path("data").read_text() for source in sources]


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Give the address of a fresh store at each call."""
    root = str(tmp_path / "store") if request.param == "folder" else f"s3://{request.getfixturevalue('bucket')}"
    numbers = itertools.count()
    return lambda: f"{root}/{next(numbers)}"


def schedules(steps: int, every: int) -> Iterator[tuple[int, ...]]:
    """List the orders in which two attempts can take that many steps each; of many, one in `every`."""
    for number, firsts in enumerate(itertools.combinations(range(2 * steps), steps)):
        if number % every == 0:
            yield tuple(0 if place in firsts else 1 for place in range(2 * steps))


def race(attempts: Sequence[Attempt], schedule: Sequence[int]) -> None:
    for attempt in attempts:
        attempt.start()
        attempt.store.arrived.acquire()
    for turn in schedule:
        attempts[turn].step()
    for attempt in attempts:
        while not attempt.done:
            attempt.step()
        attempt.join()


def test_in_every_interleaving_both_attempts_get_the_same_whole_outputs(
    address: Callable[[], str], tmp_path: Path
) -> None:
    for number, schedule in enumerate(schedules(steps=5, every=1 if "s3" not in address() else 4)):
        here, folder = address(), tmp_path / str(number)
        attempts = [Attempt(open_store(here), folder / text, text) for text in ("first", "second")]
        race(attempts, schedule)
        assert attempts[0].sealed == attempts[1].sealed is not None
        found = contents(str(attempts[0].sealed), folder / "cache")
        assert found in ([f"{output} of {text}" for output in OUTPUTS] for text in ("first", "second"))
        [seal] = [name for name in open_store(here).files(PREFIX) if "sealed" in name]
        assert len({name.split("/")[2] for name in open_store(here).files(PREFIX)} - {seal}) == 2, "loser and seal"


@pytest.mark.parametrize("killed_at", range(6))
def test_wherever_one_is_killed_the_other_and_a_later_one_end_well(
    address: Callable[[], str], tmp_path: Path, killed_at: int
) -> None:
    here = address()
    killed, other = (
        Attempt(open_store(here), tmp_path / "killed", "killed", killed_at),
        Attempt(open_store(here), tmp_path / "other", "other"),
    )
    race([killed, other], [0, 1] * 3)
    assert other.sealed is not None
    assert contents(other.sealed, tmp_path / "cache")[0] in ("packed of other", "packed of killed")
    assert publish_both(open_store(here), tmp_path / "later", "later") == other.sealed


def test_an_attempt_alone_that_is_killed_before_its_seal_is_read_by_nobody(
    address: Callable[[], str], tmp_path: Path
) -> None:
    here = address()
    killed = Attempt(open_store(here), tmp_path / "killed", "killed", killed_at=2)
    race([killed], [])
    assert killed.store.steps == 3
    assert open_store(here).files(PREFIX)
    assert find_sealed(open_store(here), PREFIX, OUTPUTS) is None
    assert sealed_outputs(open_store(here), "pack", "packed") == []


def test_what_a_killed_attempt_left_is_removed_by_a_later_run_when_it_is_old(
    address: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(address())
    Upload(store, PREFIX).put("packed/half", filled(tmp_path / "half", {"f": "x"}) / "f")
    sealed = publish_both(store, tmp_path / "whole", "whole")
    assert find_sealed(store, PREFIX, OUTPUTS) is not None
    assert any("half" in name for name in store.files(PREFIX)), "it may still be at work"
    monkeypatch.setattr(module, "SECONDS_UNTIL_ABANDONED", -5.0)
    found = find_sealed(store, PREFIX, OUTPUTS)
    assert found is not None
    assert found.address == sealed
    assert not any("half" in name for name in store.files(PREFIX))
    assert contents(sealed, tmp_path / "cache") == ["packed of whole", "log of whole"]


def test_a_sealed_attempt_that_somebody_deleted_is_made_again(address: Callable[[], str], tmp_path: Path) -> None:
    store = open_store(address())
    first = publish_both(store, tmp_path / "first", "first")
    store.delete(f"{PREFIX}/{first.rpartition('/')[2]}/log")
    assert find_sealed(store, PREFIX, OUTPUTS) is None
    again = publish_both(store, tmp_path / "again", "again")
    assert again != first
    assert contents(again, tmp_path / "cache") == ["packed of again", "log of again"]


def test_an_attempt_that_counts_is_not_removed_by_who_looks_for_one_of_its_outputs_alone(
    address: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(address())
    first = publish_both(store, tmp_path / "first", "first")
    store.delete(f"{PREFIX}/{first.rpartition('/')[2]}/packed")
    counts = publish_both(store, tmp_path / "second", "second")
    monkeypatch.setattr(module, "SECONDS_UNTIL_ABANDONED", -5.0)
    assert sealed_outputs(store, "pack", "log")
    assert find_sealed(store, PREFIX, ["log"])
    assert contents(counts, tmp_path / "cache") == ["packed of second", "log of second"]


def test_from_one_output_of_an_attempt_the_others_are_found(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    publish_both(store, tmp_path / "whole", "whole")
    sealed = find_sealed(store, PREFIX, OUTPUTS)
    assert sealed
    assert sibling_output(sealed.output("packed"), "log") == sealed.output("log")


def test_listing_what_is_finished_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path / "store"))
    publish_both(store, tmp_path / "whole", "whole")
    Upload(store, PREFIX).put("packed/half", filled(tmp_path / "half", {"f": "x"}) / "f")
    monkeypatch.setattr(module, "SECONDS_UNTIL_ABANDONED", -5.0)
    before = list(store.files(PREFIX))
    assert len(sealed_outputs(store, "pack", "packed")) == 1
    assert list(store.files(PREFIX)) == before


def test_a_store_that_forbids_deleting_keeps_finished_outputs_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(str(tmp_path / "store"))

    class WriteOnly:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def delete(self, prefix: str) -> None:
            raise AccessError("DeleteObject is denied")

    first = publish_both(store, tmp_path / "first", "first")
    assert publish_both(WriteOnly(), tmp_path / "second", "second") == first  # type: ignore[arg-type]
    monkeypatch.setattr(module, "SECONDS_UNTIL_ABANDONED", -5.0)
    found = find_sealed(WriteOnly(), PREFIX, OUTPUTS)  # type: ignore[arg-type]
    assert found is not None
    assert found.address == first
    assert caplog.text.count("could not be removed: DeleteObject is denied") == 2


def test_several_processes_put_the_files_of_one_attempt(address: Callable[[], str], tmp_path: Path) -> None:
    store = open_store(address())
    made = filled(tmp_path / "made", {f"shard-{number}": f"{number}" * 1000 for number in range(6)})
    manifest = manifest_of(made)
    upload = Upload(store, PREFIX)
    workers = [
        threading.Thread(target=pickle.loads(pickle.dumps(upload)).put, args=(f"packed/{name}", made / name))
        for name in sorted(path.name for path in made.iterdir())
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (tmp_path / "m").write_text(manifest.to_json())
    upload.put("packed/manifest.json", tmp_path / "m")
    sealed = upload.seal(["packed"])
    assert Source(sealed.output("packed"), cache=tmp_path / "cache").path("shard-5").read_text() == "5" * 1000


@pytest.mark.parametrize("seal", [b"", b"{", b"[]", b'{"attempt": 7}', b'{"attempt": "../../x"}', b"[" * 100_000])
def test_a_seal_that_names_no_attempt_is_passed_over(seal: bytes, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put_once(f"{PREFIX}/sealed-1.json", seal)
    assert find_sealed(store, PREFIX, OUTPUTS) is None
    made = filled(tmp_path / "made", {"f": "x"})
    assert Source(published(store, made)).path("f").read_text() == "x"


def test_files_that_vanish_as_soon_as_they_are_stored_are_told_and_not_waited_for(tmp_path: Path) -> None:
    upload = Upload(open_store(str(tmp_path)), PREFIX)
    with pytest.raises(StoreError, match="vanish as soon as they are stored"):
        upload.seal(["packed"])


class Failing:
    """A store that takes everything but metrics."""

    def __init__(self, store: Store, error: Exception) -> None:
        self._store, self._error = store, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, name: str, path: Path) -> None:
        if name.endswith("metrics"):
            raise self._error
        self._store.put(name, path)


def test_an_upload_that_fills_the_store_gives_its_space_back(address: Callable[[], str], tmp_path: Path) -> None:
    store = open_store(address())
    full: Any = Failing(store, NoSpaceError("the server is full"))
    with pytest.raises(NoSpaceError):
        publish_both(full, tmp_path / "first", "first")
    assert not store.files(PREFIX)


def test_an_upload_that_breaks_off_is_read_by_nobody_and_the_next_one_counts(
    address: Callable[[], str], tmp_path: Path
) -> None:
    store = open_store(address())
    breaking: Any = Failing(store, StoreUnavailable("the server is gone"))
    with pytest.raises(StoreUnavailable):
        publish_both(breaking, tmp_path / "first", "first")
    assert find_sealed(store, PREFIX, OUTPUTS) is None
    assert contents(publish_both(store, tmp_path / "second", "second"), tmp_path / "cache")[0] == "packed of second"
