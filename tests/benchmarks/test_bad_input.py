"""One broken record in each benchmark's files, in either layout: it is set aside with its reason, the others go on."""

import csv
import io
import json
from typing import Any

import pytest

MISSING = object()
"""In a change: the field is taken away."""

FOUR = {"opa": "one", "opb": "two", "opc": "three", "opd": "four"}
LETTERED = {"A": "one", "B": "two", "C": "three", "D": "four"}
NUMBERED = [{"aid": number, "atext": text} for number, text in enumerate(LETTERED.values(), start=1)]

GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("medqa", "publisher"): {"question": "Which?", "options": LETTERED, "answer_idx": "B", "answer": "two"},
    ("medqa", "huggingface"): {"question": "Which?", "options": LETTERED, "answer_idx": "B", "answer": "two"},
    ("medmcqa", "publisher"): {"id": "x", "question": "Which?", "cop": 2, **FOUR},
    ("medmcqa", "huggingface"): {"id": "x", "question": "Which?", "cop": 1, **FOUR},
    ("headqa", "publisher"): {"qid": "7", "qtext": "Which?", "ra": "2", "answers": NUMBERED, "image": ""},
    ("headqa", "huggingface"): {"name": "e", "qid": 7, "qtext": "Which?", "ra": 2, "answers": NUMBERED, "image": None},
    ("pubmedqa", "publisher"): {"QUESTION": "Is it?", "CONTEXTS": ["It is."], "final_decision": "yes"},
    ("pubmedqa", "huggingface"): {
        "pubid": 7,
        "question": "Is it?",
        "context": {"contexts": ["It is."]},
        "final_decision": "yes",
    },
    ("mmlu", "huggingface"): {"question": "Which?", "choices": list(LETTERED.values()), "answer": 1},
    ("usmle", "publisher"): {"question": "Which?", "options": LETTERED, "answer": "B"},
}

BROKEN: list[tuple[str, str, dict[str, Any], str]] = [
    ("medqa", "publisher", {"question": MISSING}, "question is missing"),
    ("medqa", "publisher", {"question": 7}, "question is not text"),
    ("medqa", "publisher", {"answer_idx": "E"}, "the answer is outside the options"),
    ("medqa", "publisher", {"answer_idx": "BC"}, "the answer is outside the options"),
    ("medqa", "publisher", {"answer_idx": "C"}, "answer and answer_idx disagree"),
    ("medqa", "huggingface", {"options": {**LETTERED, "D": None}}, "an option is missing"),
    ("medqa", "huggingface", {"options": None}, "the record is not a JSON object"),
    ("medqa", "huggingface", {"answer": " "}, "answer is blank"),
    ("medmcqa", "publisher", {"cop": 0}, "cop is 0, but the publisher counts from 1 (the hub's copy counts from 0)"),
    ("medmcqa", "publisher", {"cop": 5}, "the answer is outside the options"),
    ("medmcqa", "publisher", {"cop": [1, 2]}, "the answer is outside the options"),
    ("medmcqa", "publisher", {"opd": MISSING}, "an option is missing"),
    ("medmcqa", "huggingface", {"cop": 4}, "the answer is outside the options"),
    ("medmcqa", "huggingface", {"cop": -1}, "the question has no answer"),
    ("medmcqa", "huggingface", {"question": ""}, "question is blank"),
    ("headqa", "publisher", {"ra": "0"}, "the answer is outside the options"),
    ("headqa", "publisher", {"ra": "2,3"}, "the answer is outside the options"),
    ("headqa", "publisher", {"qtext": None}, "qtext is missing"),
    ("headqa", "publisher", {"answers": "one"}, "answers is not a list of options"),
    ("headqa", "huggingface", {"ra": 5}, "the answer is outside the options"),
    ("headqa", "huggingface", {"qid": MISSING}, "qid is missing"),
    ("headqa", "huggingface", {"answers": [*NUMBERED[:3], {"aid": 4, "atext": ""}]}, "an option is blank"),
    ("pubmedqa", "publisher", {"final_decision": "yes, no"}, "the answer is outside the options"),
    ("pubmedqa", "publisher", {"CONTEXTS": MISSING}, "CONTEXTS is not a list of paragraphs"),
    ("pubmedqa", "huggingface", {"context": {"contexts": [None]}}, "contexts is missing"),
    ("pubmedqa", "huggingface", {"question": 7}, "question is not text"),
    ("mmlu", "huggingface", {"answer": 4}, "the answer is outside the options"),
    ("mmlu", "huggingface", {"answer": [1, 2]}, "the answer is outside the options"),
    ("mmlu", "huggingface", {"choices": ["one", "two", "three"]}, "choices is not a list of four options"),
    ("mmlu", "huggingface", {"question": MISSING}, "question is missing"),
    ("usmle", "publisher", {"answer": "E"}, "the answer is outside the options"),
    ("usmle", "publisher", {"answer": "A, B"}, "the answer is outside the options"),
    ("usmle", "publisher", {"options": MISSING}, "options is neither an object nor a list"),
]


def text_of(family: str, layout: str, rows: list[dict[str, Any]]) -> str:
    """Write rows as a benchmark's publisher does, or as JSON lines."""
    if (family, layout) == ("headqa", "publisher"):
        return json.dumps({"exams": {"exam": {"data": rows}}})
    if (family, layout) == ("pubmedqa", "publisher"):
        return json.dumps({str(number): row for number, row in enumerate(rows)})
    return "".join(json.dumps(row) + "\n" for row in rows)


NAMES = {
    ("mmlu", "huggingface"): ("hub", "hub/anatomy/test.jsonl"),
    ("pubmedqa", "huggingface"): ("hub", "hub/train.jsonl"),
    ("usmle", "publisher"): ("usmle", "usmle/sample_exam/exam.jsonl"),
}


@pytest.mark.parametrize(("family", "layout", "change", "reason"), BROKEN)
def test_a_broken_record_is_set_aside_with_its_place_and_reason(
    run: Any, write: Any, family: str, layout: str, change: dict[str, Any], reason: str
) -> None:
    good = GOOD[family, layout]
    broken = {key: value for key, value in {**good, **change}.items() if value is not MISSING}
    path, name = NAMES.get((family, layout), ("test.jsonl", "test.jsonl"))
    write(name, text_of(family, layout, [broken, good]))
    if family == "pubmedqa":
        write("hub/test_ground_truth.json", {"7": "yes"})
    out = run({family: {"path": path, "layout": layout}}, max_rejected_share=0.5)
    (reject,) = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    assert (reject["file"], reject["line"], reject["kind"], reject["reason"]) == (name, 1, "rejected", reason)
    assert len((out / "items.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (["Which?", "one", "two", "three", "B"], "the row has another number of cells than a question needs"),
        (["Which?", "one", "two", "three", "four", "E"], "the answer is outside the options"),
        (["Which?", "one", "two", "three", "four", "AB"], "the answer is outside the options"),
        (["Which?", "one", "two", "three", "four", "1"], "the answer is outside the options"),
        (["Which?", "one", "two", "three", "", "B"], "an option is blank"),
        ([" ", "one", "two", "three", "four", "B"], "the question is blank"),
        (["Which?", "one", "two", "three", "four", ""], "the question has no answer"),
    ],
)
def test_a_broken_row_of_mmlus_csv_is_set_aside(run: Any, write: Any, broken: list[str], reason: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([broken, ["What?", *LETTERED.values(), "B"]])
    write("mmlu/anatomy_test.csv", text.getvalue())
    out = run({"mmlu": {"path": "mmlu"}}, max_rejected_share=0.5)
    (reject,) = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    assert (reject["source"], reject["line"], reject["reason"]) == ("mmlu_anatomy", 1, reason)
