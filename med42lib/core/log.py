"""Log lines for people: what a stage does, one line each, and never a secret in them."""

from __future__ import annotations

import logging
import re
import sys

LOGGER_NAME = "med42"
_SECRETS = re.compile(
    r"hf_[A-Za-z0-9]{8,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|(?<=Bearer )\S+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?i:(?<=secret_access_key=)\S+)"
)


def redact(text: str) -> str:
    """Replace tokens, access keys and passwords in addresses by `***`."""
    return _SECRETS.sub("***", text)


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def log(stage: str) -> logging.Logger:
    """Give the logger of a stage."""
    return logging.getLogger(f"{LOGGER_NAME}.{stage}")


def set_up_logging() -> None:
    """Send the suite's log lines to standard error, each headed by its stage. Call once, at the entry point."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting("[%(stage)s] %(message)s"))
    handler.addFilter(_add_stage)
    logger = logging.getLogger(LOGGER_NAME)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _add_stage(record: logging.LogRecord) -> bool:
    record.stage = record.name.removeprefix(f"{LOGGER_NAME}.")
    return True
