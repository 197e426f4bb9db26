"""What a failed request to the Kubernetes API server means.

429, 5xx, 410 and a broken connection are a bad hour: asked again, later and later. Refusals are told at once; missing
rights too before there is a job, and later after several in a row, for they may come back.
"""

from __future__ import annotations

import json
import random
import time
from http import HTTPStatus

from med42lib.core.errors import AccessError, EnvironmentProblem
from med42lib.core.excerpts import cut
from med42lib.core.log import log
from med42lib.core.printable import one_line

_MAX_REFUSALS = 5
_LONGEST_PAUSE = 60.0
_MOST_DOUBLINGS = 16  # a watch is tried again without end, and no float is as large as 2**1024
_MOST_CHARACTERS = 500
_DENIED = "admission webhook"

_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS)
_NO_RIGHTS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def passing_errors() -> tuple[type[Exception], ...]:
    """Name what a call may raise when the server or the way to it is ill: half a line of JSON, a proxy's page."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    return ApiException, HTTPError, OSError, ValueError


class AlreadyThereError(Exception):
    """409 of a create."""


class NotThereError(Exception):
    """404 of something that has a name."""


class Trouble:
    """Failures in a row: each is waited for longer than the one before, and the first and the end are told."""

    def __init__(self, pause_seconds: float) -> None:
        self.count, self._first_pause = 0, pause_seconds

    def wait(self, error: Exception) -> None:
        """Sleep longer than after the last failure, and at least as long as the server asks for."""
        if self.count == 0:
            log("train").warning("the Kubernetes API server is asked again: %s", described(error))
        asked_for = _retry_after(error)
        pause = min(_LONGEST_PAUSE, max(asked_for, self._first_pause * 2 ** min(self.count, _MOST_DOUBLINGS)))
        self.count += 1
        time.sleep(pause * random.uniform(0.7, 1.0))

    def over(self) -> None:
        """Note that the server has answered."""
        if self.count:
            log("train").info("the Kubernetes API server answers again")
        self.count = 0


def refuse_for_good(doing: str, error: Exception, count: int, *, at_once: bool = False) -> None:
    """Raise what asking again does not mend; rights that were there a moment ago may come back.

    Raises:
        AlreadyThereError: What is to be made is there.
        NotThereError: What was asked for is not there.
        EnvironmentProblem: The server refuses, or knows no PyTorchJobs.
        AccessError: We may not, and waiting has not changed it.
    """
    status, text = getattr(error, "status", None), described(error)
    if status == HTTPStatus.CONFLICT and "AlreadyExists" in _body(error):
        raise AlreadyThereError from error
    if status == HTTPStatus.NOT_FOUND:
        if doing in ("create", "watch"):
            raise EnvironmentProblem(
                f"this cluster knows no PyTorchJobs, or not the namespace: {text}; install the Kubeflow training "
                "operator 1.9, or set MED42_NAMESPACE"
            ) from error
        raise NotThereError from error
    if status in _NO_RIGHTS and _DENIED not in _body(error):
        if at_once or count >= _MAX_REFUSALS:
            raise AccessError(f"may not {doing} PyTorchJobs: {text}; k8s/base has the Role that this needs") from error
    elif status is not None and HTTPStatus.BAD_REQUEST <= status < 500 and status not in _PASSING:
        raise EnvironmentProblem(f"the cluster refuses to {doing} the PyTorchJob: {text}") from error


def described(error: Exception) -> str:
    """Say what failed in one line, with the HTTP status where there is one."""
    status = getattr(error, "status", None)
    return event_line(str(error)) if status is None else f"{status} {event_line(message_of(error))}"


def event_line(text: str) -> str:
    """Fold and cut what the cluster says, which may be pages long."""
    return one_line(cut(text, _MOST_CHARACTERS))


def message_of(error: Exception) -> str:
    """Give the server's own words."""
    try:
        return str(json.loads(_body(error))["message"])
    except (ValueError, KeyError, TypeError):
        return str(getattr(error, "reason", None) or error)


def _body(error: Exception) -> str:
    body = getattr(error, "body", None) or ""
    return body.decode("utf-8", errors="replace") if isinstance(body, bytes) else str(body)


def _retry_after(error: Exception) -> float:
    value = (getattr(error, "headers", None) or {}).get("Retry-After", "0")
    return float(value) if value.isdecimal() else 0.0
