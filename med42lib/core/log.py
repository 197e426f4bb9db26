"""Log lines: what a stage does, one line each; no secret in them, and nothing that steers a terminal.

    MED42_LOG   text (default): for people, [train] step 3
                json: one object a line, for programs, with time, level, logger, message and, where they are known, run,
                stage, key, attempt and rank

What is known of a line's place stands in the environment, so that child processes know it too.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from med42lib.core.errors import EnvironmentProblem
from med42lib.core.excerpts import indented
from med42lib.core.printable import printable
from med42lib.core.redaction import redact

LOGGER_NAME = "med42"
FORMAT_VARIABLE = "MED42_LOG"
PLACE_VARIABLE = "MED42_LOG_PLACE"
"""Holds what every JSON line is to say of its place, as a JSON object."""

PLACE = ("run", "stage", "key", "attempt", "rank")
_ALWAYS = ("time", "level", "logger", "message")


def safe_message(text: str) -> str:
    """Make a message fit to be seen: no secrets, no characters unseen, and only its first line begins at the left."""
    return indented(printable(redact(text)))


def log(stage: str) -> logging.Logger:
    """Give the logger of a stage."""
    return logging.getLogger(f"{LOGGER_NAME}.{stage}")


def set_up_logging() -> None:
    """Send the suite's log lines, and tracebacks, to standard error, fit to be seen. Call once, at the entry point.

    Raises:
        EnvironmentProblem: If the environment asks for a form that there is not, or says nonsense of the place.
    """
    _check_environment()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if writes_json() else _TextFormatter())
    logger = logging.getLogger(LOGGER_NAME)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    sys.excepthook = _show_uncaught


def writes_json() -> bool:
    """Say whether log lines are JSON."""
    return os.environ.get(FORMAT_VARIABLE) == "json"


@contextmanager
def log_place(**facts: str) -> Iterator[None]:
    """Have this process's lines, and those of its children, say where they are from, each fact by its name in `PLACE`.

    After an error they still do, so that the line that tells of it does.
    """
    before = os.environ.get(PLACE_VARIABLE)
    os.environ[PLACE_VARIABLE] = json.dumps({**(_place() or {}), **facts})
    yield
    if before is None:
        del os.environ[PLACE_VARIABLE]
    else:
        os.environ[PLACE_VARIABLE] = before


def tell(stage: str, text: str, *, level: int = logging.INFO) -> None:
    """Write to standard error what is no log line for people: progress, an error at the end. In JSON it is one."""
    if writes_json():
        text = _JsonFormatter().format(_record(stage, text.strip(), level))
    write_error(f"{text}\n")


def write_error(text: str) -> None:
    """Write to standard error at once. Where nobody reads it any more, or its disk is full, work and exit code stay."""
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def passed_record(line: str) -> str | None:
    """Take a JSON log line of another process, without secrets; None if the line is none."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or not {*_ALWAYS} <= values.keys() <= {*_ALWAYS, *PLACE}:
        return None
    return json.dumps({name: redact(str(value)) for name, value in values.items()})


class _TextFormatter(logging.Formatter):
    """Heads each line by its stage."""

    def format(self, record: logging.LogRecord) -> str:
        return safe_message(f"[{record.name.removeprefix(f'{LOGGER_NAME}.')}] {super().format(record)}")


class _JsonFormatter(logging.Formatter):
    """Writes ASCII alone: JSON escapes whatever could end a line or steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(super().format(record)),
            **(_place() or {}),
        }
        return json.dumps(values)


def _check_environment() -> None:
    wanted = os.environ.get(FORMAT_VARIABLE, "text")
    if wanted not in ("text", "json"):
        raise EnvironmentProblem(f"{FORMAT_VARIABLE}={wanted!r}: expected text or json")
    if _place() is None:
        given = os.environ[PLACE_VARIABLE]
        raise EnvironmentProblem(f"{PLACE_VARIABLE}={given!r}: expected a JSON object of texts for {', '.join(PLACE)}")


def _place() -> dict[str, str] | None:
    """Read from the environment what is known of this process's lines; None if that is no JSON object as expected."""
    try:
        found: Any = json.loads(os.environ.get(PLACE_VARIABLE, "{}"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(n in PLACE and isinstance(v, str) for n, v in found.items()):
        return None
    return found


def _record(stage: str, message: str, level: int) -> logging.LogRecord:
    values = {"name": f"{LOGGER_NAME}.{stage}", "msg": message, "levelno": level}
    return logging.makeLogRecord({**values, "levelname": logging.getLevelName(level)})


def _show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    text = "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")
    tell("uncaught", text if writes_json() else safe_message(text), level=logging.CRITICAL)
