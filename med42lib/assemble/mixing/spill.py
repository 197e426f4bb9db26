"""The rows of one source on disk, between reading and mixing: sorted runs, and the keys that choose among them.

A run is an Arrow file of rows with the data set's columns, sorted by rank; some sixteen million characters, so that any
number of rows can be mixed with little memory. Keys are kept apart, since choosing needs them all and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from med42lib.formats.dataset import SCHEMA
from med42lib.readers.text_columns import content_digests, conversations, python_objects

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
_BETWEEN_TEXTS = "\0"  # no cleaned text holds it


class RunWriter:
    """Writes one source's examples as runs; `close` writes the last run and the keys."""

    def __init__(self, folder: Path, seed: int, *, characters_per_run: int = CHARACTERS_PER_RUN) -> None:
        self._folder, self._seed, self._characters_per_run = folder, seed, characters_per_run
        self._written: list[NDArray[np.void]] = []
        self._keys: list[NDArray[np.void]] = []
        self._batches: list[pa.RecordBatch] = []
        self._num_read = self._characters = 0

    def add(self, examples: pa.RecordBatch) -> None:
        """Take examples (`SCHEMA`), in reading order. A run ends with the batch that fills it."""
        self._batches.append(examples)
        self._keys.append(self._keys_of(examples))
        self._characters += int(self._keys[-1]["characters"].sum())
        if self._characters >= self._characters_per_run:
            self._write_run()

    def close(self) -> None:
        """Write what is left, and the keys of all rows."""
        if self._batches:
            self._write_run()
        keys = np.concatenate(self._written) if self._written else np.empty(0, KEYS)
        np.save(self._folder / KEYS_FILE, keys)

    def _keys_of(self, examples: pa.RecordBatch) -> NDArray[np.void]:
        keys = np.empty(len(examples), KEYS)
        keys["rank"] = _ranks(self._seed, examples["id"])
        keys["same"] = _same(examples["exchanges"])
        keys["characters"] = _characters(examples["exchanges"])
        keys["sequence"] = np.arange(self._num_read, self._num_read + len(keys))
        self._num_read += len(keys)
        return keys

    def _write_run(self) -> None:
        keys, examples = np.concatenate(self._keys), pa.Table.from_batches(self._batches)
        self._keys, self._batches, self._characters = [], [], 0
        order = np.argsort(keys["rank"], kind="stable")
        [batch] = examples.take(pa.array(order)).combine_chunks().to_batches()
        write_run(self._folder, len(self._written), batch)
        keys = keys[order]
        keys["run"], keys["row"] = len(self._written), np.arange(len(keys))
        self._written.append(keys)


def _ranks(seed: int, ids: pa.StringArray) -> NDArray[np.uint64]:
    """Give the first 64 bits of each id's sampling key: the same order, for columns of millions."""
    return _first_64_bits(content_digests(pa.repeat(str(seed), len(ids)), ids))


def _first_64_bits(digests: Iterable[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join([digest[:8] for digest in digests]), ">u8").astype(np.uint64)


def _characters(exchanges: pa.ListArray) -> NDArray[np.int64]:
    """Count the characters of each conversation."""
    turns = exchanges.values
    lengths = pc.add(*(pc.utf8_length(turns.field(side)) for side in ("prompter", "assistant"))).to_numpy()
    bounds = exchanges.offsets.to_numpy()
    return np.add.reduceat(lengths[: bounds[-1]], bounds[:-1], dtype=np.int64)


def _same(exchanges: pa.ListArray) -> NDArray[np.uint64]:
    """Hash conversations without case and white space to 64 bits.

    The chance that any two of two million different conversations clash is one in ten million.
    """
    texts = python_objects(conversations(exchanges, between=_BETWEEN_TEXTS).cast(pa.binary()))
    return _first_64_bits(hashlib.sha256(_without_form(text)).digest() for text in texts)


def _without_form(text: bytes) -> bytes:
    plain = text.translate(_LOWER, _WHITE_SPACE)
    return plain if plain.isascii() else _NOT_ASCII.sub(_folded, plain)


def _folded(letters: re.Match[bytes]) -> bytes:
    return "".join(letters[0].decode().casefold().split()).encode()


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
