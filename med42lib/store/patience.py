"""Waiting for a store's server that is away.

One that has answered this process is waited for, ten minutes at most: hours of work may hang on it. One that has never
answered is told of at once, for its address is wrong. boto3's own attempts cannot do this: their budget is for all
requests together, and once it is spent each request fails at its first refused connection.

A process that was given its address by one who has used it waits from the first request on (`expect_answers`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from threading import Event
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from med42lib.core.errors import StoreUnavailable
from med42lib.core.log import log

PATIENCE_SECONDS = 600.0
_SECONDS_BETWEEN_ASKING, _SECONDS_BETWEEN_TELLING = 5.0, 60.0


class Remote(Protocol):
    """A store on a server."""

    @property
    def place(self) -> tuple[str | None, ...]:
        """What decides which server answers, and for what."""


S = TypeVar("S", bound=Remote)
P = ParamSpec("P")
T = TypeVar("T")

_have_answered: set[tuple[str | None, ...]] = set()
_expects_answers = Event()
_is_patient = ContextVar("_is_patient", default=True)


def expect_answers() -> None:
    """Have this process wait for a server that has not answered it yet: somebody else has just used the address."""
    _expects_answers.set()


@contextmanager
def impatient() -> Iterator[None]:
    """Have requests in the block fail at once: who asks has something else to do, or only wants to tell something."""
    token = _is_patient.set(False)
    try:
        yield
    finally:
        _is_patient.reset(token)


def patient(ask: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Have a store's method ask again while its server is away."""

    @wraps(ask)
    def asked(store: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        give_up = tell = 0.0
        while True:
            try:
                answer = ask(store, *args, **kwargs)
            except StoreUnavailable as error:
                now = time.monotonic()
                give_up = give_up or now + PATIENCE_SECONDS  # from now, as the asking itself may have taken hours
                if not _is_patient.get() or not _is_expected(store) or now > give_up:
                    raise
                if now >= tell:
                    log("store").warning("waits for the store, %.0f minutes at most: %s", PATIENCE_SECONDS / 60, error)
                    tell = now + _SECONDS_BETWEEN_TELLING
                time.sleep(_SECONDS_BETWEEN_ASKING)
            else:
                _have_answered.add(store.place)
                return answer

    return asked


def _is_expected(store: Remote) -> bool:
    return _expects_answers.is_set() or store.place in _have_answered
