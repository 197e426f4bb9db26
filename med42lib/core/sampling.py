"""Choosing some of many by a keyed hash of what they are, not of where they stand.

Independent of the order of files and records, of the machine and of how many there are: choosing more keeps all that
was chosen before, and adding a record to the source can push out at most one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import TypeVar

from med42lib.core.hashing import content_hash

T = TypeVar("T")

DEFAULT_SEED = 0
"""With it `benchmarks` and `evaluate` choose alike: a limit of one keeps what the same limit of the other would."""


def sampling_key(seed: int, id: str) -> str:
    """Give the hexadecimal key by which a record competes to be chosen; the lowest win."""
    return content_hash(str(seed), id, length=32)


def sample_by_hash(records: Iterable[T], count: int, *, seed: int, id: Callable[[T], str]) -> list[T]:
    """Choose at most `count` records, those with the lowest keys, in the order of their keys.

    Args:
        records: Any number of records, in any order.
        count: How many to choose; fewer come back if there are fewer.
        seed: Another seed chooses another sample.
        id: Gives a record's id, which must be different for different records.
    """
    return heapq.nsmallest(count, records, key=lambda record: sampling_key(seed, id(record)))
