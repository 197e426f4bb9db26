"""The second detector: items whose words stand in training one for one, or of which an n-gram does.

It needs no encoder and no threshold, so that it errs in other ways than the cosine: it misses every rewording, and
finds a vignette that stands with another question, or in the middle of a long text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from med42lib.decontaminate.embedding.questions import Questions
from med42lib.decontaminate.embedding.windows import Pieces
from med42lib.decontaminate.matches import Matches, make_pair, pair_order
from med42lib.decontaminate.ngrams import find_shared
from med42lib.decontaminate.words import words
from med42lib.formats.contamination import Detector, Pair
from med42lib.formats.dataset import EXAMPLES_FILE, read_columns
from med42lib.store.artifacts import Source

OVERLAP_DECIMALS = 4

Cosine = Callable[[int, int], float]
"""Gives the similarity of a training text and an evaluation text, by their rows in `Questions.texts`."""


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Pairs as (example, item) rows of `Questions.ids`: those that ask in the same words, and shares of n-grams."""

    exact: set[tuple[int, int]]
    shares: dict[tuple[int, int], float]

    def detectors(self, pair: tuple[int, int]) -> list[str]:
        """Name what found a pair."""
        found = {Detector.EXACT: pair in self.exact, Detector.NGRAMS: pair in self.shares}
        return [detector.value for detector, has in found.items() if has]


def find_overlaps(examples: Questions, items: Questions, dataset: Source) -> Overlaps:
    """Look through all that the training examples say, in every turn."""
    texts = [items.texts[row] for (row,) in items.text_rows]
    shared = find_shared(texts, _said(examples, dataset))
    return Overlaps(set(_same_words(examples, texts)), {(one.example, one.item): one.share for one in shared})


def add_overlaps(
    found: Matches, overlaps: Overlaps, examples: Questions, items: Questions, *, cosine: Cosine
) -> Matches:
    """Say of each pair what else found it, and add the pairs that only the second detector finds."""
    example_rows = {name: row for row, name in enumerate(examples.ids)}
    item_rows = {name: row for row, name in enumerate(items.ids)}
    pairs, rest = [], overlaps.exact | overlaps.shares.keys()
    for pair in found.pairs:
        rows = example_rows[pair.example_id], item_rows[pair.item_id]
        rest.discard(rows)
        pairs.append(_found_too(pair, rows, overlaps))
    alone = [_found_too(_pair(*rows, examples, items, cosine), rows, overlaps) for rows in rest]
    return replace(found, pairs=pairs, overlaps=sorted(alone, key=pair_order))


def cosine_of(vectors_TD: NDArray[np.float32], pieces: Pieces) -> Cosine:
    """Give the function that compares two texts as `similarity.compare` does: by the item's window that fits worst."""
    train_ends_N = np.append(pieces.train_starts_N[1:], len(pieces.train_rows))
    item_ends_M = np.append(pieces.item_starts_M[1:], len(pieces.item_rows))

    def cosine(example_text: int, item_text: int) -> float:
        train = pieces.train_rows[pieces.train_starts_N[example_text] : train_ends_N[example_text]]
        item = pieces.item_rows[pieces.item_starts_M[item_text] : item_ends_M[item_text]]
        return float((_unit(vectors_TD[item]) @ _unit(vectors_TD[train]).T).max(axis=1).min())

    return cosine


def _unit(vectors_VD: NDArray[np.float32]) -> NDArray[np.float64]:
    exact_VD = vectors_VD.astype(np.float64)
    unit_VD: NDArray[np.float64] = exact_VD / np.linalg.norm(exact_VD, axis=1, keepdims=True)
    return unit_VD


def _said(examples: Questions, dataset: Source) -> Iterator[tuple[int, Sequence[str]]]:
    """Read every example's requests and answers, each example once."""
    rows = {name: row for row, name in enumerate(examples.ids)}
    for table in read_columns(dataset.path(EXAMPLES_FILE).parent, ("id", "exchanges")):
        for example in table.to_pylist():
            row = rows.pop(example["id"], None)
            if row is not None:
                yield row, [text for turn in example["exchanges"] for text in (turn["prompter"], turn["assistant"])]


def _same_words(examples: Questions, items: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Find the examples that ask in one of their turns what an item asks, whatever the case and signs."""
    asked: dict[tuple[str, ...], list[int]] = {}
    for item, text in enumerate(items):
        asked.setdefault(tuple(words(text)), []).append(item)
    asked.pop((), None)
    same = [asked.get(tuple(words(text)), ()) for text in examples.texts]
    for example, texts in enumerate(examples.text_rows):
        yield from ((example, item) for text in texts for item in same[text])


def _found_too(pair: Pair, rows: tuple[int, int], overlaps: Overlaps) -> Pair:
    share = round(overlaps.shares.get(rows, 0.0), OVERLAP_DECIMALS)
    return replace(pair, detectors=[*pair.detectors, *overlaps.detectors(rows)], overlap=share)


def _pair(example: int, item: int, examples: Questions, items: Questions, cosine: Cosine) -> Pair:
    (item_text,) = items.text_rows[item]
    nearest, example_text = max((cosine(text, item_text), -text) for text in examples.text_rows[example])
    texts = -example_text, item_text
    found = make_pair(examples, items, records=(example, item), texts=texts, cosine=nearest)
    return replace(found, detectors=[])
