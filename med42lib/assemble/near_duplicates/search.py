"""Rows that say nearly the same: found in the written mixture, reported, and left where they are.

The report has how many pairs there are, between which sources, and the largest clusters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from med42lib.assemble.config import NearDuplicatesConfig
from med42lib.assemble.near_duplicates.minhash import NUM_PERMUTATIONS, Signer, find_pairs, shingles
from med42lib.core.progress import progress
from med42lib.formats.dataset import EXAMPLES_FILE, ROWS_PER_GROUP
from med42lib.formats.parquet import open_parquet
from med42lib.readers.text_columns import conversations

NUM_CLUSTERS = 20
NUM_IDS = 10


def find_near_duplicates(settings: NearDuplicatesConfig, folder: Path) -> dict[str, Any]:
    """Compare the rows of the mixture in `folder`, and give the content of `near_duplicates.json`.

    Rows with the same id are one conversation that stands there more than once, and are compared once. With a sample,
    the first rows are compared: the mixture's order is that of a keyed hash, so they are a random sample of it.
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


def summarise_pairs(ids: Sequence[str], pairs: NDArray[np.int64]) -> dict[str, Any]:
    """Count the pairs and put them together into clusters.

    A cluster is what pairs link, so its ends may be less alike than the threshold.

    Args:
        ids: The ids of the rows compared, in the mixture's order.
        pairs: The similar pairs, one a line, as places in `ids`.
    """
    names, sources = np.unique([id.partition("/")[0] for id in ids], return_inverse=True)
    by_sources = _by_sources(names.tolist(), np.sort(sources[pairs], axis=1))
    within = sum(entry["pairs"] for entry in by_sources if len(set(entry["sources"])) == 1)
    clusters = _clusters(len(ids), pairs)
    return {
        "rows_with_near_duplicates": sum(map(len, clusters)),
        "pairs": len(pairs),
        "pairs_within_sources": within,
        "pairs_across_sources": len(pairs) - within,
        "pairs_by_sources": by_sources,
        "clusters": len(clusters),
        "largest_clusters": [_cluster([ids[row] for row in rows]) for rows in clusters[:NUM_CLUSTERS]],
    }


def _by_sources(names: Sequence[str], pairs: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Count pairs by their two sources, the most first."""
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    found = [
        {"sources": [names[one], names[other]], "pairs": count}
        for (one, other), count in zip(kinds.tolist(), counts.tolist(), strict=True)
    ]
    return sorted(found, key=lambda entry: (-entry["pairs"], entry["sources"]))


def _clusters(num_rows: int, pairs: NDArray[np.int64]) -> list[list[int]]:
    """Give the rows of each cluster, the largest first; of equals the one that begins first."""
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(num_rows, num_rows))
    _, labels = connected_components(links, directed=False)
    linked = np.unique(pairs)
    order = linked[np.argsort(labels[linked], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    clusters = [part.tolist() for part in np.split(order, starts) if len(part)]
    return sorted(clusters, key=lambda rows: (-len(rows), rows[0]))


def _cluster(ids: Sequence[str]) -> dict[str, Any]:
    sources = Counter(id.partition("/")[0] for id in ids)
    return {"rows": len(ids), "sources": dict(sorted(sources.items())), "ids": ids[:NUM_IDS]}
