from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.core.errors import DataError
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFile
from med42lib.readers.own.answers import WAYS, Answers, meanings, way_of_answers
from med42lib.readers.own.fields import FieldNames
from med42lib.readers.own.multiple_choice import own_questions

OPTIONS = ["iron", "zinc", "copper", "lead"]


def golds(
    tmp_path: Path, answers: list[Any], *, options: Any = OPTIONS, way: Answers | None = None
) -> list[int | None]:
    """Read questions with these answers, or fields of answers: the 0-based position of each, None for a reject."""
    fields = [answer if isinstance(answer, dict) else {"answer": answer} for answer in answers]
    rows = [{"question": f"Which {n}?", "options": options, **answer} for n, answer in enumerate(fields)]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = own_questions([DataFile("x.jsonl", path)], FieldNames.of("multiple_choice", {}), answers=way, notes=[])
    return [None if isinstance(record, Reject) else record.value.question.gold for record in found]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["A", "d", "(B)", "C."], [0, 3, 1, 2]),
        ([0, 3, 1], [0, 3, 1]),
        (["0", "3"], [0, 3]),
        ([1, 4, 2.0], [0, 3, 1]),
        (["1", "4"], [0, 3]),
        (["zinc", "iron"], [1, 0]),
        ([0, 7, 1], [0, None, 1]),
        (["A", "E", "zinc oxide"], [0, None, None]),
    ],
)
def test_the_rows_say_how_answers_are_written(tmp_path: Path, answers: list[Any], expected: list[Any]) -> None:
    assert golds(tmp_path, answers) == expected


@pytest.mark.parametrize("answers", [[1], [1, 2, 3], ["1", "2"], [3, 2, 2]])
def test_numbers_that_may_count_from_0_or_from_1_are_an_error_and_no_guess(tmp_path: Path, answers: list[Any]) -> None:
    with pytest.raises(DataError, match=r"number from 0 or number from 1.*first at x\.jsonl:1.*say `answers: "):
        golds(tmp_path, answers)
    from_0, from_1 = (golds(tmp_path, answers, way=way) for way in ("number_from_0", "number_from_1"))
    assert from_0 == [int(answer) for answer in answers]
    assert from_1 == [int(answer) - 1 for answer in answers]


@pytest.mark.parametrize(
    "fields",
    [
        {"answer_idx": "B", "answer": "C"},
        {"answer_index": 0, "answer": "C"},
        {"answer_idx": "B", "answer": "lead"},
        {"answer_idx": 3, "answer": "iron"},
        {"answer_idx": "A", "answer": "iron", "label": 2},
    ],
)
def test_two_fields_that_name_different_options_set_a_row_aside(tmp_path: Path, fields: dict[str, Any]) -> None:
    sound = {"answer": "D"} if isinstance(next(iter(fields.values())), str) else {"answer_index": 0}
    assert golds(tmp_path, [fields, sound])[0] is None


@pytest.mark.parametrize("answers", [["B", "A"], ["B. zinc", "A. iron"], ["zinc", "iron"], [1, 0]])
@pytest.mark.parametrize("form", ["{}. {}", "{}) {}", "({}) {}", "{}: {}", "{}.{}"])
def test_options_that_bring_their_letters_are_answered_as_others_are(
    tmp_path: Path, form: str, answers: list[Any]
) -> None:
    options = [form.format(letter, option) for letter, option in zip("ABCD", OPTIONS, strict=True)]
    said = [form.format(*a.split(". ")) if isinstance(a, str) and ". " in a else a for a in answers]
    assert golds(tmp_path, said, options=options) == [1, 0]


def test_two_fields_that_name_the_same_option_tell_how_it_is_written(tmp_path: Path) -> None:
    assert golds(tmp_path, [{"answer_idx": 1, "answer": "iron"}, {"answer_idx": 2}]) == [0, 1]
    assert golds(tmp_path, [{"answer_idx": 1, "answer": "zinc"}, {"answer_idx": 2}]) == [1, 2]
    assert golds(tmp_path, [{"answer_idx": 1, "answer": "B"}]) == [1]
    assert golds(tmp_path, [{"answer_idx": "B", "answer": "as in the lecture"}]) == [1], "which names no option"


def test_a_letter_that_is_an_option_too_is_read_as_the_other_rows_say(tmp_path: Path) -> None:
    groups = ["B", "A", "O", "AB"]
    assert golds(tmp_path, ["D", "A"], options=groups) == [3, 0]
    assert golds(tmp_path, ["AB", "A"], options=groups) == [3, 1]
    with pytest.raises(DataError, match="letter or text"):
        golds(tmp_path, ["A", "B"], options=groups)


@pytest.mark.parametrize(
    ("answers", "notes"),
    [
        ([3, 2, 0, 1], ["answers are read as number_from_0, as x:2 alone shows (1 of 4); else say `answers`"]),
        ([3, 0, 0], ["answers are read as number_from_0, as 2 rows show, first x:1 (2 of 3); else say `answers`"]),
        (["A", "B"], []),
    ],
)
def test_rows_that_alone_show_how_all_answers_are_written_are_told(answers: list[Any], notes: list[str]) -> None:
    told: list[str] = []
    way_of_answers(((f"x:{n}", meanings(answer, OPTIONS)) for n, answer in enumerate(answers)), told)
    assert told == notes


def test_rows_that_contradict_one_another_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"as number from 0 \(x\.jsonl:1\), as number from 1 \(x\.jsonl:3\)"):
        golds(tmp_path, [0, 1, 4])
    assert golds(tmp_path, [0, 1, 4], way="number_from_0") == [0, 1, None]
    assert golds(tmp_path, [0, 1, 4], way="number_from_1") == [None, 0, 3]


def test_labels_that_are_numbers_say_from_where_they_count(tmp_path: Path) -> None:
    for first in (0, 1):
        labels = [str(first + n) for n in range(4)]
        assert golds(tmp_path, [str(first + 1)], options={"text": OPTIONS, "label": labels}) == [1]


@given(st.lists(st.integers(0, 3), min_size=1), st.sampled_from(WAYS))
def test_a_way_that_is_found_is_the_one_in_which_the_answers_were_written(places: list[int], way: Answers) -> None:
    written = {
        "letter": lambda n: "ABCD"[n],
        "number_from_0": lambda n: n,
        "number_from_1": lambda n: n + 1,
        "text": lambda n: OPTIONS[n],
    }
    found = [meanings(written[way](place), OPTIONS) for place in places]
    try:
        chosen = way_of_answers(((f"x:{n}", meaning) for n, meaning in enumerate(found)), [])
    except DataError:
        return
    assert [meaning[chosen] for meaning in found] == places
