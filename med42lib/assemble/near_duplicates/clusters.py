"""What there is of near-duplicates: how many pairs, between which sources, and the largest clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NUM_CLUSTERS = 20
NUM_IDS = 10


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
