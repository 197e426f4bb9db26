"""Who embeds which text: every shard some of each length, so that all have the same work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def share_of(texts: Sequence[str], *, shard: int, shards: int) -> Rows:
    """Choose the texts that one shard embeds: from the longest to the shortest they are dealt out in turn.

    Args:
        texts: Those of all shards.
        shard: Which shard it is, from 1.
        shards: How many there are.

    Returns:
        Their rows, in order; there may be none.
    """
    lengths = np.array([len(text) for text in texts])
    return np.sort(np.argsort(-lengths, kind="stable")[shard - 1 :: shards])
