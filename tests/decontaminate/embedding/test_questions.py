from collections.abc import Callable
from dataclasses import replace

import pytest

from med42lib.core.errors import DataError
from med42lib.decontaminate.embedding.config import TextKind
from med42lib.decontaminate.embedding.questions import EXAMPLE_COLUMNS, questions_of_examples, questions_of_items
from med42lib.formats.dataset import row_of
from med42lib.formats.records import BenchmarkItem, Example, Exchange


def test_each_different_text_is_kept_once_with_all_who_ask_it(
    example: Callable[..., Example],
) -> None:
    asked = ["What is fever?", "What is a cough?", "What is fever?"]
    questions = questions_of_examples(
        [row_of(example(n, text)) for n, text in enumerate(asked)], text="question", where="here"
    )

    assert questions.texts == ["What is fever?", "What is a cough?"]
    assert questions.text_rows == [(0,), (1,), (0,)]
    assert questions.records_by_text([0]) == {0: [0, 2]}
    assert questions.groups == ["flashcards"] * 3


def test_an_example_repeated_word_for_word_counts_once(example: Callable[..., Example]) -> None:
    questions = questions_of_examples([row_of(example(1, "What is fever?"))] * 2, text="question", where="here")

    assert len(questions.ids) == 1


def test_the_question_of_an_item_is_without_options_and_context_and_the_request_with_them(
    item: Callable[..., BenchmarkItem],
) -> None:
    with_context = replace(item(1, "Is it fever?"), context="An abstract.")

    assert questions_of_items([with_context], text="question", where="here").texts == ["Is it fever?"]
    requests = questions_of_items([with_context], text="request", where="here").texts
    assert requests == ["An abstract.\nIs it fever?\nA. yes\nB. no"]


def test_every_turn_of_the_user_is_a_text_of_its_own(example: Callable[..., Example]) -> None:
    asked = ("Answer: is it fever?", "Why?", "Why?")
    turns = replace(example(1, "Is it fever?"), exchanges=tuple(Exchange(text, "Yes.") for text in asked))

    questions = questions_of_examples([row_of(turns)], text="question", where="here")
    assert (questions.texts, questions.text_rows) == (["Is it fever?", "Why?"], [(0, 1)])
    assert questions_of_examples([row_of(turns)], text="request", where="here").texts == [asked[0], "Why?"]


@pytest.mark.parametrize("text", EXAMPLE_COLUMNS)
def test_no_more_of_a_row_is_needed_than_its_columns(text: TextKind, example: Callable[..., Example]) -> None:
    whole = row_of(example(1, "Is it fever?"))
    part = {name: whole[name] for name in EXAMPLE_COLUMNS[text]}
    assert questions_of_examples([part], text=text, where="here") == questions_of_examples(
        [whole], text=text, where="here"
    )


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_a_blank_question_is_named(
    text: str, example: Callable[..., Example], item: Callable[..., BenchmarkItem]
) -> None:
    with pytest.raises(DataError, match=r"here: the question of evaluation item 'exam/7' is blank"):
        questions_of_items([item(7, text)], text="question", where="here")
    with pytest.raises(DataError, match="the question of training example 'flashcards/"):
        questions_of_examples([row_of(example(7, text))], text="question", where="here")


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(DataError, match="here holds no training example"):
        questions_of_examples([], text="question", where="here")
    with pytest.raises(DataError, match="here holds no evaluation item"):
        questions_of_items([], text="question", where="here")
