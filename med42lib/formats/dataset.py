"""Training examples in Parquet: the one schema that assemble writes and later stages read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from med42lib.formats.parquet import open_parquet
from med42lib.formats.records import Example, Exchange, Origin

EXAMPLES_FILE = "examples.parquet"
ROWS_PER_GROUP = 8192
_REPEATED = ["source", "licence", "file", "system"]

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("publisher_id", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("system", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field(
            "exchanges",
            pa.list_(pa.struct([("prompter", pa.string()), ("assistant", pa.string())])),
            nullable=False,
        ),
    ]
)


def write_examples(folder: Path, examples: Iterable[Example]) -> int:
    """Write examples to `folder` in the order given, holding one row group in memory; returns how many."""
    rows = iter(examples)
    groups = iter(lambda: [row_of(example) for example in islice(rows, ROWS_PER_GROUP)], [])
    return write_tables(folder, (pa.Table.from_pylist(group, schema=SCHEMA) for group in groups))


def write_tables(folder: Path, tables: Iterable[pa.Table]) -> int:
    """Write tables of `SCHEMA` in the order given, each as its own row groups; returns the number of rows.

    A table is compressed and written while the next one is made.
    """
    count = 0
    with _writer(folder / EXAMPLES_FILE) as writer, ThreadPoolExecutor(1) as thread:
        pending: Future[None] | None = None
        for table in tables:
            if pending is not None:
                pending.result()
            pending = thread.submit(writer.write_table, table, ROWS_PER_GROUP)
            count += table.num_rows
        if pending is not None:
            pending.result()
    return count


def _writer(path: Path) -> pq.ParquetWriter:
    """Open the file. Only columns that repeat are worth a dictionary, and long texts no statistics."""
    return pq.ParquetWriter(
        path, SCHEMA, compression="zstd", compression_level=1, use_dictionary=_REPEATED, write_statistics=_REPEATED
    )


def count_examples(folder: Path) -> int:
    """Count the examples in `folder` from the file's footer alone."""
    return int(pq.read_metadata(folder / EXAMPLES_FILE).num_rows)


def read_examples(folder: Path) -> Iterator[Example]:
    """Read examples in their stored order, one row group at a time."""
    with open_parquet(folder / EXAMPLES_FILE) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP):
            yield from (example_of(row) for row in batch.to_pylist())


def read_columns(folder: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read some columns of the examples in their stored order, as tables of at most `ROWS_PER_GROUP` rows."""
    with open_parquet(folder / EXAMPLES_FILE) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP, columns=list(columns)):
            yield pa.Table.from_batches([batch])


def row_of(example: Example) -> dict[str, Any]:
    """Write an example as a row of `SCHEMA`."""
    return {
        "id": example.id,
        "source": example.source,
        "licence": example.licence,
        "publisher_id": example.origin.publisher_id,
        "file": example.origin.file,
        "line": example.origin.line,
        "system": example.system,
        "question": example.question,
        "group": example.group,
        "exchanges": [{"prompter": e.prompter, "assistant": e.assistant} for e in example.exchanges],
    }


def example_of(row: Mapping[str, Any]) -> Example:
    """Read an example back from a row of `SCHEMA`, as `row_of` wrote it."""
    return Example(
        source=row["source"],
        licence=row["licence"],
        system=row["system"],
        exchanges=tuple(Exchange(**exchange) for exchange in row["exchanges"]),
        question=row["question"],
        origin=Origin(row["publisher_id"], row["file"], row["line"]),
        group=row["group"],
    )
