"""What decontamination found: which items leaked, from which source, and how that depends on the threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.core.sampling import DEFAULT_SEED, sample_by_hash
from med42lib.formats.contamination import (
    ADVICE,
    CONTAMINATED_FILE,
    NEAREST_FILE,
    OVERLAPS_FILE,
    PAIRS_FILE,
    STEMS_FILE,
    SUMMARY_FILE,
    Label,
    NearestExample,
    Pair,
    read_nearest,
    read_pairs,
)
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Accuracy, overall_clean
from med42lib.store.artifacts import Source


@dataclass(frozen=True, slots=True)
class SourceShare:
    """How much of the leak comes from one training source: pairs, and distinct items in them."""

    source: str
    num_pairs: int
    num_items: int


@dataclass(frozen=True, slots=True)
class FoundBy:
    """Counts of pairs or items by what finds them: the cosine alone, both detectors, the words alone."""

    cosine: int
    both: int
    overlap: int

    @property
    def total(self) -> int:
        """Count what either finds."""
        return self.cosine + self.both + self.overlap


@dataclass(frozen=True, slots=True)
class LabelShare:
    """How many pairs share as much as a label says, and distinct items in them."""

    label: Label
    pairs: FoundBy
    num_items: int


@dataclass(frozen=True, slots=True)
class BenchmarkShare:
    """Items of a whole benchmark, scored or not, and how many of them are contaminated."""

    benchmark: str
    num_items: int
    num_contaminated: int


@dataclass(frozen=True, slots=True)
class Contamination:
    """What decontamination found.

    `cosines` holds the flagged items, `nearest` the cosine of every item's best match, in which one that shares no more
    than a generic stem does not count; `matched` is the example of a flagged item's best pair, in which such a match
    does not count either; `num_stems` are the items that are clean though they have such matches; `detected` counts
    items by the detectors that find them, and only those of the cosine are contaminated; `by_words` are the others that
    words find, which count as clean; `shown` are some pairs, one for an item, spread evenly from the most to the least
    similar.
    """

    threshold: float
    cosines: Mapping[str, float]
    nearest: Mapping[str, float]
    matched: Mapping[str, str]
    benchmarks: tuple[BenchmarkShare, ...]
    sources: tuple[SourceShare, ...]
    labels: tuple[LabelShare, ...]
    detected: FoundBy
    shown: tuple[Pair, ...]
    num_stems: int = 0
    by_words: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Browsed:
    """Pairs to look through, each with whether it flags its item, and how many were found."""

    pairs: tuple[tuple[Pair, bool], ...]
    num_found: int


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What is left, and how accurate the models are on it, if items above a cosine count as contaminated.

    With `or_by_words` those that words alone find count too.
    """

    threshold: float
    num_contaminated: int
    accuracies: Mapping[str, Accuracy]
    or_by_words: bool = False

    @property
    def num_clean(self) -> int:
        """Count the scored items that are left."""
        return next(iter(self.accuracies.values())).n


def read_contamination(source: Source, *, num_shown: int) -> Contamination:
    """Read the output of decontaminate.

    Raises:
        DataError: If a file is missing or broken.
    """
    flagged = read_json(source.path(CONTAMINATED_FILE), ADVICE)
    summary = read_json(source.path(SUMMARY_FILE), ADVICE)
    nearest = {item.item_id: item for item in read_nearest(source.path(NEAREST_FILE))}
    _check_agree(source, flagged, nearest)
    sources, best = _read_pairs(source.path(PAIRS_FILE))
    try:
        return Contamination(
            threshold=float(flagged["threshold"]),
            cosines=dict(flagged["items"]),
            nearest={
                item_id: flagged["items"].get(item_id, 0.0) if item.stem_only else float(item.cosine)
                for item_id, item in nearest.items()
            },
            matched={pair.item_id: pair.example_id for pair in best},
            num_stems=int(summary["stems"]["items_otherwise_clean"]),
            by_words={pair.item_id for pair in read_pairs(source.path(OVERLAPS_FILE))} - flagged["items"].keys(),
            benchmarks=tuple(
                BenchmarkShare(name, counts["items"], counts["contaminated"])
                for name, counts in summary["benchmarks"].items()
            ),
            sources=sources,
            labels=tuple(
                LabelShare(label, FoundBy(**summary["labels"][label]["pairs"]), summary["labels"][label]["items"])
                for label in Label
            ),
            detected=FoundBy(**{name: summary["detectors"][name] for name in ("cosine", "both", "overlap")}),
            shown=spread(best, num_shown),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{source.address} is not an output of decontaminate ({error!r}); run it again") from error


def read_browsed(source: Source, *, most: int) -> Browsed:
    """Read the pairs of all detectors, those of a stem only included; of more than `most` a random choice.

    Raises:
        DataError: If a file is missing or broken.
    """
    num_found = 0

    def every() -> Iterator[tuple[Pair, bool]]:
        nonlocal num_found
        for name in (PAIRS_FILE, OVERLAPS_FILE, STEMS_FILE):
            for pair in read_pairs(source.path(name)):
                num_found += 1
                yield pair, name == PAIRS_FILE

    chosen = sample_by_hash(every(), most, seed=DEFAULT_SEED, id=lambda row: f"{row[0].item_id}\n{row[0].example_id}")
    return Browsed(tuple(chosen), num_found)


def _check_agree(source: Source, flagged: Mapping[str, Any], nearest: Mapping[str, NearestExample]) -> None:
    """Make sure that the items flagged are those whose nearest example lies above the threshold.

    One whose nearest example shares no more than a generic stem may be flagged for another, or not.

    Raises:
        DataError: If one is and the other is not.
    """
    threshold, items = flagged.get("threshold"), flagged.get("items")
    if not isinstance(threshold, float) or not isinstance(items, dict):
        return  # said where they are read
    above = {item_id for item_id, example in nearest.items() if example.cosine > threshold}
    stems = {item_id for item_id in above if nearest[item_id].stem_only}
    for item_id in sorted((above ^ items.keys()) - stems):
        cosine = f"cosine {nearest[item_id].cosine:g}" if item_id in nearest else "no example"
        flag = "flags" if item_id in items else "does not flag"
        raise DataError(
            f"{source.address}: {CONTAMINATED_FILE}, with threshold {threshold:g}, {flag} the item {item_id!r}, to "
            f"which {NEAREST_FILE} has {cosine}; {ADVICE}"
        )


def spread(pairs: Sequence[Pair], count: int) -> tuple[Pair, ...]:
    """Choose `count` of the pairs, evenly from the most to the least similar, both ends included.

    Four of ten (the best pair alone if only one is wanted):

        rank     0 1 2 3 4 5 6 7 8 9
        chosen   x     x     x     x
    """
    ranked = sorted(pairs, key=lambda pair: (-pair.cosine, pair.item_id))
    count = min(count, len(ranked))
    if count <= 1:
        return tuple(ranked[:count])
    return tuple(ranked[round(step * (len(ranked) - 1) / (count - 1))] for step in range(count))


def sweep_thresholds(
    answers: Answers, nearest: Mapping[str, float], thresholds: Iterable[float], confidence: float
) -> tuple[ThresholdRow, ...]:
    """Score the models without the items whose best match lies above each threshold.

    Raises:
        DataError: If a scored item has no best match.
    """
    missing = next((item_id for item_id in answers.item_ids if item_id not in nearest), None)
    if missing is not None:
        raise DataError(f"{NEAREST_FILE} has no best match for the item {missing!r}; {ADVICE}")
    cosines = np.array([nearest[item_id] for item_id in answers.item_ids])
    rows = []
    for threshold in sorted(thresholds):
        contaminated = cosines > threshold
        accuracies = overall_clean(replace(answers, contaminated=contaminated), confidence)
        rows.append(ThresholdRow(threshold, int(contaminated.sum()), accuracies))
    return tuple(rows)


def with_words(answers: Answers, found: Contamination, confidence: float) -> ThresholdRow | None:
    """Score the models without what the threshold or words find; None where words find no scored item besides."""
    by_words = np.isin(answers.item_ids, sorted(found.by_words))
    if not by_words.any():
        return None
    contaminated = answers.contaminated | by_words
    accuracies = overall_clean(replace(answers, contaminated=contaminated), confidence)
    return ThresholdRow(found.threshold, int(contaminated.sum()), accuracies, or_by_words=True)


def _read_pairs(path: Path) -> tuple[tuple[SourceShare, ...], list[Pair]]:
    """Read how many pairs each source has, and the best pair of each item."""
    num_pairs: Counter[str] = Counter()
    items_of: dict[str, set[str]] = {}
    best: dict[str, Pair] = {}
    for pair in read_pairs(path):
        num_pairs[pair.source] += 1
        items_of.setdefault(pair.source, set()).add(pair.item_id)
        if pair.item_id not in best or pair.cosine > best[pair.item_id].cosine:
            best[pair.item_id] = pair
    shares = [SourceShare(source, count, len(items_of[source])) for source, count in num_pairs.items()]
    return tuple(sorted(shares, key=lambda s: (-s.num_pairs, s.source))), list(best.values())
