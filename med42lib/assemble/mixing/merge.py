"""From the chosen rows of many sources to one table in the mixture's order, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from med42lib.assemble.mixing.spill import read_rows
from med42lib.formats.dataset import ROWS_PER_GROUP

ROWS_PER_BLOCK = 2 * ROWS_PER_GROUP


def mixed(
    folders: Sequence[Path], chosen: NDArray[np.void], *, rows_per_block: int = ROWS_PER_BLOCK
) -> Iterator[pa.Table]:
    """Read the chosen rows in their order; holds one block in memory.

    Args:
        folders: Each source's folder of runs.
        chosen: The rows (`select.CHOSEN`), in the order wanted.
        rows_per_block: Rows of each table but the last.
    """
    for start in range(0, len(chosen), rows_per_block):
        yield _block(folders, chosen[start : start + rows_per_block])


def _block(folders: Sequence[Path], chosen: NDArray[np.void]) -> pa.Table:
    """Read each run's rows at once, then put all into order.

    Runs are sorted as the mixture is, so a block's rows stand close together in each run.
    """
    by_run = np.lexsort((chosen["row"], chosen["run"], chosen["source"]))
    grouped = chosen[by_run]
    changes = np.flatnonzero((np.diff(grouped["source"]) != 0) | (np.diff(grouped["run"]) != 0)) + 1
    batches = [
        read_rows(folders[int(rows["source"][0])], int(rows["run"][0]), rows["row"])
        for rows in np.split(grouped, changes)
    ]
    back = np.empty(len(chosen), np.int64)
    back[by_run] = np.arange(len(chosen))
    return pa.Table.from_batches(batches).take(pa.array(back))
