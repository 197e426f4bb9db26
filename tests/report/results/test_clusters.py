from itertools import count

import numpy as np

from med42lib.formats.records import BenchmarkItem, Origin
from med42lib.report.results.clusters import cluster

NUMBERS = count()
OTHERS = [
    "A driver of 55 has pain in the jaw on effort. What is the best next step?",
    "Which enzyme of the urea cycle is most often deficient?",
    "The nerve that is at risk when the fibula breaks at its neck is the",
    "Vitamin K antagonists act upon which coagulation factors?",
    "What is the commonest tumour of the parotid gland?",
    "The drug of choice in absence seizures is",
]


def item(question: str, context: str = "") -> BenchmarkItem:
    id = f"medqa/{next(NUMBERS)}"
    return BenchmarkItem(id, "medqa", question, context, ("a", "b"), 0, Origin(id, "f", 1))


def together(items: list[BenchmarkItem], matched: dict[str, str] | None = None) -> list[set[int]]:
    """The clusters of more than one item, by positions."""
    numbers = cluster(items, matched or {})
    found = [set(np.flatnonzero(numbers == number).tolist()) for number in range(numbers.max() + 1)]
    return [members for members in found if len(members) > 1]


def test_questions_of_other_words_are_each_for_themselves() -> None:
    assert together([item(text) for text in OTHERS]) == []
    assert together([item(text) for text in OTHERS[:1]]) == []


def test_a_reworded_question_belongs_to_the_first() -> None:
    items = [*map(item, OTHERS), item("Which urea cycle enzyme is deficient most often?")]
    assert together(items) == [{1, 6}]


def test_questions_on_one_passage_belong_together() -> None:
    items = [
        *map(item, OTHERS),
        item("Does it work?", "We treated 40 patients."),
        item("Safe?", "We treated 40 patients."),
    ]
    assert together(items) == [{6, 7}]


def test_leaked_questions_belong_together_by_the_training_example_that_they_match() -> None:
    items = [item(text) for text in OTHERS]
    assert together(items, {items[0].id: "headqa/1", items[3].id: "headqa/1", items[4].id: "headqa/2"}) == [{0, 3}]


def test_what_is_joined_through_another_is_one_cluster() -> None:
    items = [*map(item, OTHERS), item("Which urea cycle enzyme is deficient most often?")]
    assert together(items, {items[6].id: "headqa/1", items[2].id: "headqa/1"}) == [{1, 2, 6}]


def test_phrases_of_every_question_join_none() -> None:
    beginnings = [f"Which of the following is true of {name}?" for name in ("gout", "scurvy", "mumps", "cholera")]
    fillers = [f"{text} Case {number} of ward {number * 7}." for number in range(40) for text in OTHERS[:1]]
    assert not [c for c in together([*map(item, beginnings * 1), *map(item, fillers)]) if c & {0, 1, 2, 3}]
