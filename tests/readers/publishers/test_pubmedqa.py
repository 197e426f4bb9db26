from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.readers.files import DataFolder
from med42lib.readers.publishers.pubmedqa import (
    official_ids_name,
    official_ids_name_of_hub,
    official_test_ids,
    pubmedqa_rows_of_hub,
    read_pubmedqa,
)
from med42lib.readers.publishers.question import Question
from med42lib.store.artifacts import Source


def row(**changes: Any) -> dict[str, Any]:
    return {
        "QUESTION": "Does it help?",
        "CONTEXTS": ["Background.", "Results."],
        "LONG_ANSWER": "It helps.",
        "final_decision": "maybe",
        **changes,
    }


def test_the_context_joins_the_paragraphs_and_the_conclusion_is_only_the_explanation(make: Any, outcome: Any) -> None:
    (question,) = outcome(read_pubmedqa(make("a.json", {"21645374": row()})))
    assert question == Question(
        "21645374", "Does it help?", ("yes", "no", "maybe"), 2, "Background.\nResults.", "It helps."
    )


def test_a_missing_conclusion_is_no_fault(make: Any, outcome: Any) -> None:
    (question,) = outcome(read_pubmedqa(make("a.json", {"1": row(LONG_ANSWER=None)})))
    assert question.explanation == ""


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row(final_decision="perhaps"), "the answer is outside the options"),
        (row(final_decision=None), "final_decision is missing"),
        (row(QUESTION=""), "QUESTION is blank"),
        (row(CONTEXTS=[]), "CONTEXTS is not a list of paragraphs"),
        (row(CONTEXTS="text"), "CONTEXTS is not a list of paragraphs"),
        (row(CONTEXTS=["text", 3]), "CONTEXTS is not text"),
        (["a", "b"], "the record is not a JSON object"),
    ],
)
def test_a_broken_question_is_a_reject_and_the_rest_goes_on(make: Any, outcome: Any, broken: Any, reason: str) -> None:
    first, second = outcome(read_pubmedqa(make("a.json", {"1": broken, "2": row()})))
    assert first == ("rejected", reason)
    assert isinstance(second, Question)


def test_another_layout_fails(make: Any) -> None:
    with pytest.raises(DataError, match="not the layout of PubMedQA"):
        read_pubmedqa(make("a.json", [row()]))


def test_the_official_test_ids_are_the_keys_of_the_file_beside_the_questions(make: Any) -> None:
    assert official_ids_name("raw/pubmedqa/ori_pqal.json") == "raw/pubmedqa/test_ground_truth.json"
    assert official_ids_name("ori_pqal.json") == "test_ground_truth.json"
    assert official_test_ids(make("ids.json", {"1": "yes", "2": "no"})) == {"1", "2"}
    with pytest.raises(DataError, match="names no test questions"):
        official_test_ids(make("ids.json", {}))


def hub_row(**changes: Any) -> dict[str, Any]:
    return {
        "pubid": 21645374,
        "question": "Does it help?",
        "context": {"contexts": ["Background.", "Results."], "labels": ["BACKGROUND", "RESULTS"]},
        "long_answer": "It helps.",
        "final_decision": "maybe",
        **changes,
    }


def test_the_hubs_rows_give_the_same_questions(make: Any, rows: Any, outcome: Any) -> None:
    published = outcome(read_pubmedqa(make("a.json", {"21645374": row()})))
    assert outcome(pubmedqa_rows_of_hub(rows(hub_row(), hub_row(pubid="21645374")))) == published * 2


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (hub_row(pubid=None), "pubid is missing"),
        (hub_row(pubid=1.5), "pubid is not text"),
        (hub_row(question=""), "question is blank"),
        (hub_row(context=None), "the record is not a JSON object"),
        (hub_row(context={"contexts": []}), "contexts is not a list of paragraphs"),
        (hub_row(context={"contexts": ["text", None]}), "contexts is missing"),
        (hub_row(final_decision=1), "final_decision is not text"),
        (hub_row(final_decision="YES"), "the answer is outside the options"),
        ("text", "the record is not a JSON object"),
    ],
)
def test_a_broken_row_of_the_hub_is_a_reject(rows: Any, outcome: Any, broken: Any, reason: str) -> None:
    assert outcome(pubmedqa_rows_of_hub(rows(broken))) == [("rejected", reason)]


def test_the_test_ids_lie_in_the_folder_of_the_hubs_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "train.parquet").write_bytes(b"")
    folder = DataFolder(Source(str(tmp_path)))
    for path in ("a/b", "a/b/train.parquet", "a/b/*.parquet", "a/b/train*"):
        assert official_ids_name_of_hub(folder, path) == "a/b/test_ground_truth.json"
    assert official_ids_name_of_hub(folder, "a/**/*.parquet") == "a/test_ground_truth.json"
    assert official_ids_name_of_hub(folder, "") == "test_ground_truth.json"
