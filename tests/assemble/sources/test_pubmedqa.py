import json
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange


def row(number: int) -> dict[str, Any]:
    return {
        "QUESTION": f"Does {number} help?",
        "CONTEXTS": ["Background.", f"Results {number}."],
        "LONG_ANSWER": f"Conclusion {number}.",
        "final_decision": "no",
    }


@pytest.fixture
def questions(write: Any) -> None:
    write("pubmedqa/ori_pqal.json", {str(n): row(n) for n in (1, 2, 3)})
    write("pubmedqa/test_ground_truth.json", {"2": "no"})


@pytest.mark.usefixtures("questions")
def test_the_official_test_is_left_out(conversations: Any) -> None:
    first, second, third = conversations("pubmedqa")
    assert [first.publisher_id, third.publisher_id] == ["1", "3"]
    assert second == ("excluded", "the question belongs to the official test")


@pytest.mark.usefixtures("questions")
def test_the_decision_comes_first_and_the_conclusion_only_after_it(conversations: Any) -> None:
    abstract = "Background.\nResults 1.\nDoes 1 help?"
    assert conversations("pubmedqa", multiple_choice="texts")[0].exchanges == (Exchange(abstract, "no\nConclusion 1."),)
    assert conversations("pubmedqa", explanations=False)[0].exchanges == (
        Exchange(f"{abstract}\nA. yes\nB. no\nC. maybe", "B. no"),
    )


def test_without_the_list_of_test_ids_nothing_is_read(write: Any, conversations: Any) -> None:
    write("pubmedqa/ori_pqal.json", {"1": row(1)})
    with pytest.raises(DataError, match=r"has no 'pubmedqa/test_ground_truth.json'"):
        conversations("pubmedqa")


def hub_row(number: int, **changes: Any) -> dict[str, Any]:
    published = row(number)
    return {
        "pubid": number,
        "question": published["QUESTION"],
        "context": {"contexts": published["CONTEXTS"], "labels": ["BACKGROUND", "RESULTS"]},
        "long_answer": published["LONG_ANSWER"],
        "final_decision": published["final_decision"],
        **changes,
    }


@pytest.mark.usefixtures("questions")
def test_the_hubs_rows_give_the_same_conversations(write: Any, conversations: Any) -> None:
    write("pubmedqa_hf/pqa_labeled/train-00000-of-00001.parquet", [hub_row(n) for n in (1, 2, 3)])
    write("pubmedqa_hf/pqa_labeled/test_ground_truth.json", {"2": "no"})
    assert conversations("pubmedqa", layout="huggingface") == conversations("pubmedqa")


def test_without_the_list_of_test_ids_nothing_of_the_hubs_is_read(write: Any, conversations: Any) -> None:
    write("pubmedqa_hf/pqa_labeled/train.jsonl", [hub_row(1)])
    with pytest.raises(DataError, match=r"has no 'pubmedqa_hf/pqa_labeled/test_ground_truth.json'.*copy it there"):
        conversations("pubmedqa", layout="huggingface")


def test_broken_rows_of_the_hub_are_rejected(write: Any, conversations: Any) -> None:
    write("pubmedqa_hf/pqa_labeled/train.jsonl", [hub_row(1, final_decision="both"), hub_row(3, pubid=None)])
    write("pubmedqa_hf/pqa_labeled/test_ground_truth.json", {"2": "no"})
    assert conversations("pubmedqa", layout="huggingface") == [
        ("rejected", "the answer is outside the options"),
        ("rejected", "pubid is missing"),
    ]


def test_of_the_real_thousand_exactly_500_remain_and_no_prompt_shows_a_conclusion(
    real_data: Path, real_conversations: Any
) -> None:
    found = real_conversations("pubmedqa", real_data / "raw" / "pubmedqa", path="ori_pqal.json")
    conversations = [conversation for conversation in found if isinstance(conversation, Conversation)]
    assert len(conversations) == found.count(("excluded", "the question belongs to the official test")) == 500
    for conversation in conversations:
        (exchange,) = conversation.exchanges
        decision, conclusion = exchange.assistant.split("\n", maxsplit=1)
        assert decision in ("A. yes", "B. no", "C. maybe")
        assert conclusion not in exchange.prompter


def test_no_real_conclusion_is_taken_for_one_that_names_a_letter(real_data: Path, real_conversations: Any) -> None:
    document = json.loads((real_data / "raw" / "pubmedqa" / "ori_pqal.json").read_text(encoding="utf-8"))
    for form in ("letters", "texts"):
        found = real_conversations(
            "pubmedqa", real_data / "raw" / "pubmedqa", path="ori_pqal.json", multiple_choice=form
        )
        for conversation in [conversation for conversation in found if isinstance(conversation, Conversation)]:
            conclusion = document[conversation.publisher_id]["LONG_ANSWER"].strip()
            assert conversation.exchanges[0].assistant.endswith(f"\n{conclusion}")
