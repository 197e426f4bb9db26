"""One broken record in each benchmark's files, in either layout: it is set aside with its reason, the others go on.

Which records are broken and why is tested with their readers, in `tests/readers/publishers`.
"""

import json
from typing import Any

import pytest

from tests.assemble.good_rows import ANSWERS, GOOD, OPTIONS, Good, Key

MISSING = object()
"""In a change: the field is taken away."""

ROWS = {**GOOD, ("usmle", "publisher"): Good("", {"question": "Which?", "options": OPTIONS, "answer": "B"}, "question")}
PLACES = {
    ("mmlu", "publisher"): ("mmlu", "mmlu/anatomy_test.csv"),
    ("mmlu", "huggingface"): ("hub", "hub/anatomy/test.jsonl"),
    ("pubmedqa", "huggingface"): ("hub", "hub/train.jsonl"),
    ("usmle", "publisher"): ("usmle", "usmle/sample_exam/exam.jsonl"),
}
"""Path and file of those that are not one file anywhere."""


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        (("medqa", "publisher"), {"answer_idx": "C"}, "answer and answer_idx disagree"),
        (("medqa", "huggingface"), {"answer": " "}, "answer is blank"),
        (("medmcqa", "publisher"), {"opd": MISSING}, "an option is missing"),
        (("medmcqa", "huggingface"), {"cop": -1}, "the question has no answer"),
        (("headqa", "publisher"), {"qtext": None}, "qtext is missing"),
        (("headqa", "huggingface"), {"answers": [*ANSWERS[:3], {"aid": 4, "atext": ""}]}, "an option is blank"),
        (("pubmedqa", "publisher"), {"CONTEXTS": MISSING}, "CONTEXTS is not a list of paragraphs"),
        (("pubmedqa", "huggingface"), {"context": {"contexts": [None]}}, "contexts is missing"),
        (("mmlu", "publisher"), {"answer": "AB"}, "the answer is outside the options"),
        (("mmlu", "huggingface"), {"answer": [1, 2]}, "the answer is outside the options"),
        (("usmle", "publisher"), {"answer": "A, B"}, "the answer is outside the options"),
    ],
)
def test_a_broken_record_is_set_aside_with_its_place_and_reason(
    run: Any, write: Any, key: Key, change: dict[str, Any], reason: str
) -> None:
    family, layout = key
    good = ROWS[key]
    broken = {field: value for field, value in {**good.row, **change}.items() if value is not MISSING}
    path, name = PLACES.get(key, ("test.jsonl", "test.jsonl"))
    write(name, good.write([broken, good.row]))
    if family == "pubmedqa":
        write("hub/test_ground_truth.json", {"7": "yes"})
    out = run({family: {"path": path, "layout": layout}}, max_rejected_share=0.5)
    (reject,) = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    assert (reject["file"], reject["line"], reject["kind"], reject["reason"]) == (name, 1, "rejected", reason)
    assert reject["source"] == {"mmlu": "mmlu_anatomy", "usmle": "usmle_sample_exam"}.get(family, family)
    assert len((out / "items.jsonl").read_text().splitlines()) == 1
