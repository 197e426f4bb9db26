"""The rows of one source on disk, between reading and mixing: sorted runs, and the keys that choose among them.

A run is an Arrow file of rows with the data set's columns, sorted by rank; sixteen to thirty megabytes, so that any
number of rows can be mixed with little memory. Keys are kept apart, since choosing needs them all and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from med42lib.core.dataset import SCHEMA
from med42lib.core.records import Example
from med42lib.core.sampling import sampling_rank

KEYS_FILE = "keys.npy"
CHARACTERS_PER_RUN = 16_000_000

KEYS = np.dtype(
    [
        ("rank", np.uint64),  # first 64 bits of the sampling key: by it rows are chosen and mixed
        ("same", np.uint64),  # equal for rows that say the same but for case and white space
        ("characters", np.uint32),  # length of the conversation
        ("sequence", np.uint32),  # place in reading order, which decides between equal rows
        ("run", np.uint32),
        ("row", np.uint32),  # place in its run
    ]
)
_LOWER = bytes(range(256)).lower()
_WHITE_SPACE = b" \t\n"
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_EXCHANGE = SCHEMA.field("exchanges").type.value_type


class RunWriter:
    """Writes one source's examples as runs; `close` writes the last run and the keys."""

    def __init__(self, folder: Path, seed: int, *, characters_per_run: int = CHARACTERS_PER_RUN) -> None:
        self._folder, self._seed, self._characters_per_run = folder, seed, characters_per_run
        self._keys: list[NDArray[np.void]] = []
        self._num_read = 0
        self._start_run()

    def add(self, example: Example) -> None:
        """Take one example, in reading order."""
        texts = [text for exchange in example.exchanges for text in (exchange.prompter, exchange.assistant)]
        characters = sum(map(len, texts))
        id = example.id
        self._ranks.append(sampling_rank(self._seed, id))
        self._sames.append(_same(texts))
        self._lengths.append(characters)
        self._examples.append((id, example))
        self._characters += characters
        if self._characters >= self._characters_per_run:
            self._write_run()

    def close(self) -> None:
        """Write what is left, and the keys of all rows."""
        if self._examples:
            self._write_run()
        keys = np.concatenate(self._keys) if self._keys else np.empty(0, KEYS)
        np.save(self._folder / KEYS_FILE, keys)

    def _start_run(self) -> None:
        self._ranks: list[int] = []
        self._sames: list[int] = []
        self._lengths: list[int] = []
        self._examples: list[tuple[str, Example]] = []
        self._characters = 0

    def _write_run(self) -> None:
        keys = np.empty(len(self._examples), KEYS)
        keys["rank"], keys["same"], keys["characters"] = self._ranks, self._sames, self._lengths
        keys["sequence"] = np.arange(self._num_read, self._num_read + len(keys))
        keys["run"] = len(self._keys)
        order = np.argsort(keys["rank"], kind="stable")
        write_run(self._folder, len(self._keys), _columns([self._examples[place] for place in order]))
        keys = keys[order]
        keys["row"] = np.arange(len(keys))
        self._keys.append(keys)
        self._num_read += len(keys)
        self._start_run()


def _same(texts: list[str]) -> int:
    """Hash texts without case and white space to 64 bits.

    The chance that any two of two million different conversations clash is one in ten million.
    """
    plain = b"\0".join([_without_form(text) for text in texts])
    return int.from_bytes(hashlib.sha256(plain).digest()[:8], "big")


def _without_form(text: str) -> bytes:
    plain = text.encode().translate(_LOWER, _WHITE_SPACE)
    return plain if text.isascii() else _NOT_ASCII.sub(_folded, plain)


def _folded(letters: re.Match[bytes]) -> bytes:
    return "".join(letters[0].decode().casefold().split()).encode()


def _columns(examples: list[tuple[str, Example]]) -> pa.RecordBatch:
    """Lay examples out as columns: far cheaper than one dictionary per row."""
    exchanges = [exchange for _, example in examples for exchange in example.exchanges]
    offsets = np.cumsum([0, *(len(example.exchanges) for _, example in examples)], dtype=np.int32)
    prompters = pa.array([exchange.prompter for exchange in exchanges], pa.string())
    assistants = pa.array([exchange.assistant for exchange in exchanges], pa.string())
    pairs = pa.StructArray.from_arrays([prompters, assistants], fields=list(_EXCHANGE))
    columns = {
        "id": pa.array([id for id, _ in examples]),
        "source": pa.array([e.source for _, e in examples]),
        "licence": pa.array([e.licence for _, e in examples]),
        "publisher_id": pa.array([e.origin.publisher_id for _, e in examples]),
        "file": pa.array([e.origin.file for _, e in examples]),
        "line": pa.array([e.origin.line for _, e in examples], pa.int64()),
        "system": pa.array([e.system for _, e in examples]),
        "question": pa.array([e.question for _, e in examples]),
        "exchanges": pa.ListArray.from_arrays(offsets, pairs, type=SCHEMA.field("exchanges").type),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def write_run(folder: Path, number: int, batch: pa.RecordBatch) -> None:
    """Write one run, uncompressed, so that single rows can be read from it in place."""
    with pa.OSFile(str(_run_path(folder, number)), "wb") as stream, pa.ipc.new_file(stream, SCHEMA) as writer:
        writer.write_batch(batch)


def read_rows(folder: Path, number: int, rows: NDArray[np.uint32]) -> pa.RecordBatch:
    """Read some rows of one run, in the order given, touching only their bytes."""
    with pa.memory_map(str(_run_path(folder, number))) as stream:
        batch: pa.RecordBatch = pa.ipc.open_file(stream).get_batch(0)
        return batch.take(pa.array(rows))


def read_keys(folder: Path) -> NDArray[np.void]:
    """Read the keys of all rows, in the order of runs and of rows in them."""
    keys: NDArray[np.void] = np.load(folder / KEYS_FILE)
    return keys


def _run_path(folder: Path, number: int) -> Path:
    return folder / f"run-{number:05d}.arrow"
