"""A benchmark of the user's own, through the stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.records import BenchmarkItem, read_items
from tests.assemble.good_rows import csv_table
from tests.assemble.own_rows import GOOD_OWN

EXAM = {"format": "multiple_choice", "path": "exam.jsonl", "licence": "of the ward, not to be passed on"}


def question(number: int, **changes: Any) -> dict[str, Any]:
    options = [f"{number} zinc", f"{number} iron", f"{number} lead"]
    return {"id": number, "question": f"Which is {number}?", "options": options, "answer": "B", **changes}


def items_of(folder: Path) -> list[BenchmarkItem]:
    return list(read_items(folder))


def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text())["exam"]


@pytest.mark.parametrize("name", GOOD_OWN["multiple_choice"])
def test_questions_in_every_usual_form_become_the_same_item(run: Any, write: Any, name: str) -> None:
    write("exam.jsonl", [GOOD_OWN["multiple_choice"][name]])
    (item,) = items_of(run({"exam": EXAM}))
    assert (item.benchmark, item.question, item.options[:2], item.gold) == ("exam", "Which?", ("one", "two"), 1)


def test_an_item_has_the_users_id_or_else_a_name_made_of_its_content(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(7, context="A man."), question(8, id=None)])
    with_id, without = items_of(run({"exam": EXAM}))
    assert (with_id.id, with_id.origin.line, with_id.context) == ("exam/7", 1, "A man.")
    assert without.id.startswith("exam/")
    assert len(without.id) == len("exam/") + 16


def test_a_table_with_a_column_for_each_option_is_read_as_the_settings_say(run: Any, write: Any) -> None:
    rows = [{"nr": n, "stem": f"Which is {n}?", "first": "zinc", "second": "iron", "key": n} for n in (1, 2)]
    write("exam.csv", csv_table(rows))
    fields = {"id": "nr", "question": "stem", "options": ["first", "second"], "answer": "key"}
    items = items_of(run({"exam": {**EXAM, "path": "exam.csv", "fields": fields, "answers": "number_from_1"}}))
    assert [(item.id, item.gold, item.origin.line) for item in items] == [("exam/1", 0, 2), ("exam/2", 1, 3)]


def test_the_licence_is_the_users_and_no_publisher_is_credited(run: Any, write: Any, medqa: Any) -> None:
    write("exam.jsonl", [question(1)])
    found = summary(run({"exam": EXAM}))
    assert (found["title"], found["licence"], found["citation"]) == ("exam", "of the ward, not to be passed on", "")
    write("medqa.jsonl", [medqa(1)])
    own = run({"medqa": {"path": "medqa.jsonl", "licence": "ours"}})
    assert json.loads((own / "summary.json").read_text())["medqa"]["licence"] == "ours"


def test_the_topics_asked_for_are_read_and_the_others_counted(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(1, subject="heart"), question(2, subject="eye"), question(3)])
    folder = run({"exam": {**EXAM, "topics": ["heart"]}})
    assert [item.id for item in items_of(folder)] == ["exam/1"]
    assert summary(folder)["excluded_by_reason"] == {"the question is of another topic": 2}


def test_a_question_that_seems_to_lack_something_is_asked_and_told(run: Any, write: Any, caplog: Any) -> None:
    child = question(1, question="Which group has the worst prognosis?", options=["A", "B", "C", "D"], subject="liver")
    therapy = "What is the best therapy for this patient with pneumonia and penicillin allergy?"
    write("exam.jsonl", [question(3, subject="eye"), child, question(2, question=therapy, subject="liver")])
    assert [item.id for item in items_of(run({"exam": EXAM | {"topics": ["liver"]}}))] == ["exam/1", "exam/2"]
    assert "2 questions may be about a figure or a patient that is not there" in caplog.text
    assert "first at exam.jsonl:2" in caplog.text
    assert "prognosis" not in caplog.text, "logs of runs that succeed hold no records"


def test_letters_that_options_begin_with_are_taken_off_and_counted(run: Any, write: Any, caplog: Any) -> None:
    of_genera = ["A. fumigatus", "C. albicans", "B. fragilis"]
    write("exam.jsonl", [question(1, options=["A. Iron", "B. Vitamin C"]), question(2, options=of_genera)])
    assert [item.options for item in items_of(run({"exam": EXAM}))] == [("Iron", "Vitamin C"), tuple(of_genera)]
    assert "the options of 1 question began with their letters" in caplog.text
    assert "taken off, first at exam.jsonl:1" in caplog.text


def test_a_question_without_a_choice_is_left_out(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(1), question(2, options=["zinc", "zinc."], answer="A")])
    assert summary(run({"exam": EXAM}))["excluded_by_reason"] == {"all options say the same": 1}


def test_an_item_has_the_users_subject(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(1, subject="heart"), question(2, subject_name="eye"), question(3)])
    assert [item.subject for item in items_of(run({"exam": EXAM}))] == ["heart", "eye", ""]


def test_an_item_has_the_group_of_the_field_that_the_settings_name(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(1, case=12), question(2, case=12), question(3, case="alone")])
    assert [item.group for item in items_of(run({"exam": {**EXAM, "group": "case"}}))] == ["12", "12", "alone"]


def test_a_question_without_the_group_that_the_settings_name_is_set_aside(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(1, case="A"), question(2)])
    with pytest.raises(DataError, match="case is missing"):
        run({"exam": {**EXAM, "group": "case"}})


def test_numbers_of_which_nobody_knows_where_they_begin_end_the_stage(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(1, answer=1), question(2, answer=2)])
    with pytest.raises(DataError, match=r"number from 0 or number from 1.*exam\.jsonl:1.*say `answers: "):
        run({"exam": EXAM})


def test_of_a_folder_the_test_split_is_asked_and_the_rest_is_named(
    run: Any, write: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write("exam/train.jsonl", [question(1)])
    write("exam/test.jsonl", [question(2)])
    assert [item.id for item in items_of(run({"exam": {**EXAM, "path": "exam"}}))] == ["exam/2"]
    assert any(
        "exam: of exam 1 file, by its name of another split, is not read: exam/train.jsonl" in m
        for m in caplog.messages
    )


def test_questions_of_one_id_are_all_asked_where_it_is_ignored(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(1), question(2, id=1), question(3, id=1)])
    assert len({item.id for item in items_of(run({"exam": {**EXAM, "ignore": ["id"]}}))}) == 3


def test_broken_and_repeated_questions_are_set_aside_with_their_line(run: Any, write: Any) -> None:
    write("exam.jsonl", [question(1), question(1), question(2, answer="D"), question(3, options=["zinc"])])
    folder = run({"exam": EXAM}, max_rejected_share=1)
    rejects = [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]
    assert [(reject["line"], reject["reason"]) for reject in rejects] == [
        (2, "the id stands twice; `ignore` its field, or name one that differs, `fields: {id: …}`"),
        (3, "the answer is outside the options"),
        (4, "a question needs 2 to 26 options"),
    ]
