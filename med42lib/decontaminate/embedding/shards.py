"""Who embeds which text, so that the number of shards changes no vector.

The last bits of a vector depend on the batch that its text is in. So texts are cut into parts first, by their lengths
alone, and a part is embedded by one shard, whichever:

    texts, longest first     ███████ ██████ │ █████ ████ ███ │ ███ ██ ██ █ │ █ █ █ █
    who, of two              the first      │ the second     │ the first   │ the second
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]

PART_CHARACTERS = 65_536
"""About 16,000 tokens: enough to keep a GPU busy, and few enough that 16 shards of 100,000 questions get equal work."""


def share_of(texts: Sequence[str], *, shard: int, shards: int) -> list[Rows]:
    """Choose the parts that one shard embeds, each by its texts' rows, longest first; there may be none.

    Args:
        texts: Those of all shards.
        shard: Which shard it is, from 1.
        shards: How many there are.
    """
    lengths = np.array([len(text) for text in texts])
    order = np.argsort(-lengths, kind="stable")
    part_of = np.cumsum(lengths[order]) // PART_CHARACTERS
    parts = np.split(order, np.flatnonzero(np.diff(part_of)) + 1)
    return parts[shard - 1 :: shards]


def rows_of(parts: Sequence[Rows]) -> Rows:
    """Give the rows of parts together, from the first text to the last."""
    return np.sort(np.concatenate([np.empty(0, np.intp), *parts]))
