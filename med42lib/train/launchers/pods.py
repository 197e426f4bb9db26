"""What the status of a training's pod says: where it is, what it waits for, and how it broke down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from med42lib.train.launchers.api_errors import event_line

_LONG = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a job."""

    name: str

    uid: str
    """Another one's of the same name is another."""

    phase: str

    restarts: int
    """How often its containers were started again."""

    broken_by: str
    """Why it failed, or a container of it last did, if known."""

    waits_for: str
    """If known."""

    node: str
    """If known."""

    lingers: bool
    """Whether it should have gone long ago, as one does whose node is lost: nobody is left to say that it ended."""

    @classmethod
    def of(cls, found: Any) -> Pod:
        """Read what the API server says of it."""
        statuses = found.status.container_statuses or []
        return cls(
            name=found.metadata.name,
            uid=found.metadata.uid,
            phase=found.status.phase or "Pending",
            restarts=sum(each.restart_count or 0 for each in statuses),
            broken_by=_reason(found.status),
            waits_for=next(_waited_for(statuses), ""),
            node=found.spec.node_name or "",
            lingers=_lingers(found.metadata.deletion_timestamp),
        )

    @property
    def breakdown(self) -> tuple[str, int, bool] | None:
        """What tells its last breakdown from any other; None if it had none."""
        failed = self.phase == "Failed"
        return (self.uid, self.restarts, failed) if failed or self.restarts else None


def _reason(status: Any) -> str:
    """Give the kubelet's reason for a whole pod (`Evicted`), else how a container ended, now or the last time."""
    if status.reason:
        return _told(status.reason, status.message)
    states = [state for each in status.container_statuses or () for state in (each.state, each.last_state) if state]
    ends = [state.terminated for state in states if state.terminated and state.terminated.exit_code]
    return next((_told(f"{end.reason or 'Error'} ({end.exit_code})", end.message) for end in ends), "")


def _waited_for(statuses: list[Any]) -> Iterator[str]:
    for each in statuses:
        if each.state and (waiting := each.state.waiting) and waiting.reason:
            yield _told(waiting.reason, waiting.message)


def _told(reason: str, message: str | None) -> str:
    return ": ".join(filter(None, (reason, event_line(message or ""))))


def _lingers(time_to_go: datetime | None) -> bool:
    return time_to_go is not None and datetime.now(UTC) - time_to_go > _LONG
