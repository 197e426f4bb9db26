"""One piece of work for each core: numpy leaves Python's lock while it computes, so threads are enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from med42lib.core.environment import THREADS_VARIABLE, num_cores, number_from_environment

T = TypeVar("T")
R = TypeVar("R")


def in_cores(work: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
    """Do work on pieces, as many at a time as there are cores, or `OMP_NUM_THREADS`; results come in the pieces' order.

    The BLAS library uses one thread meanwhile. It would use all cores for a product alone, and leave them idle while
    the result is searched.
    """
    executor = ThreadPoolExecutor(number_from_environment(THREADS_VARIABLE) or num_cores())
    try:
        with threadpool_limits(1, "blas"):
            yield from executor.map(work, pieces)
    finally:
        executor.shutdown(cancel_futures=True)
