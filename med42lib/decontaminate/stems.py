"""Stems that ask nothing by themselves: "Which of the following statements is true?" stands above any options.

Two questions with such a stem are the same only if their options or their answer agree as well; a pair of which neither
does is reported as a pair of stems, and is no leak.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from med42lib.decontaminate.matches import Matches
from med42lib.formats.contamination import NearestExample, Pair
from med42lib.formats.dataset import EXAMPLES_FILE, read_columns
from med42lib.formats.records import ITEMS_FILE, BenchmarkItem, read_items
from med42lib.store.artifacts import Source

MOST_OWN_WORDS = 1
"""A stem with one word of its own ("Which statement about the kidney is true?") still leaves open what is asked."""

_WORD = re.compile(r"\w+")
_FUNCTION_WORDS = (
    "a about above according after all also among an and any are as at be been before being below between both "
    "but by can concerning could did do does each either except for from given had has have her his how if in "
    "into is it its least less likely many may might more most must neither no none nor not of on one only or "
    "other out over regarding shall should some than that the their them then there these they this those to two "
    "under was were what when where which while who whom whose why will with would you"
)
_EXAM_WORDS = (
    "alternative alternatives answer answers appropriate assertion assertions best case cause caused causes "
    "characteristic characteristics choice choose chosen commonest common condition conditions considered correct "
    "correctly describes describe diagnosis disease diseases drug exception example false feature features "
    "finding findings following happens identify incorrect incorrectly indicate investigation management mark "
    "name next option options patient patients pick point produced question questions regard relation respect "
    "responsible right said say says seen select sentence sentences statement statements step symptom symptoms "
    "test treatment true type types untrue used valid wrong"
)
_NOT_OWN = frozenset(f"{_FUNCTION_WORDS} {_EXAM_WORDS}".split())


def is_generic(question: str) -> bool:
    """Say whether a question has hardly a word but those that any examination has. English ones alone are known."""
    own = {word for word in _WORD.findall(question.casefold()) if word not in _NOT_OWN}
    return len(own) <= MOST_OWN_WORDS


def agrees(item: BenchmarkItem, said: str) -> bool:
    """Say whether an example speaks of an item's matter: of its right option, or of half its options at least.

    Args:
        item: The evaluation item.
        said: All that prompter and assistant say in the training example.
    """
    found = [_folded(option) in _folded(said) for option in item.options]
    return any(found[position] for position in item.right) or 2 * sum(found) >= len(found)


def tell_stems_apart(found: Matches, dataset: Source, items: Source) -> Matches:
    """Move the pairs that share no more than a generic stem from `pairs` to `stems`, and mark such nearest examples.

    Args:
        found: All pairs, by their similarity alone.
        dataset: The examples that were compared.
        items: The items that they were compared with.
    """
    every = read_items(items.path(ITEMS_FILE).parent)
    generic = {item.id: item for item in every if is_generic(item.question)}
    compared: list[Pair | NearestExample] = [*found.pairs, *found.nearest]
    said = _said(dataset, {row.example_id for row in compared if row.item_id in generic})

    def is_stem(item_id: str, example_id: str) -> bool:
        return item_id in generic and not agrees(generic[item_id], said[example_id])

    stems: list[Pair] = [pair for pair in found.pairs if is_stem(pair.item_id, pair.example_id)]
    apart = {(pair.item_id, pair.example_id) for pair in stems}
    return Matches(
        pairs=[pair for pair in found.pairs if (pair.item_id, pair.example_id) not in apart],
        nearest=[replace(near, stem_only=is_stem(near.item_id, near.example_id)) for near in found.nearest],
        stems=stems,
    )


def _said(dataset: Source, wanted: Collection[str]) -> Mapping[str, str]:
    """Read all that is said in some examples, by their ids."""
    ids = pa.array(sorted(wanted), pa.string())
    folder = dataset.path(EXAMPLES_FILE).parent
    tables = (table.filter(pc.is_in(table["id"], ids)) for table in read_columns(folder, ("id", "exchanges")))
    rows = (row for table in tables for row in table.to_pylist())
    return {
        row["id"]: "\n".join(
            text for exchange in row["exchanges"] for text in (exchange["prompter"], exchange["assistant"])
        )
        for row in rows
    }


def _folded(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.casefold()))} "
