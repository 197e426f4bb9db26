from collections.abc import Callable

import pytest
from lm_eval.tasks.medqa import preprocess_medqa
from lm_eval.tasks.pubmedqa import preprocess_pubmedqa

from med42lib.evaluate.prompts import ANSWER_DELIMITER, make_prompt
from med42lib.formats.prompt import multiple_choice, render
from med42lib.formats.records import BenchmarkItem, Exchange

OPTIONS = ("Retinol", "Folate", "Ascorbic acid", "Thiamine")


@pytest.fixture
def vitamin(make_item: Callable[..., BenchmarkItem]) -> BenchmarkItem:
    return make_item("medqa", 1, "Which vitamin?", OPTIONS, 2)


@pytest.fixture
def abstract(make_item: Callable[..., BenchmarkItem]) -> BenchmarkItem:
    return make_item("pubmedqa", 1, "Does it?", ("yes", "no", "maybe"), 0, "It does.")


def test_letters_show_the_options_as_training_shows_them(vitamin: BenchmarkItem) -> None:
    question = make_prompt(vitamin, prompt="med42", scoring="letters", system="Be brief.")
    assert question.context == (
        "<|system|>: Be brief.\n<|prompter|>: Which vitamin?\n"
        "A. Retinol\nB. Folate\nC. Ascorbic acid\nD. Thiamine\n<|assistant|>:"
    )
    assert question.answers == ("A", "B", "C", "D")


def test_texts_hide_the_options(vitamin: BenchmarkItem) -> None:
    question = make_prompt(vitamin, prompt="med42", scoring="texts", system="")
    assert question.context == "<|prompter|>: Which vitamin?\n<|assistant|>:"
    assert question.answers == OPTIONS


def test_prompt_and_answer_together_are_the_training_text(vitamin: BenchmarkItem) -> None:
    question = make_prompt(vitamin, prompt="med42", scoring="letters", system="Be brief.")
    exchange = Exchange(multiple_choice(vitamin.question, vitamin.options), "C")
    assert question.context + ANSWER_DELIMITER + question.answers[2] == render("Be brief.", [exchange]).text


@pytest.mark.parametrize("scoring", ["letters", "texts"])
def test_the_context_comes_before_the_question(abstract: BenchmarkItem, scoring: str) -> None:
    question = make_prompt(abstract, prompt="med42", scoring=scoring, system="")  # type: ignore[arg-type]
    assert question.context.startswith("<|prompter|>: It does.\nDoes it?\n")


def test_the_plain_prompt_by_letters_is_that_of_lm_evals_medqa(vitamin: BenchmarkItem) -> None:
    doc = {"sent1": vitamin.question, **{f"ending{n}": option for n, option in enumerate(OPTIONS)}}
    assert make_prompt(vitamin, prompt="plain", scoring="letters", system="x").context == preprocess_medqa.doc_to_text(
        doc
    )


def test_the_plain_prompt_by_texts_is_that_of_lm_evals_pubmedqa(abstract: BenchmarkItem) -> None:
    doc = {"CONTEXTS": ["It does."], "QUESTION": "Does it?"}
    question = make_prompt(abstract, prompt="plain", scoring="texts", system="x")
    assert question.context == preprocess_pubmedqa.doc_to_text(doc)
    assert question.answers == ("yes", "no", "maybe")


@pytest.mark.parametrize("prompt", ["med42", "plain"])
def test_nine_options_are_lettered_to_i(make_item: Callable[..., BenchmarkItem], prompt: str) -> None:
    """The most that a USMLE question has."""
    nine = make_item("usmle_sample_exam", 1, "Which?", tuple(f"option {n}" for n in range(1, 10)), 8)
    question = make_prompt(nine, prompt=prompt, scoring="letters", system="")  # type: ignore[arg-type]
    assert question.answers == ("A", "B", "C", "D", "E", "F", "G", "H", "I")
    assert "\nH. option 8\nI. option 9\n" in question.context
    assert "J." not in question.context
