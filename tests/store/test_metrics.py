import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from med42lib.store import metrics as module
from med42lib.store.artifacts import Source, Target
from med42lib.store.metrics import MetricPoint, Metrics
from tests.processes import wait_for


class Kept:
    """Keeps what it is given; fails as long as it is told to, and waits until it is let go."""

    name = "Kept"

    def __init__(self) -> None:
        self.points: list[MetricPoint] = []
        self.fails = False
        self.may_go = threading.Event()
        self.may_go.set()

    def write(self, points: Sequence[MetricPoint]) -> None:
        self.may_go.wait()
        if self.fails:
            raise ConnectionError("the server is away")
        self.points += points

    @property
    def steps(self) -> list[int]:
        return [point.step for point in self.points]


@pytest.fixture
def sink() -> Iterator[Kept]:
    kept = Kept()
    yield kept
    kept.may_go.set()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECONDS_BETWEEN_WRITES", "SECONDS_BETWEEN_TRIES"):
        monkeypatch.setattr(module, name, 0.01)


def test_a_number_is_in_the_file_at_once_and_in_the_sink_soon(tmp_path: Path, sink: Kept) -> None:
    target = Target(tmp_path, [sink])
    for step in range(3):
        target.metric("loss", 1 / 3, step=step)
        assert [point.step for point in Source(str(tmp_path)).metrics()] == list(range(step + 1))
    target.metrics.close()
    assert sink.steps == [0, 1, 2]
    assert sink.points[0].value == 1 / 3
    assert sink.points[0] == MetricPoint.from_json((tmp_path / "metrics.jsonl").read_text().splitlines()[0])


def test_a_sink_that_fails_gets_everything_once_it_works_again(
    tmp_path: Path, sink: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl", [sink])
    sink.fails = True
    metrics.log({"loss": 1.0}, step=1)
    wait_for(lambda: "Kept takes no metrics for now (the server is away); work goes on" in caplog.text)
    metrics.log({"loss": 0.5}, step=2)
    sink.fails = False
    wait_for(lambda: sink.steps == [1, 2])
    metrics.close()
    assert len(caplog.records) == 1


def test_a_sink_that_blocks_holds_up_neither_work_nor_other_sinks_nor_the_end(
    tmp_path: Path, sink: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    other = Kept()
    metrics = Metrics(tmp_path / "metrics.jsonl", [sink, other])
    sink.may_go.clear()
    for step in range(3):
        metrics.log({"loss": 1.0}, step=step)
    wait_for(lambda: other.steps == [0, 1, 2])
    metrics.close(seconds=0.1)
    assert sink.steps == []
    assert "Kept did not take all metrics; they are in the output" in caplog.text


def test_a_sink_that_comes_back_after_the_end_does_not_ask_for_the_file(
    tmp_path: Path, sink: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[object] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    others = set(threading.enumerate())
    metrics = Metrics(tmp_path / "metrics.jsonl", [sink])
    sink.may_go.clear()
    metrics.log({"loss": 1.0}, step=0)
    metrics.close(seconds=0.1)
    (tmp_path / "metrics.jsonl").unlink()
    sink.may_go.set()
    wait_for(lambda: set(threading.enumerate()) <= others)
    assert errors == []


def test_what_an_earlier_attempt_wrote_goes_to_the_sink_too(tmp_path: Path, sink: Kept) -> None:
    Metrics(tmp_path / "metrics.jsonl").log({"loss": 1.0}, step=1)
    resumed = Metrics(tmp_path / "metrics.jsonl", [sink])
    resumed.log({"loss": 0.5}, step=2)
    resumed.close()
    assert sink.steps == [1, 2]


def test_without_a_number_there_is_no_file_and_nothing_to_close(tmp_path: Path, sink: Kept) -> None:
    Target(tmp_path, [sink]).metrics.close()
    assert list(tmp_path.iterdir()) == []
