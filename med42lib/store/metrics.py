"""Numbers over time: written to a file first, and from there to whoever shows them while the work goes on.

    Metrics.log ─► metrics.jsonl ─► a thread for each sink ─► MetricSink.write        MLflow's server: `tracking.live`

The file is the queue: it goes into the output and into checkpoints, so nothing is lost with a sink that is away, and
work waits for none.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from med42lib.core.log import log

SECONDS_BETWEEN_WRITES = 2.0
"""To a sink that takes them: several quick steps are one call."""

SECONDS_BETWEEN_TRIES = 10.0


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One number: a line of `metrics.jsonl`."""

    key: str
    value: float
    step: int
    timestamp_ms: int
    """Milliseconds since 1970."""

    def to_json(self) -> str:
        """Write it as one line, without its end."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})  # `asdict` takes ten times as long

    @classmethod
    def from_json(cls, line: str | bytes) -> MetricPoint:
        """Read what `to_json` wrote."""
        return cls(**json.loads(line))


class MetricSink(Protocol):
    """Shows metrics while work goes on."""

    @property
    def name(self) -> str:
        """What people call it."""

    def write(self, points: Sequence[MetricPoint]) -> None:
        """Take points, in the order they were logged, from a thread of its own.

        It may wait as long as it likes, and raise anything: the same points, and newer ones, are then given again. So
        it has to bear points that it knows already, those of a killed attempt's checkpoint among them.
        """


class Metrics:
    """The metrics of one output.

    Args:
        path: The file they are written to; what is in it already goes to the sinks too.
        sinks: Who gets them besides.
    """

    def __init__(self, path: Path, sinks: Sequence[MetricSink] = ()) -> None:
        self._path = path
        self._feeders = [_Feeder(path, sink) for sink in sinks]

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Write numbers of one step to the file; sinks get them soon after."""
        now_ms = int(time.time() * 1000)
        points = [MetricPoint(key, float(value), step, now_ms) for key, value in values.items()]
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{point.to_json()}\n" for point in points))
        for feeder in self._feeders:
            feeder.wake()

    def points(self) -> Iterator[MetricPoint]:
        """Read what is in the file, in order."""
        if self._path.exists():
            yield from map(MetricPoint.from_json, self._path.read_text(encoding="utf-8").splitlines())

    def close(self, seconds: float = 10.0) -> None:
        """Give the sinks some time, all together, for what they have not taken yet, and leave them.

        Call it once, before the file is moved away; nothing can be logged afterwards.
        """
        until = time.monotonic() + seconds
        for feeder in self._feeders:
            feeder.close(until)


class _Feeder:
    """Hands the lines of a growing file to one sink."""

    def __init__(self, path: Path, sink: MetricSink) -> None:
        self._path, self._sink = path, sink
        self._position = 0
        self._has_failed = self._is_left = False
        self._news, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def wake(self) -> None:
        self._news.set()
        if self._thread.ident is None:
            self._thread.start()

    def close(self, until: float) -> None:
        self._closing.set()
        if self._thread.ident is not None:
            self._news.set()
            self._thread.join(max(0.0, until - time.monotonic()))
            self._is_left = self._thread.is_alive()
            if self._is_left or self._path.stat().st_size > self._position:
                log("metrics").warning("%s did not take all metrics; they are in the output", self._sink.name)

    def _run(self) -> None:
        while not self._is_left:  # then the file may be gone
            self._news.wait()
            self._news.clear()
            closing = self._closing.is_set()  # asked first: what was logged until then is in the file
            taken = self._feed()
            if closing:
                return
            self._closing.wait(SECONDS_BETWEEN_WRITES if taken else SECONDS_BETWEEN_TRIES)
            if not taken:
                self._news.set()

    def _feed(self) -> bool:
        with self._path.open("rb") as stream:
            stream.seek(self._position)
            lines = [line for line in stream if line.endswith(b"\n")]
        try:
            self._sink.write([MetricPoint.from_json(line) for line in lines])
        except Exception as error:  # noqa: BLE001 (a library's; no work ends for want of watchers)
            if not self._has_failed:
                log("metrics").warning("%s takes no metrics for now (%s); work goes on", self._sink.name, error)
            self._has_failed = True
            return False
        self._position += sum(map(len, lines))
        return True
