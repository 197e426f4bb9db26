from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.readers.publishers.headqa import IMAGE_REASON, headqa_rows_of_hub, read_headqa
from med42lib.readers.publishers.question import Question


def row(**changes: Any) -> dict[str, Any]:
    answers = [{"aid": n, "atext": f"option {n}"} for n in (1, 2, 3, 4, 5)]
    return {"qid": "7", "qtext": "Which?", "ra": "3", "answers": answers, "image": "", **changes}


def document(*rows: Any) -> dict[str, Any]:
    return {"exams": {"Cuaderno_2013_1_B": {"name": "Cuaderno_2013_1_B", "data": list(rows)}}}


def test_the_answer_counts_from_one_and_the_id_is_exam_and_number(make: Any, outcome: Any) -> None:
    (question,) = outcome(read_headqa(make("a.json", document(row()))))
    options = ("option 1", "option 2", "option 3", "option 4", "option 5")
    assert question == Question("Cuaderno_2013_1_B-7", "Which?", options, 2)


def test_the_subject_is_the_exams_in_both_layouts(make: Any, rows: Any, outcome: Any) -> None:
    exams = document(row())
    exams["exams"]["Cuaderno_2013_1_B"]["category"] = "biology"
    of_hub = headqa_rows_of_hub(rows(row(name="Cuaderno_2013_1_B", category="biology", image=None)))
    for read in (read_headqa(make("a.json", exams)), of_hub):
        assert [question.subject for question in outcome(read)] == ["biology"]


def test_a_record_stands_at_its_number_in_the_whole_document(make: Any) -> None:
    two_exams = {"exams": {"one": {"data": [row(), row()]}, "two": {"data": [row()]}}}
    assert [record.line for record in read_headqa(make("a.json", two_exams))] == [1, 2, 3]


def test_a_question_about_an_image_is_excluded_not_rejected(make: Any, outcome: Any) -> None:
    assert outcome(read_headqa(make("a.json", document(row(image="./img1.png"))))) == [("excluded", IMAGE_REASON)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row(ra="6"), "the answer is outside the options"),
        (row(ra="0"), "the answer is outside the options"),
        (row(ra=""), "the question has no answer"),
        ({k: v for k, v in row().items() if k != "ra"}, "the question has no answer"),
        (row(qtext="  "), "qtext is blank"),
        (row(qid=None), "qid is missing"),
        (row(answers=None), "answers is not a list of options"),
        (row(answers=[{"aid": 2, "atext": "a"}, {"aid": 1, "atext": "b"}]), "the options are not numbered 1, 2, 3, …"),
        (row(answers=[{"aid": 1, "atext": "a"}, {"aid": 2, "atext": ""}], ra="1"), "an option is blank"),
        ("not a question", "the record is not a JSON object"),
    ],
)
def test_a_broken_question_is_a_reject_and_the_rest_goes_on(make: Any, outcome: Any, broken: Any, reason: str) -> None:
    first, second = outcome(read_headqa(make("a.json", document(broken, row()))))
    assert first == ("rejected", reason)
    assert isinstance(second, Question)


@pytest.mark.parametrize("other", [[], {"questions": []}, {"exams": [1]}, {"exams": {"a": {"data": {}}}}])
def test_another_layout_fails(make: Any, other: Any) -> None:
    with pytest.raises(DataError, match="not the layout of HEAD-QA"):
        list(read_headqa(make("a.json", other)))


def hub_row(**changes: Any) -> dict[str, Any]:
    return {**row(qid=7, ra=3, image=None), "name": "Cuaderno_2013_1_B", "year": "2013", **changes}


def test_the_hubs_rows_give_the_same_questions(make: Any, rows: Any, outcome: Any) -> None:
    published = outcome(read_headqa(make("a.json", document(row()))))
    nothing = {"bytes": None, "path": None}
    for hub in (hub_row(), hub_row(image=""), hub_row(image=nothing), hub_row(qid="7", ra="3")):
        assert outcome(headqa_rows_of_hub(rows(hub))) == published


@pytest.mark.parametrize("image", ["img1.png", {"bytes": b"png", "path": None}, {"path": "img1.png"}])
def test_a_row_with_a_picture_is_excluded(rows: Any, outcome: Any, image: Any) -> None:
    assert outcome(headqa_rows_of_hub(rows(hub_row(image=image)))) == [("excluded", IMAGE_REASON)]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (hub_row(ra=0), "the answer is outside the options"),
        (hub_row(ra=None), "the question has no answer"),
        (hub_row(qid=None), "qid is missing"),
        (hub_row(qid=True), "qid is not text"),
        (hub_row(name=None), "name is missing"),
        (hub_row(qtext=" "), "qtext is blank"),
        (hub_row(answers=[]), "a question needs 2 to 26 options"),
        ([], "the record is not a JSON object"),
    ],
)
def test_a_broken_row_of_the_hub_is_a_reject(rows: Any, outcome: Any, broken: Any, reason: str) -> None:
    assert outcome(headqa_rows_of_hub(rows(broken))) == [("rejected", reason)]


def test_lines_of_questions_are_no_document_and_the_message_says_what_is(make: Any) -> None:
    with pytest.raises(DataError, match=r"headqa.json is JSON lines.*HEAD-QA's document, \{\"exams\": \{...\}\}"):
        list(read_headqa(make("headqa.json", '{"qtext": "Which?"}\n{"qtext": "What?"}\n')))
