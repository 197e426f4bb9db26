"""What a check found, in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from med42lib.core.errors import Med42Error
from med42lib.core.printable import one_line


class Level(StrEnum):
    """How grave a finding is. What could not be looked at is never `ok`."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found about something, and what to do if all is not well."""

    level: Level
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:<12} {self.about:<12} {one_line(self.text)}"


def ok(about: str, text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(Level.OK, about, text)


def warning(about: str, text: str) -> Finding:
    """Say what may be in the way, or will be later."""
    return Finding(Level.WARNING, about, text)


def problem(about: str, text: str) -> Finding:
    """Say what will be in the way, and what to do."""
    return Finding(Level.PROBLEM, about, text)


def unknown(about: str, text: str) -> Finding:
    """Say what could not be looked at, why, and how it could be."""
    return Finding(Level.UNKNOWN, about, text)


def findings_of(about: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Give what a check finds; an error that ends it is one more finding, so that the other checks are made too."""
    try:
        yield from check()
    except Med42Error as error:
        yield problem(about, str(error))
