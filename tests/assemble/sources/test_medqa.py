import json
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange

FOUR, FIVE = "medqa/questions/US/4_options", "medqa/questions/US"
TEXTS = ["one", "two", "three", "four", "five"]


def row(question: str, options: int = 4, **changes: Any) -> dict[str, Any]:
    by_letter = dict(zip("ABCDE", TEXTS[:options], strict=False))
    return {
        "question": question,
        "options": by_letter,
        "answer_idx": "B",
        "answer": "two",
        "meta_info": "step1",
        **changes,
    }


def endings(question: str) -> dict[str, Any]:
    texts = {f"ending{n}": text for n, text in enumerate(TEXTS[:4])}
    return {"id": "train-00000", "sent1": question, "sent2": "", **texts, "label": 1}


def conversation(question: str, publisher_id: str = "") -> Conversation:
    return Conversation(publisher_id, (Exchange(f"{question}\nA. one\nB. two\nC. three\nD. four", "B. two"),), question)


def test_train_and_dev_are_read_and_test_is_not(write: Any, conversations: Any) -> None:
    for split in ("train", "dev", "test"):
        write(f"{FOUR}/phrases_no_exclude_{split}.jsonl", [row(f"{split}?")])
    assert conversations("medqa") == [conversation("train?"), conversation("dev?")]
    assert conversations("medqa", path=f"{FOUR}/phrases_no_exclude_dev.jsonl") == [conversation("dev?")]


def test_the_five_options_are_read_from_their_own_folder_alone(write: Any, conversations: Any) -> None:
    write(f"{FOUR}/phrases_no_exclude_train.jsonl", [row("four?")])
    for split in ("train", "dev", "test"):
        write(f"{FIVE}/{split}.jsonl", [row(f"{split}?", options=5)])
    train, dev = conversations("medqa", path=FIVE)
    assert (train.question, dev.question) == ("train?", "dev?")
    assert train.exchanges[0].prompter.endswith("D. four\nE. five")


def test_both_of_the_hubs_layouts_are_read_without_their_test_splits(write: Any, conversations: Any) -> None:
    for split in ("train", "dev", "test"):
        write(f"medqa_hf/{split}.json", json.dumps(endings(f"{split}?")) + "\n")
        write(f"other/data/{split}-00000-of-00001.parquet", [row(f"{split}?")])
    found = conversations("medqa", layout="huggingface")
    assert sorted(found, key=repr) == [conversation("dev?", "train-00000"), conversation("train?", "train-00000")]
    assert sorted(conversations("medqa", layout="huggingface", path="other"), key=repr) == [
        conversation("dev?"),
        conversation("train?"),
    ]


def test_a_test_split_is_refused_however_it_is_named(write: Any, conversations: Any) -> None:
    write(f"{FOUR}/phrases_no_exclude_test.jsonl", [row("test?")])
    for layout in ("publisher", "huggingface"):
        with pytest.raises(DataError, match="is the test split"):
            conversations("medqa", layout=layout, path=f"{FOUR}/phrases_no_exclude_test.jsonl")
    with pytest.raises(DataError, match="is the test split"):
        conversations("medqa", layout="huggingface", path=f"{FOUR}/*.jsonl")
    with pytest.raises(DataError, match=r"has none of phrases_no_exclude_train\.jsonl"):
        conversations("medqa")


def test_answers_that_disagree_and_blank_fields_are_rejected(write: Any, conversations: Any) -> None:
    broken = [row("a?", answer="three"), row("b?", answer_idx="E"), row(" "), row("c?", options=1)]
    write(f"{FOUR}/phrases_no_exclude_train.jsonl", broken)
    assert conversations("medqa") == [
        ("rejected", "answer and answer_idx disagree"),
        ("rejected", "the answer is outside the options"),
        ("rejected", "question is blank"),
        ("rejected", "a question needs 2 to 26 options"),
    ]


def test_the_real_test_split_is_refused(real_data: Path, real_conversations: Any) -> None:
    with pytest.raises(DataError, match="is the test split"):
        real_conversations("medqa", real_data / "eval" / "medqa_test", path="phrases_no_exclude_test.jsonl")


def test_the_real_dev_split_as_another_project_cut_it_is_read_whole(real_data: Path, real_conversations: Any) -> None:
    """1,272 records: three have no vignette, as general knowledge is asked, and three ask about a figure."""
    found = real_conversations("medqa", real_data / "raw" / "medqa", path="mediq_all_dev_good.jsonl")
    assert len(found) == 1_272
    excluded = [conversation for conversation in found if not isinstance(conversation, Conversation)]
    assert excluded == [("excluded", "the question is about a figure that is not there")] * 3
    assert "A 5-year-old girl is brought to the emergency department" in found[1].question
    assert found[1].question.endswith("Which of the following is the most likely diagnosis?")
