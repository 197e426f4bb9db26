import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from med42lib.core.errors import StoreUnavailable
from med42lib.store import patience as module
from med42lib.store.address import open_store
from med42lib.store.base import Store
from med42lib.store.patience import expect_answers, impatient, patient
from tests.s3_server import S3Server
from tests.unsteady_store import UnsteadyWay, unsteady_way

pytestmark = pytest.mark.slow

ASKED: dict[str, Callable[[Store, Path], object]] = {
    "files": lambda store, _: store.files(),
    "read": lambda store, _: store.read("name"),
    "fetch": lambda store, path: store.fetch("name", path.with_name("copy")),
    "put": lambda store, path: store.put("other", path),
    "put_once": lambda store, _: store.put_once("once", b"o"),
    "delete": lambda store, _: store.delete("name"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "small").write_text("s")
    return tmp_path / "small"


@pytest.fixture
def way(s3: S3Server, asks_once: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[UnsteadyWay]:
    """A way to the store that may be away."""
    with unsteady_way(s3.endpoint) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        yield found


@pytest.mark.parametrize("asked", ASKED)
def test_a_server_that_has_answered_before_is_waited_for(
    asked: str,
    way: UnsteadyWay,
    bucket: str,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = open_store(f"s3://{bucket}/x")
    store.put("name", path)
    seconds: list[float] = []

    def sleep(duration: float) -> None:
        seconds.append(duration)
        if sum(seconds) > 60:
            way.come_back()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: 1 + sum(seconds))
    way.go_away()
    ASKED[asked](store, path)
    told = [record.message.partition(": ")[0] for record in caplog.records if record.name.startswith("med42")]
    assert told == ["waits for the store, 10 minutes at most"] * 2, "once a minute"


def test_a_server_that_has_never_answered_is_told_of_at_once(
    way: UnsteadyWay, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    way.go_away()
    for ask in ASKED.values():
        with pytest.raises(StoreUnavailable, match="did not answer"):
            ask(open_store("s3://some-bucket/x"), path)
    assert "waits for" not in caplog.text


def test_one_whose_address_somebody_else_has_just_used_is_waited_for_from_the_first_request_on(
    way: UnsteadyWay, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_expects_answers", Event())
    monkeypatch.setattr(module, "_have_answered", set())
    monkeypatch.setattr(time, "sleep", lambda _: way.come_back())
    way.go_away()
    expect_answers()
    assert open_store(f"s3://{bucket}/x").read("name") is None


def test_a_server_that_stays_away_is_given_up_in_the_end(
    way: UnsteadyWay, bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(f"s3://{bucket}/x")
    store.read("name")
    way.go_away()
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_ASKING", 0.2)
    with pytest.raises(StoreUnavailable, match="did not answer"):
        store.read("name")
    assert "waits for" in caplog.text


def test_who_has_something_else_to_do_is_told_at_once(
    way: UnsteadyWay, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(f"s3://{bucket}/x")
    store.read("name")
    way.go_away()
    with impatient(), pytest.raises(StoreUnavailable, match="did not answer"):
        store.read("name")
    assert "waits for" not in caplog.text


class Slow:
    """A store whose requests take longer than anybody waits, and of which every second one breaks off."""

    place = ("slow",)
    asked = 0

    @patient
    def put(self) -> int:
        self.asked += 1
        time.sleep(2 * module.PATIENCE_SECONDS)
        if self.asked % 2 == 0:
            raise StoreUnavailable("the connection broke")
        return self.asked


def test_it_is_the_absence_that_is_limited_and_not_a_long_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1.0]
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    store = Slow()
    assert (store.put(), store.put()) == (1, 3)
