"""Reading many sources at once, each in a process of its own where there is enough to read."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from med42lib.assemble.prepare import Reading, prepare
from med42lib.core.errors import EnvironmentProblem
from med42lib.core.parts import Parts
from med42lib.core.process import die_with_creator
from med42lib.core.progress import progress

BYTES_PER_PROCESS = 32_000_000
"""Less than this is read sooner than another process starts."""

PROCESSES_VARIABLE = "MED42_READERS"
_SECONDS_BETWEEN_LOOKS = 0.2


class Counter(Protocol):
    """Rows read so far, by all processes together."""

    value: int


class _Rows:
    value = 0


_counter: Counter = _Rows()


def prepare_all(readings: Sequence[Reading], parts: Parts) -> list[Path]:
    """Prepare every source, the largest first; returns their folders in the order given.

    Raises:
        Med42Error: The first problem of any source.
    """
    largest_first = sorted(range(len(readings)), key=lambda n: -_bytes(readings[n]))
    with _executor(readings) as (executor, counter):
        futures = {number: executor.submit(_prepare, readings[number], parts) for number in largest_first}
        # Of the processes that it started, Python's pool watches only those that it had before the last call.
        executor.submit(_nothing)
        try:
            _wait(list(futures.values()), counter)
            return [futures[number].result() for number in range(len(readings))]
        except BrokenProcessPool:
            raise EnvironmentProblem(
                "a process that read a source was killed (often: out of memory); give more memory, or set "
                f"{PROCESSES_VARIABLE}=1"
            ) from None
        except (KeyboardInterrupt, SystemExit):
            for process in multiprocessing.active_children():
                process.kill()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def num_processes(readings: Sequence[Reading]) -> int:
    """Say how many processes to read with: one per core, none for less than `BYTES_PER_PROCESS`."""
    wanted = os.environ.get(PROCESSES_VARIABLE)
    if wanted is not None:
        if not wanted.isdecimal() or int(wanted) == 0:
            raise EnvironmentProblem(f"{PROCESSES_VARIABLE}={wanted!r}: expected a whole number above 0")
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, len(readings), sum(map(_bytes, readings)) // BYTES_PER_PROCESS))


@contextmanager
def _executor(readings: Sequence[Reading]) -> Iterator[tuple[Executor, Counter]]:
    processes = num_processes(readings)
    if processes == 1:
        _start(rows := _Rows(), {})
        yield ThreadPoolExecutor(1), rows
        return
    context = multiprocessing.get_context("forkserver")
    counter = context.Value("q", 0)
    arguments = (counter, dict(os.environ))
    yield ProcessPoolExecutor(processes, context, initializer=_start, initargs=arguments), counter


def _start(counter: Counter, environment: Mapping[str, str]) -> None:
    """Prepare a process; the fork server that it is a fork of may have been started in another environment."""
    global _counter
    os.environ.update(environment)
    _counter = counter
    die_with_creator()


def _prepare(reading: Reading, parts: Parts) -> Path:
    return prepare(reading, parts, _advance)


def _nothing() -> None:
    """Do nothing, in some process."""


def _advance(rows: int) -> None:
    """Count rows for the progress line; one lost to a race between processes does not matter."""
    _counter.value += rows


def _wait(futures: Sequence[Future[Path]], counter: Counter) -> None:
    """Show progress until all are done; raises the error of the first that fails."""
    with progress("reading sources", None) as bar:
        shown = 0
        pending: set[Future[Path]] = set(futures)
        while pending:
            done, pending = wait(pending, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_EXCEPTION)
            now = counter.value
            bar.advance(now - shown, note=f"{len(futures) - len(pending)} of {len(futures)} sources")
            shown = now
            for future in done:
                future.result()


def _bytes(reading: Reading) -> int:
    return sum(entry.bytes for entry in reading.data.files)
