from dataclasses import replace

import pytest

from med42lib.assemble.conversations.templates import choice_conversation, choose_wording, question_conversation
from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.formats.prompt import MultipleChoice, multiple_choice, open_question
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import ExcludedRecord
from med42lib.readers.publishers.question import Question

QUESTION = Question("7", "Which vitamin?", ("Vitamin A", "Vitamin C"), 1, "Scurvy.", "Ans. is 'b' i.e., since ...")


def test_letters_show_the_options_and_answer_with_letter_and_text() -> None:
    assert choice_conversation(QUESTION, ReadOptions("letters", explanations=False)) == Conversation(
        "7",
        (Exchange("Scurvy.\nWhich vitamin?\nA. Vitamin A\nB. Vitamin C", "B. Vitamin C"),),
        "Which vitamin?",
    )


def test_texts_hide_the_options_and_answer_with_the_text_alone() -> None:
    assert choice_conversation(QUESTION, ReadOptions("texts", explanations=False)) == Conversation(
        "7", (Exchange("Scurvy.\nWhich vitamin?", "Vitamin C"),), "Which vitamin?"
    )


def test_an_explanation_follows_the_answer_and_never_stands_in_the_prompt() -> None:
    (exchange,) = choice_conversation(QUESTION, ReadOptions("texts", explanations=True)).exchanges
    assert exchange == Exchange("Scurvy.\nWhich vitamin?", "Vitamin C\nsince ...")


def test_an_explanation_that_names_the_letter_is_rewritten_or_left_out() -> None:
    assert (
        choice_conversation(QUESTION, ReadOptions("letters")).exchanges[0].assistant
        == "B. Vitamin C\nThe answer is B. since ..."
    )
    contradicting = replace(QUESTION, gold=0)
    assert choice_conversation(contradicting, ReadOptions("letters")).exchanges[0].assistant == "A. Vitamin A"


@pytest.mark.parametrize("written", ["letters", "texts"])
@pytest.mark.parametrize("again", ["Vitamin C", "Vitamin  C.", "Vitamin\nC"])
def test_a_question_whose_right_option_stands_twice_is_not_taught(again: str, written: MultipleChoice) -> None:
    twice = replace(QUESTION, options=("Vitamin A", "Vitamin C", again))
    with pytest.raises(ExcludedRecord, match="the right option stands twice"):
        choice_conversation(twice, ReadOptions(written))


def test_a_question_about_a_figure_that_is_not_there_is_not_taught() -> None:
    figure = replace(QUESTION, text="Which marker shows it?", options=("A", "B"))
    with pytest.raises(ExcludedRecord, match="about a figure that is not there"):
        choice_conversation(figure, ReadOptions("letters"))


@pytest.mark.parametrize("options", [("Bb", "BB", "bb"), ("Zinc", "Iron", "Zinc")])
def test_options_that_differ_in_case_or_are_wrong_twice_are_taught(options: tuple[str, ...]) -> None:
    taught = choice_conversation(replace(QUESTION, options=options), ReadOptions("letters", explanations=False))
    assert taught.exchanges[0].assistant == f"B. {options[1]}"


def test_the_prompt_is_the_one_that_benchmarks_use() -> None:
    shown = choice_conversation(QUESTION, ReadOptions("letters", explanations=True)).exchanges[0].prompter
    assert shown == multiple_choice(QUESTION.text, QUESTION.options, context=QUESTION.context)
    hidden = choice_conversation(QUESTION, ReadOptions("texts", explanations=True)).exchanges[0].prompter
    assert hidden == open_question(QUESTION.text, context=QUESTION.context)


def test_an_instruction_stands_before_the_question_but_is_not_part_of_it() -> None:
    assert question_conversation(
        "What is scurvy?", "A lack.", publisher_id="3", instruction="Be brief."
    ) == Conversation("3", (Exchange("Be brief.\nWhat is scurvy?", "A lack."),), "What is scurvy?")
    assert question_conversation("Q?", "A.").exchanges == (Exchange("Q?", "A."),)


def test_wordings_depend_on_the_content_alone_and_all_are_used() -> None:
    wordings = ["one", "two", "three"]
    chosen = [choose_wording(wordings, "label", str(n)) for n in range(60)]
    assert chosen == [choose_wording(wordings, "label", str(n)) for n in range(60)]
    assert set(chosen) == set(wordings)
