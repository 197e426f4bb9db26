from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from med42lib.decontaminate.embedding.questions import Questions, questions_of_examples, questions_of_items
from med42lib.decontaminate.embedding.windows import Pieces
from med42lib.decontaminate.matches import Matches
from med42lib.decontaminate.overlaps import add_overlaps, cosine_of, find_overlaps
from med42lib.formats.contamination import Pair
from med42lib.formats.dataset import row_of, write_examples
from med42lib.formats.records import BenchmarkItem, Example, Exchange
from med42lib.store.artifacts import Source

LONG = "Which of these nerves innervates the diaphragm of a newborn child?"


@pytest.fixture
def examples(example: Callable[..., Example]) -> list[Example]:
    """One asks in the item's words, one holds them in an answer, one in a later turn, one not at all."""
    turns = (Exchange("Hello?", "Hello."), Exchange("fever: WHAT?", "Heat."))
    return [
        example(0, "What, fever?"),
        replace(example(1, "Which exam question?"), exchanges=(Exchange("Which exam question?", f"So: {LONG}"),)),
        replace(example(2, "Hello?"), exchanges=turns),
        example(3, "Who was Molière?"),
    ]


@pytest.fixture
def asked(examples: list[Example]) -> Questions:
    return questions_of_examples([row_of(example) for example in examples], text="question", where="here")


@pytest.fixture
def items(item: Callable[..., BenchmarkItem]) -> Questions:
    evaluated = [item(0, "What fever"), item(1, LONG), item(2, "Fever: what?"), item(3, "?!")]
    return questions_of_items(evaluated, text="question", where="here")


def test_an_item_is_found_by_its_words_in_a_question_of_any_turn_and_by_n_grams_in_all_that_is_said(
    tmp_path: Path, examples: list[Example], asked: Questions, items: Questions
) -> None:
    write_examples(tmp_path, [*examples, examples[1]])

    overlaps = find_overlaps(asked, items, Source(str(tmp_path)))

    assert overlaps.exact == {(0, 0), (2, 2)}
    assert overlaps.shares == {(1, 1): 1.0}
    assert overlaps.detectors((1, 1)) == ["ngrams"]


def test_pairs_say_what_found_them_and_those_of_the_second_detector_stand_apart(
    tmp_path: Path, examples: list[Example], asked: Questions, items: Questions
) -> None:
    write_examples(tmp_path, examples)
    by_cosine = Pair("exam/0", "exam", examples[0].id, "flashcards", 0.99, "What fever", "What, fever?")
    other = replace(by_cosine, example_id=examples[3].id, cosine=0.9)

    found = add_overlaps(
        Matches([by_cosine, other], []),
        find_overlaps(asked, items, Source(str(tmp_path))),
        asked,
        items,
        cosine=lambda example_text, item_text: example_text / 10 + item_text / 100,
    )

    assert [(pair.detectors, pair.overlap) for pair in found.pairs] == [(["cosine", "exact"], 0.0), (["cosine"], 0.0)]
    assert [(pair.item_id, pair.example_id, pair.detectors, pair.overlap) for pair in found.overlaps] == [
        ("exam/1", examples[1].id, ["ngrams"], 1.0),
        ("exam/2", examples[2].id, ["exact"], 0.0),
    ]
    # The turn that is most like the item is the one that is shown: the conversation's second.
    assert (found.overlaps[1].example_text, found.overlaps[1].cosine) == ("fever: WHAT?", 0.32)


def test_the_cosine_of_long_texts_is_that_of_the_items_window_that_fits_worst() -> None:
    """Two training texts, the first in two windows, and an item in two windows."""
    vectors_TD = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    pieces = Pieces([], np.array([0, 1, 2]), np.array([0, 2]), np.array([1, 2]), np.array([0]), 2, 4, 1.0)

    cosine = cosine_of(vectors_TD, pieces)

    assert cosine(0, 0) == pytest.approx(0.8)
    assert cosine(1, 0) == pytest.approx(0.8)
