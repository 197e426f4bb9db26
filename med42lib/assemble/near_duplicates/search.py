"""Rows that say nearly the same: found in the written mixture, reported, and left where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from med42lib.assemble.config import NearDuplicatesConfig
from med42lib.assemble.near_duplicates.clusters import summarise_pairs
from med42lib.assemble.near_duplicates.minhash import NUM_PERMUTATIONS, Signer, find_pairs
from med42lib.assemble.near_duplicates.shingles import shingles
from med42lib.core.progress import progress
from med42lib.formats.dataset import EXAMPLES_FILE, ROWS_PER_GROUP
from med42lib.formats.parquet import open_parquet
from med42lib.readers.text_columns import conversations


def find_near_duplicates(settings: NearDuplicatesConfig, folder: Path) -> dict[str, Any]:
    """Compare the rows of the mixture in `folder`, and give the content of `near_duplicates.json`.

    Rows with the same id are one conversation that stands there more than once, and are compared once. With a sample,
    the first rows are compared: the mixture's order is that of a keyed hash, so they are those of the lowest rank.
    Memory grows by about 0.9 KB for each row compared and 80 bytes for each pair found.
    """
    signer, ids = Signer(), list[str]()
    with open_parquet(folder / EXAMPLES_FILE) as file:
        num_rows = file.metadata.num_rows
        num_wanted = num_rows if settings.sample is None else min(num_rows, settings.sample)
        signatures = np.empty((num_wanted, NUM_PERMUTATIONS), np.uint32)
        with progress("signing rows", num_wanted) as bar:
            for batch in _distinct(file, num_wanted):
                rows = slice(len(ids), len(ids) + batch.num_rows)
                signatures[rows] = signer.sign(*shingles(conversations(batch.column("exchanges"), between=" ")))
                ids += batch.column("id").to_pylist()
                bar.advance(batch.num_rows)
    found = find_pairs(signatures[: len(ids)], settings.threshold)
    return {
        "threshold": settings.threshold,
        "similarity": "Jaccard's, of sets of three-word sequences; estimated by MinHash with "
        f"{NUM_PERMUTATIONS} permutations",
        "rows": num_rows,
        "rows_compared": len(ids),
        "complete": found.complete,
        **summarise_pairs(ids, found.pairs),
    }


def _distinct(file: pq.ParquetFile, count: int) -> Iterator[pa.RecordBatch]:
    """Read the first `count` rows that have different ids."""
    seen: set[str] = set()
    for batch in file.iter_batches(ROWS_PER_GROUP, columns=["id", "exchanges"]):
        new: dict[str, int] = {}
        for row, id in enumerate(batch.column("id").to_pylist()):
            if id not in seen:
                new.setdefault(id, row)
        rows = list(new.values())[: count - len(seen)]
        seen.update(new)
        yield batch.take(pa.array(rows, pa.int64()))
        if len(seen) >= count:
            return
