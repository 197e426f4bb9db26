"""Agreeing on one of several candidates: for what is made outside the store, where nothing else keeps it to one.

.agreed/<name>/1    the first candidate that was put, once
.agreed/<name>/2    put where somebody has deleted what the first one names
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from med42lib.store.base import Store

_FOLDER = ".agreed"


def agree(store: Store, name: str, candidate: str, stands: Callable[[str], bool]) -> str:
    """Return the candidate that counts under a name: to everyone who asks, the first one put that still stands.

    Args:
        store: Everybody's store.
        name: What it is about.
        candidate: What the caller has made or found, and would have count. It stands.
        stands: Says whether somebody else's candidate is still there.
    """
    for number in count(1):
        place = f"{_FOLDER}/{name}/{number}"
        if store.read(place) is None and store.put_once(place, candidate.encode()):
            break
        agreed = (store.read(place) or b"").decode(errors="replace")
        if agreed == candidate or (agreed and stands(agreed)):
            return agreed
    return candidate
