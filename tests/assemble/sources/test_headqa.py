from typing import Any

from med42lib.assemble.source import Draft
from med42lib.core.records import Exchange

PATH = "headqa/HEAD_EN/train_HEAD_EN.json"


def test_questions_become_conversations_and_image_questions_are_left_out(
    write: Any, headqa: Any, headqa_row: Any, drafts: Any
) -> None:
    write(PATH, headqa(1, headqa_row(2, image="img.png"), headqa_row(3, ra="")))
    prompter = "Question 1?\nA. option 1.1\nB. option 1.2\nC. option 1.3"
    assert drafts("headqa") == [
        Draft("exam-1", (Exchange(prompter, "B. option 1.2"),), "Question 1?"),
        ("excluded", "the question is about an image"),
        ("rejected", "the question has no answer"),
    ]


def test_as_texts_the_options_are_not_shown(write: Any, headqa: Any, drafts: Any) -> None:
    write(PATH, headqa(1))
    (draft,) = drafts("headqa", multiple_choice="texts")
    assert draft.exchanges == (Exchange("Question 1?", "option 1.2"),)
