"""Reading many sources at once, each in a process of its own where there is enough to read."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence, Sized
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from med42lib.assemble.reading.read_source import Advance, Reading, prepare
from med42lib.core.environment import num_cores, number_from_environment
from med42lib.core.errors import DataError, EnvironmentProblem
from med42lib.core.process import FORK_SERVER, children_die_with_this_process
from med42lib.core.progress import progress
from med42lib.formats.rejects import TooManyRejected
from med42lib.store.cache import StageCache

BYTES_PER_PROCESS = 32_000_000
"""Less than this is read sooner than another process starts."""

MOST_BYTES = 64 << 30
"""Of all sources that are kept as they were read."""

PROCESSES_VARIABLE = "MED42_READERS"
_SECONDS_BETWEEN_LOOKS = 0.2


class Counter(Protocol):
    """Rows read so far, by all processes together."""

    value: int


_counter: Counter


def prepare_all(readings: Sequence[Reading], cache: StageCache) -> list[Path]:
    """Prepare every source, the largest first; returns their folders in the order given.

    Beyond `MOST_BYTES` the cache forgets what was read longest ago, but nothing of these.

    Raises:
        DataError: If sources have too many broken records, all of them at once.
        Med42Error: The first other problem of any source.
    """
    keys = {reading.name: reading.key for reading in readings}
    folders = {name: folder for name, key in keys.items() if (folder := cache.find(key)) is not None}
    unread = sorted((reading for reading in readings if reading.name not in folders), key=_bytes, reverse=True)
    processes = num_processes(unread)
    made = _in_processes(unread, cache, processes) if unread and processes > 1 else _in_this_process(unread, cache)
    if broken := [str(one) for one in made if isinstance(one, TooManyRejected)]:
        raise DataError("\n".join(broken))
    folders |= {reading.name: one for reading, one in zip(unread, made, strict=True) if isinstance(one, Path)}
    if unread:
        cache.make_room(0, MOST_BYTES, used=set(keys.values()))
    return [folders[reading.name] for reading in readings]


def use_system_memory() -> None:
    """Let Arrow ask the system for memory in this process.

    The allocators that it brings along hand large blocks back and fetch them again: a fourth more memory, measured on
    the paper's mixture, and a tenth more time.
    """
    pa.set_memory_pool(pa.system_memory_pool())


def _in_this_process(readings: Sequence[Reading], cache: StageCache) -> list[Path | TooManyRejected]:
    """Prepare one source after the other; a signal ends this at once, since no thread has to be waited for."""
    with progress("reading sources", None) as bar:
        return [
            _prepared(reading, cache, partial(bar.advance, note=_note(number, readings)))
            for number, reading in enumerate(readings)
        ]


def _in_processes(readings: Sequence[Reading], cache: StageCache, processes: int) -> list[Path | TooManyRejected]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([FORK_SERVER])
    counter = context.Value("q", 0)
    executor = ProcessPoolExecutor(processes, context, initializer=_start, initargs=(counter, dict(os.environ)))
    try:
        with children_die_with_this_process():
            futures = [executor.submit(_prepare, reading, cache) for reading in readings]
        # Of the processes that it started, Python's pool watches only those that it had before the last call.
        executor.submit(_nothing)
        _wait(futures, counter)
        return [future.result() for future in futures]
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
    usual = min(num_cores(), len(readings), sum(map(_bytes, readings)) // BYTES_PER_PROCESS)
    return number_from_environment(PROCESSES_VARIABLE) or max(1, usual)


def _start(counter: Counter, environment: Mapping[str, str]) -> None:
    """Prepare a process; the fork server that it is a fork of may have been started in another environment."""
    global _counter
    use_system_memory()
    os.environ.update(environment)
    _counter = counter


def _prepare(reading: Reading, cache: StageCache) -> Path | TooManyRejected:
    return _prepared(reading, cache, _advance)


def _prepared(reading: Reading, cache: StageCache, advance: Advance) -> Path | TooManyRejected:
    """Prepare a source; one with too many broken records does not keep the others from being looked at."""
    try:
        return prepare(reading, cache, advance)
    except TooManyRejected as error:
        return error


def _nothing() -> None:
    """Do nothing, in some process."""


def _advance(rows: int) -> None:
    """Count rows for the progress line; one lost to a race between processes does not matter."""
    _counter.value += rows


def _wait(futures: Sequence[Future[Path | TooManyRejected]], counter: Counter) -> None:
    """Show progress until all are done; raises the error of the first that fails."""
    with progress("reading sources", None) as bar:
        shown = 0
        pending: set[Future[Path | TooManyRejected]] = set(futures)
        while pending:
            done, pending = wait(pending, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_EXCEPTION)
            now = counter.value
            bar.advance(now - shown, note=_note(len(futures) - len(pending), futures))
            shown = now
            for future in done:
                future.result()


def _note(num_done: int, of: Sized) -> str:
    return f"{num_done} of {len(of)} sources"


def _bytes(reading: Reading) -> int:
    return sum(entry.bytes for entry in reading.data.files)
