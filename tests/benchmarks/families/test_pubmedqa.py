from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.records import read_items


def row(decision: str) -> dict[str, Any]:
    return {
        "QUESTION": "Does it help?",
        "CONTEXTS": ["Background.", "Results."],
        "LONG_ANSWER": "It helps.",
        "final_decision": decision,
    }


def test_the_options_are_yes_no_and_maybe_and_the_conclusion_is_not_in_the_context(read: Any, write: Any) -> None:
    write("test_set.json", {"1": row("yes"), "2": row("maybe")})
    questions = read("pubmedqa", "test_set.json")["pubmedqa"]
    assert [(q.publisher_id, q.options[q.gold]) for q in questions] == [("1", "yes"), ("2", "maybe")]
    assert {q.context for q in questions} == {"Background.\nResults."}


def test_with_the_official_list_beside_the_file_only_its_questions_are_asked(read: Any, write: Any) -> None:
    write("ori_pqal.json", {"1": row("yes"), "2": row("no")})
    write("test_ground_truth.json", {"2": "no"})
    left_out, asked = read("pubmedqa", "ori_pqal.json")["pubmedqa"]
    assert left_out == ("excluded", "the question is not one of the official test")
    assert asked.publisher_id == "2"


def test_more_than_the_official_test_without_the_list_is_refused(run: Any, write: Any) -> None:
    write("ori_pqal.json", {str(number): row("yes") for number in range(501)})
    with pytest.raises(DataError, match=r"more than the 500 questions .* lay the publisher's test_ground_truth\.json"):
        run({"pubmedqa": {"path": "ori_pqal.json"}})
    write("test_set.json", {str(number): row("yes") for number in range(500)})
    assert len(list(read_items(run({"pubmedqa": {"path": "test_set.json"}})))) == 500


@pytest.mark.parametrize("path", ["pubmedqa", "pubmedqa/train-00000-of-00001.parquet", "pubmedqa/*.parquet"])
def test_of_the_hubs_one_split_the_official_questions_are_asked(read: Any, write: Any, path: str) -> None:
    rows = [
        {"pubid": n, "question": f"{n}?", "context": {"contexts": ["Text."]}, "long_answer": "", "final_decision": "no"}
        for n in (1, 2)
    ]
    write("pubmedqa/train-00000-of-00001.parquet", rows)
    write("pubmedqa/test_ground_truth.json", {"2": "no"})
    left_out, asked = read("pubmedqa", path, layout="huggingface")["pubmedqa"]
    assert left_out == ("excluded", "the question is not one of the official test")
    assert (asked.publisher_id, asked.options[asked.gold]) == ("2", "no")


def test_without_the_list_the_hubs_questions_are_not_read(read: Any, write: Any) -> None:
    write("pubmedqa/train.jsonl", [{"pubid": 1}])
    with pytest.raises(DataError, match=r"has no 'pubmedqa/test_ground_truth\.json'"):
        read("pubmedqa", "pubmedqa", layout="huggingface")
