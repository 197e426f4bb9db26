"""Which rows of which sources make the mixture: decided on their keys alone, before any text is read again.

Every rule looks at content, never at places: the same rows are chosen whatever the order of files, the number of
processes, or the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from med42lib.assemble.config import AssembleConfig, SourceConfig

Keys = NDArray[np.void]
_GOLDEN = 0x9E3779B97F4A7C15

CHOSEN = np.dtype(
    [("place", np.float64), ("source", np.uint16), ("run", np.uint32), ("row", np.uint32), ("copy", np.uint16)]
)
_NUM_RANKS = 2.0**64


@dataclass(slots=True)
class Counts:
    """What became of one source's readable rows, in the order of the rules."""

    too_short: int = 0
    too_long: int = 0
    duplicates: int = 0
    duplicates_across_sources: int = 0
    kept: int = 0
    target: int = 0
    sampled: int = 0
    repeated: int = 0

    @property
    def short_by(self) -> int:
        """Rows that the target wants and the source does not have; never filled with others."""
        return max(0, self.target - self.kept)

    @property
    def left_over(self) -> int:
        """Rows that the source has and the target does not want."""
        return max(0, self.kept - self.target)


def select(config: AssembleConfig, names: Sequence[str], keys: Sequence[Keys]) -> tuple[NDArray[np.void], list[Counts]]:
    """Choose the rows of the mixture, in its order.

    Args:
        config: Length limits, what happens to duplicates, targets and repetitions.
        names: The sources.
        keys: Each source's keys, in reading order of runs.

    Returns:
        The chosen rows (`CHOSEN`), and each source's counts.
    """
    counts = [Counts() for _ in names]
    kept = [_within_source(config, rows, count) for rows, count in zip(keys, counts, strict=True)]
    kept = _across_sources(config, kept, counts)
    chosen = [
        _sampled(config, config.sources[name], number, rows, count)
        for number, (name, rows, count) in enumerate(zip(names, kept, counts, strict=True))
    ]
    rows = np.concatenate(chosen) if chosen else np.empty(0, CHOSEN)
    return rows[np.lexsort((rows["copy"], rows["source"], rows["place"]))], counts


def _within_source(config: AssembleConfig, keys: Keys, counts: Counts) -> Keys:
    """Apply the length limits, and keep one of several rows that say the same."""
    short = keys["characters"] < config.min_characters
    long = np.zeros(len(keys), bool) if config.max_characters is None else keys["characters"] > config.max_characters
    counts.too_short, counts.too_long = int(short.sum()), int(long.sum())
    keys = keys[~(short | long)]
    order = np.lexsort((keys["sequence"], keys["rank"], keys["same"]))
    again = np.zeros(len(keys), bool)
    again[order[1:]] = keys["same"][order[1:]] == keys["same"][order[:-1]]
    counts.duplicates = int(again.sum())
    return keys[~again] if config.duplicates == "drop" else keys


def _across_sources(config: AssembleConfig, kept: Sequence[Keys], counts: Sequence[Counts]) -> list[Keys]:
    """Count rows that a source before this one, by name, has too; drop them if the settings say so."""
    same = np.concatenate([keys["same"] for keys in kept])
    source = np.repeat(np.arange(len(kept)), [len(keys) for keys in kept])
    order = np.lexsort((source, same))
    begins = np.flatnonzero(np.diff(same[order], prepend=~same[order[:1]]))
    first_source = np.repeat(source[order][begins], np.diff(begins, append=len(order)))
    elsewhere = np.empty(len(same), bool)
    elsewhere[order] = source[order] != first_source
    left = []
    for keys, count, again in zip(
        kept, counts, np.split(elsewhere, np.cumsum([len(k) for k in kept])[:-1]), strict=True
    ):
        count.duplicates_across_sources = int(again.sum())
        left.append(keys[~again] if config.duplicates_across_sources == "drop" else keys)
    return left


def _sampled(
    config: AssembleConfig, settings: SourceConfig, number: int, keys: Keys, counts: Counts
) -> NDArray[np.void]:
    """Take the rows with the lowest ranks, and repeat them if the settings say so.

    A row's place in the mixture is its rank as a share of the first rank that is not taken. By ranks alone a source of
    which a twentieth is taken would stand in the first twentieth of the mixture.
    """
    counts.kept = len(keys)
    counts.target = settings.wanted(available=len(keys), total=config.total)
    order = np.lexsort((keys["sequence"], keys["rank"]))
    first = keys[order[: counts.target]]
    end = float(keys["rank"][order[counts.target]]) if counts.left_over else _NUM_RANKS
    counts.sampled = len(first) * settings.repeat
    counts.repeated = counts.sampled - len(first)
    rows = np.empty(counts.sampled, CHOSEN)
    for copy, part in enumerate(np.split(rows, settings.repeat)):
        for field in ("run", "row"):
            part[field] = first[field]
        part["place"] = first["rank"] / end if copy == 0 else _mixed(first["rank"], copy) / _NUM_RANKS
        part["source"], part["copy"] = number, copy
    return rows


def _mixed(ranks: NDArray[np.uint64], copy: int) -> NDArray[np.uint64]:
    """Give a copy a place of its own in the mixture (the finaliser of SplitMix64)."""
    mixed = ranks + np.uint64(copy * _GOLDEN % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
