"""The log of a pod, passed on while it is written; it goes on behind its last line where a connection broke."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread

from med42lib.core.errors import ClusterUnavailable, Med42Error
from med42lib.train.launchers.cluster import Cluster
from med42lib.train.launchers.output import LiveOutput

_SECONDS_FOR_LAST_LINES = 5.0
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
_Moment = tuple[datetime, str]
"""A line's time, and as it is written: to the nanosecond, of which a datetime has the microseconds."""
_BEFORE_ALL: _Moment = (datetime.min.replace(tzinfo=UTC), "")


@contextmanager
def followed_log(cluster: Cluster, pod: str, output: LiveOutput) -> Iterator[None]:
    """Pass a pod's log on until the block ends; whatever befalls it is no failure of the training."""
    ended = Event()
    thread = Thread(target=lambda: output.pass_on(_log(cluster, pod, ended)), daemon=True)
    thread.start()
    patience = 0.0  # of one who is interrupted
    try:
        yield
        patience = _SECONDS_FOR_LAST_LINES
    except Med42Error:
        patience = _SECONDS_FOR_LAST_LINES
        raise
    finally:
        ended.set()
        thread.join(patience)


def _log(cluster: Cluster, pod: str, ended: Event) -> Iterator[str]:
    """Give a pod's log without times, each line once, going on behind the last where a connection broke."""
    last, pause = _BEFORE_ALL, 1.0
    while True:
        final = ended.is_set()
        try:
            for line in cluster.log_lines(pod, _seconds_since(last)):
                when, _, text = line.partition(" ")
                if (moment := _moment(when)) and moment > last:
                    last, pause = moment, 1.0
                    yield text
        except ClusterUnavailable:
            pause = min(30.0, pause * 2)
        if final:
            return
        ended.wait(pause)


def _moment(text: str) -> _Moment | None:
    """Read a line's time; None if it is none."""
    try:
        return (datetime.fromisoformat(text), text) if _TIME.match(text) else None
    except ValueError:  # 2026-99-99, say
        return None


def _seconds_since(moment: _Moment) -> int | None:
    return None if moment == _BEFORE_ALL else int(time.time() - moment[0].timestamp()) + 2
