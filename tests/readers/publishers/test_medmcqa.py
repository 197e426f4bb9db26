from typing import Any

import pytest

from med42lib.readers.publishers.medmcqa import medmcqa_rows_of_hub, read_medmcqa
from med42lib.readers.publishers.question import Question


def row(**changes: Any) -> dict[str, Any]:
    options = {"opa": "one", "opb": "two", "opc": "three", "opd": "two"}
    return {"id": "45258d3d", "question": "Which?", "cop": 1, "exp": None, "choice_type": "multi", **options, **changes}


def test_the_answer_counts_from_one_even_for_multi_and_options_may_repeat(make: Any, outcome: Any) -> None:
    first, last = outcome(read_medmcqa(make("dev.jsonl", [row(), row(cop=4, exp="Ans. is d")])))
    assert first == Question("45258d3d", "Which?", ("one", "two", "three", "two"), 0)
    assert (last.gold, last.explanation) == (3, "Ans. is d")


def test_the_subject_is_the_specialty_in_both_layouts(make: Any, rows: Any, outcome: Any) -> None:
    anatomy = row(subject_name="Anatomy")
    for read in (read_medmcqa(make("dev.jsonl", [anatomy])), medmcqa_rows_of_hub(rows(anatomy))):
        assert [question.subject for question in outcome(read)] == ["Anatomy"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row(cop=0), "cop is 0, but the publisher counts from 1 (the hub's copy counts from 0)"),
        (row(cop=5), "the answer is outside the options"),
        (row(cop=-1), "the answer is outside the options"),
        (row(cop=None), "the question has no answer"),
        (row(opc=" "), "an option is blank"),
        (row(opc=None), "an option is missing"),
        (row(question=""), "question is blank"),
        (row(id=None), "id is missing"),
        ([1], "the record is not a JSON object"),
    ],
)
def test_a_broken_question_is_a_reject_and_the_rest_goes_on(make: Any, outcome: Any, broken: Any, reason: str) -> None:
    first, second = outcome(read_medmcqa(make("dev.jsonl", [broken, row()])))
    assert first == ("rejected", reason)
    assert isinstance(second, Question)


def test_on_the_hub_the_answer_counts_from_zero_or_is_a_label_name(rows: Any, outcome: Any) -> None:
    first, last, named = outcome(medmcqa_rows_of_hub(rows(row(cop=0), row(cop=3), row(cop="c"))))
    assert (first.gold, last.gold, named.gold) == (0, 3, 2)
    assert first == Question("45258d3d", "Which?", ("one", "two", "three", "two"), 0)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row(cop=4), "the answer is outside the options"),
        (row(cop="e"), "the answer is outside the options"),
        (row(cop=True), "the answer is outside the options"),
        (row(cop=-1), "the question has no answer"),
        (row(cop=None), "the question has no answer"),
        (row(opd=None), "an option is missing"),
        (row(exp=3), "exp is not text"),
        (None, "the record is not a JSON object"),
    ],
)
def test_a_broken_row_of_the_hub_is_a_reject(rows: Any, outcome: Any, broken: Any, reason: str) -> None:
    assert outcome(medmcqa_rows_of_hub(rows(broken))) == [("rejected", reason)]
