from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation
from med42lib.assemble.sources.mmlu import SUBJECTS
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange

DRAFT = Conversation("", (Exchange("What?\nA. e\nB. f\nC. g\nD. h", "D. h"),), "What?")


def hub_row(question: str = "What?", **changes: Any) -> dict[str, Any]:
    return {"question": question, "subject": "x", "choices": ["e", "f", "g", "h"], "answer": 3, **changes}


def test_dev_and_val_of_the_13_subjects_are_read_and_no_test(write: Any, conversations: Any) -> None:
    for subject in [*SUBJECTS, "sociology"]:
        for split in ("dev", "val", "test"):
            write(f"mmlu/data/{split}/{subject}_{split}.csv", f"{split} of {subject}?,e,f,g,h,D\n")
    found = [conversation.question for conversation in conversations("mmlu")]
    assert sorted(found) == sorted(f"{split} of {subject}?" for subject in SUBJECTS for split in ("dev", "val"))
    assert len(SUBJECTS) == 13


def test_the_hub_gives_the_same_from_the_subjects_folders(write: Any, conversations: Any) -> None:
    for subject in [*SUBJECTS, "sociology", "all"]:
        for split in ("dev", "validation", "test"):
            write(f"mmlu_hf/{subject}/{split}-00000-of-00001.parquet", [hub_row(f"{split} of {subject}?")])
    write("mmlu_hf/auxiliary_train/train-00000-of-00001.parquet", [hub_row("auxiliary?")])
    found = [conversation.question for conversation in conversations("mmlu", layout="huggingface")]
    assert sorted(found) == sorted(f"{split} of {s}?" for s in SUBJECTS for split in ("dev", "validation"))


def test_both_kinds_of_csv_and_the_hubs_rows_give_the_same_conversation(write: Any, conversations: Any) -> None:
    write("mmlu/dev/virology_dev.csv", "What?,e,f,g,h,D\n")
    write("mmlu/val/virology_val.csv", "question,choice0,choice1,choice2,choice3,answer\nWhat?,e,f,g,h,3\n")
    write("mmlu_hf/virology/dev.jsonl", [hub_row()])
    assert conversations("mmlu", include=("virology",)) == [DRAFT, DRAFT]
    assert conversations("mmlu", include=("virology",), layout="huggingface") == [DRAFT]


def test_a_subject_that_is_not_there_fails_with_its_name(write: Any, conversations: Any) -> None:
    write("mmlu/dev/virology_dev.csv", "What?,e,f,g,h,D\n")
    write("mmlu/test/anatomy_test.csv", "What?,e,f,g,h,D\n")
    write("mmlu_hf/anatomy/test.jsonl", [hub_row()])
    with pytest.raises(DataError, match="neither dev nor val files of anatomy; copy them"):
        conversations("mmlu", include=("virology", "anatomy"))
    with pytest.raises(DataError, match="mmlu_hf/anatomy holds no validation split"):
        conversations("mmlu", include=("anatomy",), layout="huggingface")


def test_broken_rows_are_rejected_in_both_layouts(write: Any, conversations: Any) -> None:
    write("mmlu/dev/virology_dev.csv", "What?,e,f,g,h,3\nWhat?,e,f,g,A\n")
    write("mmlu_hf/virology/dev.jsonl", [hub_row(answer=4), hub_row(choices=["e"]), hub_row(question=None)])
    assert conversations("mmlu", include=("virology",)) == [
        ("rejected", "the answer is outside the options"),
        ("rejected", "the row has another number of cells than a question needs"),
    ]
    assert conversations("mmlu", include=("virology",), layout="huggingface") == [
        ("rejected", "the answer is outside the options"),
        ("rejected", "choices is not a list of four options"),
        ("rejected", "question is missing"),
    ]


def test_the_real_dev_split_holds_five_questions_of_each_subject(real_data: Path, real_conversations: Any) -> None:
    """The data has only the dev split, as CSV with a header: 5 × 13. The test files beside it are not read."""
    found = real_conversations("mmlu", real_data / "raw", path="mmlu")
    assert len(found) == sum(isinstance(conversation, Conversation) for conversation in found) == 65
