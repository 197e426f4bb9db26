from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange

PATH = "headqa/HEAD_EN/train_HEAD_EN.json"


def test_questions_become_conversations_and_image_questions_are_left_out(
    write: Any, headqa: Any, headqa_row: Any, conversations: Any
) -> None:
    write(PATH, headqa(1, headqa_row(2, image="img.png"), headqa_row(3, ra="")))
    prompter = "Question 1?\nA. option 1.1\nB. option 1.2\nC. option 1.3"
    assert conversations("headqa") == [
        Conversation("exam-1", (Exchange(prompter, "B. option 1.2"),), "Question 1?"),
        ("excluded", "the question is about an image"),
        ("rejected", "the question has no answer"),
    ]


def test_as_texts_the_options_are_not_shown(write: Any, headqa: Any, conversations: Any) -> None:
    write(PATH, headqa(1))
    (conversation,) = conversations("headqa", multiple_choice="texts")
    assert conversation.exchanges == (Exchange("Question 1?", "option 1.2"),)


def hub_row(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**row, "name": "exam", "year": "2013", "qid": int(row["qid"]), "ra": 2, "image": None, **changes}


def test_the_hubs_rows_give_the_same_conversations(
    write: Any, headqa: Any, headqa_row: Any, conversations: Any
) -> None:
    write(PATH, headqa(2))
    write("headqa_hf/en/train-00000-of-00001.parquet", [hub_row(headqa_row(1)), hub_row(headqa_row(2))])
    write("headqa_hf/en/test-00000-of-00001.parquet", [hub_row(headqa_row(3))])
    assert conversations("headqa", layout="huggingface") == conversations("headqa")


def test_broken_rows_of_the_hub_are_rejected(write: Any, headqa_row: Any, conversations: Any) -> None:
    rows = [hub_row(headqa_row(1), **change) for change in ({"ra": 0}, {"qtext": ""}, {"image": {"path": "a.png"}})]
    write("headqa_hf/en/train.jsonl", rows)
    assert conversations("headqa", layout="huggingface") == [
        ("rejected", "the answer is outside the options"),
        ("rejected", "qtext is blank"),
        ("excluded", "the question is about an image"),
    ]


def test_the_test_exams_are_refused(write: Any, headqa: Any, headqa_row: Any, conversations: Any) -> None:
    write("headqa/HEAD_EN/test_HEAD_EN.json", headqa(1))
    write("headqa_hf/en/test.jsonl", [hub_row(headqa_row(1))])
    for layout, path in (("publisher", "headqa/HEAD_EN/test_HEAD_EN.json"), ("huggingface", "headqa_hf/en/*.jsonl")):
        with pytest.raises(DataError, match="is the test split, which benchmarks score"):
            conversations("headqa", layout=layout, path=path)


def test_of_the_real_2657_the_68_about_images_and_2_with_the_right_option_twice_are_left_out(
    real_data: Path, real_conversations: Any
) -> None:
    found = real_conversations("headqa", real_data / "raw", path=PATH)
    kinds = Counter("kept" if isinstance(conversation, Conversation) else conversation for conversation in found)
    assert kinds == {
        "kept": 2_587,
        ("excluded", "the question is about an image"): 68,
        ("excluded", "the right option stands twice"): 2,
    }
