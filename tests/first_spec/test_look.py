from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from med42lib.first_spec.look import FIRST_ROWS, Found, look_at
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import Rows
from med42lib.readers.own import tables
from med42lib.readers.own.fields import Format
from med42lib.readers.own.tables import own_rows
from med42lib.store.artifacts import Source
from tests.assemble.good_rows import csv_table
from tests.assemble.own_rows import CHOICE, GOOD_OWN, MESSAGES
from tests.data_files import write_data


def look(folder: Path, **files: Any) -> dict[str, Found]:
    """Write files, `a__x_csv` as `a/x.csv`, and look at them."""
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        write_data(folder / f"{stem.replace('__', '/')}.{suffix}", content)
    return {found.path: found for found in look_at(DataFolder(Source(str(folder))))}


@pytest.mark.parametrize(("shape", "name"), [(shape, name) for shape, rows in GOOD_OWN.items() for name in rows])
def test_rows_that_other_trainers_read_are_known_for_what_they_are(tmp_path: Path, shape: Format, name: str) -> None:
    (found,) = look(tmp_path, x_jsonl=[GOOD_OWN[shape][name]] * 3).values()
    assert (found.shape, found.fields, found.rows, found.usable) == (shape, {}, 3, 3)


def test_fields_of_other_names_are_found_by_what_they_hold(tmp_path: Path) -> None:
    chat = [{"chat": [{"who": m["role"], "what": m["content"]} for m in MESSAGES], "patient_id": 7}]
    exam = csv_table([{"Stem": "Which?", "wahl1": "a", "wahl2": "b", "wahl3": "c", "Correct": "c", "Note": "x"}])
    columns = csv_table([{"question": "Which?", "opa": "a", "opb": "b", "cop": 0}])
    notes = [{"user_text": "What is X?", "reply_text": "It is Y."}]
    found = look(tmp_path, chat_jsonl=chat, exam_csv=exam, notes_jsonl=notes, medmcqa_csv=columns)
    assert found["chat.jsonl"].fields == {"messages": "chat", "role": "who", "content": "what"}
    assert found["chat.jsonl"].group == "patient_id"
    assert found["exam.csv"].fields == {"question": "Stem", "options": ("wahl1", "wahl2", "wahl3"), "answer": "Correct"}
    assert (found["exam.csv"].usable, found["exam.csv"].unread) == (1, ("Note",))
    assert (found["medmcqa.csv"].shape, found["medmcqa.csv"].fields["answer"]) == ("multiple_choice", "cop")
    assert found["notes.jsonl"].fields == {"instruction": "user_text", "output": "reply_text"}


def test_files_that_differ_in_a_number_alone_are_one(tmp_path: Path) -> None:
    rows = [{"messages": MESSAGES}]
    found = look(tmp_path, ward__part1_jsonl=rows, ward__part2_jsonl=rows * 2, ward__more_jsonl=rows)
    assert {path: one.rows for path, one in found.items()} == {"ward/more.jsonl": 1, "ward/part*.jsonl": 3}
    found = look(tmp_path, ward__partial_jsonl=rows)
    assert list(found) == ["ward/more.jsonl", "ward/part1.jsonl", "ward/part2.jsonl", "ward/partial.jsonl"]


def test_a_name_in_capitals_is_that_of_the_same_kind_of_file(tmp_path: Path) -> None:
    found = look(
        tmp_path, chat_JSONL=[{"messages": MESSAGES}], exam_CSV=csv_table([{**CHOICE, "options": '["a", "b"]'}])
    )
    assert {path: one.shape for path, one in found.items()} == {
        "chat.JSONL": "conversations",
        "exam.CSV": "multiple_choice",
    }


def test_what_is_no_training_data_says_why(tmp_path: Path) -> None:
    found = look(
        tmp_path, pairs_jsonl=[{"prompt": "a", "chosen": "b", "rejected": "c"}], cut_json="[{", empty_csv="a,b\n"
    )
    assert "a preference pair cannot be taught" in found["pairs.jsonl"].why_not
    assert "cut.json" in found["cut.json"].why_not
    assert found["empty.csv"].why_not == "it holds no rows"
    assert {one.shape for one in found.values()} == {None}


def test_rows_that_cannot_be_read_are_not_said_to_be_missing(tmp_path: Path) -> None:
    found = look(tmp_path, cut_jsonl='{"a": 1\n{"b"\n', list_json="[1, 2]")
    assert found["cut.jsonl"].why_not.startswith(
        "its rows cannot be read: the line is not valid JSON, first at cut.jsonl:1 ("
    )
    assert found["list.json"].why_not == "its rows cannot be read: they are no objects of named fields"


def test_rows_with_nan_are_told_so_whichever_way_they_are_written(tmp_path: Path) -> None:
    row = '{"instruction": "a", "input": NaN, "output": "b"}'
    found = look(tmp_path, lines_jsonl=f"{row}\n{row}\n", list_json=f"[{row}, {row}]")
    reason = "NaN is neither text nor JSON; write null, as pandas' `to_json` does"
    assert f"{reason}, first at lines.jsonl:1 (" in found["lines.jsonl"].why_not
    assert reason in found["list.json"].why_not


def test_rows_of_no_shape_are_told_with_the_fields_that_they_have(tmp_path: Path) -> None:
    found = look(tmp_path, fragen_csv="Frage,Antwort\na,b\n", wide_jsonl=[{f"f{n}": "x" for n in range(20)}])
    assert found["fragen.csv"].why_not.startswith(
        "its rows, of the fields Frage, Antwort, are of no shape that is read"
    )
    assert "f6, f7 …, are of no shape" in found["wide.jsonl"].why_not


@pytest.mark.parametrize(
    ("row", "shapes", "said"),
    [
        ({"question": "a", "opa": "x", "opb": "y", "gut": 1}, 2, "as multiple_choice: the question has no answer; as"),
        ({"conversations": [{"from": "human", "value": "a"}]}, 1, "as conversations: the last message has no answer)"),
        ({"chosen": "a", "rejected": "b"}, 2, "a preference pair cannot be taught"),
    ],
)
def test_of_rows_of_no_shape_those_that_come_near_say_why(
    tmp_path: Path, row: dict[str, Any], shapes: int, said: str
) -> None:
    (found,) = look(tmp_path, x_jsonl=[row]).values()
    assert said in found.why_not
    assert sum(f"as {shape}: " in found.why_not for shape in GOOD_OWN) == shapes
    assert found.why_not.endswith("write its entry by hand, with `fields`: med42lib/readers/own/README.md")


def test_a_table_with_semicolons_is_told_to_be_one(tmp_path: Path) -> None:
    found = look(tmp_path, fragen_csv="Frage;Antwort\na;b\n")
    assert found["fragen.csv"].why_not.endswith("write the file with commas between fields")


def test_files_of_kinds_that_are_not_read_are_told_by_their_number(tmp_path: Path) -> None:
    found = look(tmp_path, a_xlsx="PK", sub__b_xlsx="PK", c_tsv="a\tb", d_jsonl=[{"messages": MESSAGES}])
    assert [path for path in found if path.startswith("*")] == ["*.tsv", "*.xlsx"]
    assert found["*.xlsx"].why_not == "2 files of a kind that is not read; write CSV, JSON lines or Parquet"


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    (found,) = look(tmp_path, x_jsonl=[CHOICE, CHOICE, {**CHOICE, "answer": "D"}]).values()
    assert (found.rows, found.usable, found.reasons) == (3, 2, {"the answer is outside the options": 1})
    assert found.rejected == 1


@pytest.mark.parametrize("names", ["A B C", "option_a option_b option_c", "wahl1 wahl2 wahl3"])
@pytest.mark.parametrize("odd", ["A,C", "of no option"])
def test_one_odd_answer_does_not_make_instructions_of_questions_in_columns(
    tmp_path: Path, names: str, odd: str
) -> None:
    row = {"question": "Which?", **dict(zip(names.split(), ("one", "two", "three"), strict=True)), "answer": "B"}
    (found,) = look(tmp_path, bank_csv=csv_table([row, row, {**row, "answer": odd}])).values()
    assert (found.shape, found.rows, found.usable, found.unread) == ("multiple_choice", 3, 2, ())


@pytest.mark.parametrize(("num_others", "shape"), [(1, "multiple_choice"), (8, "instruction")])
def test_a_list_of_another_name_holds_options_if_nearly_all_answers_are_in_it(
    tmp_path: Path, num_others: int, shape: Format
) -> None:
    row = {"question": "Which gland makes it?", "answer": "the thyroid", "named": ["the thyroid", "the thymus"]}
    rows = [{**row, "answer": "another"}] * num_others + [row] * (20 - num_others)
    (found,) = look(tmp_path, x_jsonl=rows).values()
    assert found.shape == shape


def test_questions_that_share_an_id_are_counted(tmp_path: Path) -> None:
    rows = [{**CHOICE, "id": number} for number in (7, 7, 8, 7, None, None)]
    (found,) = look(tmp_path, x_jsonl=rows).values()
    assert found.repeated_ids == 2


def test_answers_that_nobody_can_read_are_said_to_be_so(tmp_path: Path) -> None:
    (found,) = look(tmp_path, x_jsonl=[{**CHOICE, "answer": 1}, {**CHOICE, "answer": 2}]).values()
    assert (found.shape, found.usable) == ("multiple_choice", 2)
    assert "number from 0 or number from 1" in found.unsure


def test_answers_that_the_first_rows_do_not_show_are_known_by_the_others(tmp_path: Path) -> None:
    numbered = [{**CHOICE, "answer": 1}] * FIRST_ROWS + [{**CHOICE, "answer": 0}]
    (found,) = look(tmp_path, x_jsonl=numbered).values()
    assert (found.shape, found.usable, found.unsure) == ("multiple_choice", FIRST_ROWS + 1, "")


@pytest.mark.parametrize("shape", GOOD_OWN)
def test_only_as_what_they_are_are_all_rows_of_a_file_read(
    tmp_path: Path, shape: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_read = 0

    def counted(file: DataFile) -> Rows:
        nonlocal num_read
        for row in own_rows(file):
            num_read += 1
            yield row

    monkeypatch.setattr(tables, "own_rows", counted)
    row = next(iter(GOOD_OWN[shape].values()))
    (found,) = look(tmp_path, x_jsonl=[row] * 3_000).values()
    assert found.usable == 3_000
    assert num_read < 2 * 3_000 + 12 * FIRST_ROWS, "twice at most, and the first of them for each try"


@pytest.mark.parametrize(
    ("path", "is_held_out"),
    [
        ("exam.csv", True),
        ("exam_open.jsonl", True),
        ("ward/test.csv", True),
        ("dev.csv", True),
        ("Questions.jsonl", True),
        ("questions/test.jsonl", True),
        ("questions/train.jsonl", False),
        ("questions_and_answers.jsonl", False),
        ("contest.csv", False),
        ("cards.csv", False),
    ],
)
def test_a_test_set_is_known_by_its_name(path: str, is_held_out: bool) -> None:
    assert Found(path).is_held_out is is_held_out
