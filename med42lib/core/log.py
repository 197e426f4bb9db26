"""Log lines for people: what a stage does, one line each; no secret in them, and nothing that steers a terminal."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

from med42lib.core.printable import indented, printable
from med42lib.core.redaction import redact

LOGGER_NAME = "med42"


def safe_message(text: str) -> str:
    """Make a message fit to be seen: no secrets, no characters unseen, and only its first line begins at the left."""
    return indented(printable(redact(text)))


class _SafeFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return safe_message(super().format(record))


def log(stage: str) -> logging.Logger:
    """Give the logger of a stage."""
    return logging.getLogger(f"{LOGGER_NAME}.{stage}")


def set_up_logging() -> None:
    """Send the suite's log lines, and tracebacks, to standard error, fit to be seen. Call once, at the entry point.

    Each line is headed by its stage.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_SafeFormatter("[%(stage)s] %(message)s"))
    handler.addFilter(_add_stage)
    logger = logging.getLogger(LOGGER_NAME)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    sys.excepthook = _show_uncaught


def _add_stage(record: logging.LogRecord) -> bool:
    record.stage = record.name.removeprefix(f"{LOGGER_NAME}.")
    return True


def _show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(safe_message("".join(traceback.format_exception(kind, error, trace))))
