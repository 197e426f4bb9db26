"""One broken record in the files of every source, in either layout: it is set aside with its place and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.reading.read_source import Reading, read_source
from med42lib.assemble.source import Conversation, LayoutName, ReadOptions
from med42lib.core.errors import DataError
from med42lib.store.artifacts import Source
from tests.assemble.good_rows import ANSWERS, GOOD, MEDQUAD_COPY, TURNS, Good, Key, json_lines, mmlu_cells, read_path
from tests.assemble.small_sources import settings

KEYS = sorted(GOOD)
HAS_TYPES = [key for key in KEYS if GOOD[key].name.endswith(("json", "jsonl"))]
CSV = [key for key in KEYS if GOOD[key].name.endswith("csv")]
COMMON_NAMES: dict[Key, str] = {("medquad", "huggingface"): "Question", ("niv2", "huggingface"): "input"}
"""Where the reason names a field of both layouts."""

MISSING = object()
"""In a change: the field is taken away."""


def changed(good: Good, change: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**good.row, **change}.items() if value is not MISSING}


def write_files(write: Any, good: Good, text: str | bytes, *, name: str = "") -> str:
    for other, content in good.beside.items():
        write(other, content)
    write(name or good.name, text)
    return name or good.name


def read_text(write: Any, conversations: Any, key: Key, text: str | bytes, *, name: str = "") -> list[Any]:
    good = GOOD[key]
    file = write_files(write, good, text, name=name)
    records: list[Any] = conversations(key[0], layout=key[1], path=read_path(*key, file), include=good.include)
    return records


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_good_row_gives_one_conversation(write: Any, conversations: Any, key: Key) -> None:
    (conversation,) = read_text(write, conversations, key, GOOD[key].write([GOOD[key].row]))
    assert isinstance(conversation, Conversation)


WITH_NAMED_FIELDS = [key for key in [*HAS_TYPES, *CSV] if key != ("mmlu", "publisher")]


@pytest.mark.parametrize("key", WITH_NAMED_FIELDS, ids="-".join)
def test_a_row_whose_passage_the_reader_would_drop_is_set_aside(write: Any, conversations: Any, key: Key) -> None:
    good = GOOD[key]
    found = read_text(write, conversations, key, good.write([{**good.row, "passage": "A man."}]))
    reason = "this source's reader would drop the text in 'passage'; of your own data, say it in `fields` or `ignore`"
    assert found == [("rejected", reason)]


@pytest.mark.parametrize("value", [None, "", " \n", "\u200b", "\x7f"], ids=ascii)
@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_null_blank_or_invisible_question_is_set_aside_and_the_rest_goes_on(
    write: Any, conversations: Any, key: Key, value: object
) -> None:
    good = GOOD[key]
    broken, sound = read_text(write, conversations, key, good.write([changed(good, {good.question: value}), good.row]))
    assert isinstance(sound, Conversation)
    assert broken[0] == ("excluded" if broken[1] == "the paper has no abstract" else "rejected")
    assert any(word in broken[1] for word in ("missing", "blank", "has no", "without any text", "cut", "alternate"))


@pytest.mark.parametrize(
    "value", [MISSING, 7, True, ["x"], {"x": "y"}, 1.5], ids=lambda v: "missing" if v is MISSING else repr(v)
)
@pytest.mark.parametrize("key", HAS_TYPES, ids="-".join)
def test_a_question_that_is_missing_or_no_text_is_set_aside_and_the_rest_goes_on(
    write: Any, conversations: Any, key: Key, value: object
) -> None:
    good = GOOD[key]
    broken, sound = read_text(write, conversations, key, good.write([changed(good, {good.question: value}), good.row]))
    assert isinstance(sound, Conversation)
    wanted = "is missing" if value is MISSING else "is not text"
    assert broken == ("rejected", f"{COMMON_NAMES.get(key, good.question)} {wanted}")


@pytest.mark.parametrize("row", ["text", 7, None, [["x"]]], ids=repr)
@pytest.mark.parametrize("key", [key for key in KEYS if GOOD[key].write is json_lines], ids="-".join)
def test_a_line_that_is_no_object_is_set_aside_and_the_rest_goes_on(
    write: Any, conversations: Any, key: Key, row: Any
) -> None:
    broken, sound = read_text(write, conversations, key, json_lines([row, GOOD[key].row]))
    assert isinstance(sound, Conversation)
    assert broken[0] == "rejected"


@pytest.mark.parametrize("key", [key for key in CSV if GOOD[key].write is not mmlu_cells], ids="-".join)
def test_a_csv_file_without_the_column_is_refused(write: Any, conversations: Any, key: Key) -> None:
    good = GOOD[key]
    with pytest.raises(DataError, match=f"{good.name} has no column {good.question}; its first row is"):
        read_text(write, conversations, key, good.write([changed(good, {good.question: MISSING})]))


OUTSIDE = "the answer is outside the options"
ANSWERS_BROKEN: list[tuple[str, LayoutName, dict[str, Any], str]] = [
    ("medmcqa", "publisher", {"cop": 0}, "cop is 0, but the publisher counts from 1 (the hub's copy counts from 0)"),
    *[("medmcqa", "publisher", {"cop": cop}, OUTSIDE) for cop in (5, -1, [1, 2], "1,2", 1.0, "9" * 5000)],
    *[("medmcqa", "huggingface", {"cop": cop}, OUTSIDE) for cop in (4, [1, 2], "ab", True)],
    ("medmcqa", "huggingface", {"cop": -1}, "the question has no answer"),
    *[("medqa", "publisher", {"answer_idx": letter}, OUTSIDE) for letter in ("E", "AB", "A, B", 1, "b")],
    ("medqa", "publisher", {"answer_idx": "C"}, "answer and answer_idx disagree"),
    ("medqa", "publisher", {"answer_idx": None}, "the question has no answer"),
    ("medqa", "huggingface", {"answer_idx": "E"}, OUTSIDE),
    ("medqa", "huggingface", {"options": {"A": "one", "C": "three"}}, "the options are not lettered A, B, C, …"),
    *[("headqa", "publisher", {"ra": ra}, OUTSIDE) for ra in ("0", "5", "2,3", "9" * 5000)],
    ("headqa", "publisher", {"answers": ANSWERS[1:]}, "the options are not numbered 1, 2, 3, …"),
    *[("headqa", "huggingface", {"ra": ra}, OUTSIDE) for ra in (0, 5, [2, 3])],
    *[("mmlu", "publisher", {"answer": answer}, OUTSIDE) for answer in ("E", "AB", "1")],
    *[("mmlu", "huggingface", {"answer": answer}, OUTSIDE) for answer in (4, [1, 2], "E")],
    *[("pubmedqa", "publisher", {"final_decision": decision}, OUTSIDE) for decision in ("yes, no", "YES", "1")],
    ("pubmedqa", "huggingface", {"final_decision": ["yes", "no"]}, "final_decision is not text"),
    *[("health_advice", "publisher", {"label": label}, "the label is not 0, 1 or 2") for label in ("3", "-1", "1,2")],
    *[("pubmed_causal", "publisher", {"label": label}, "the label is not 0, 1, 2 or 3") for label in ("4", "0 1")],
    *[("mediqa", "publisher", {"ReferenceScore": n}, "the answer's score is not 1 to 4") for n in ("0", "5", "3,4")],
    ("mediqa", "publisher", {"ReferenceScore": None}, "ReferenceScore is missing"),
    ("stackexchange", "huggingface", {"answers": []}, "the question has no list of answers"),
    ("stackexchange", "huggingface", {"answers": "two"}, "the question has no list of answers"),
    ("stackexchange", "huggingface", {"answers": [{"text": "x"}]}, "an answer has no selected, pm_score and answer_id"),
    ("niv2", "publisher", {"output": []}, "output is neither an answer nor a list of answers"),
    ("niv2", "publisher", {"output": ["x", None]}, "output is missing"),
    ("niv2", "huggingface", {"id": "2", "targets": None}, "output is missing"),
    ("opengpt", "publisher", {"text": f"{TURNS[:-8]}<|ai|> Z. <|eos|>"}, "the turns do not alternate from user to ai"),
    ("opengpt", "huggingface", {"text": "<|user|> X? <|eos|>"}, "the text is cut: its last turn has no answer"),
    ("openorca_t0", "huggingface", {"id": "t1.1"}, "the id names no collection"),
    ("openorca_cot", "publisher", {"response": None}, "response is missing"),
    ("medquad", "publisher", {"Answer": None}, "Answer is missing"),
    ("medquad", "huggingface", {**MEDQUAD_COPY, "answer": " "}, "Answer is blank"),
    ("medical_flashcards", "publisher", {"output": "\u00ad"}, "output is blank"),
]


@pytest.mark.parametrize(("name", "layout", "change", "reason"), ANSWERS_BROKEN)
def test_an_answer_that_is_wrong_or_two_is_set_aside_and_the_rest_goes_on(
    write: Any, conversations: Any, name: str, layout: LayoutName, change: dict[str, Any], reason: str
) -> None:
    good = GOOD[name, layout]
    broken, sound = read_text(write, conversations, (name, layout), good.write([changed(good, change), good.row]))
    assert isinstance(sound, Conversation)
    assert broken == ("rejected", reason)


@pytest.mark.parametrize("key", CSV, ids="-".join)
def test_a_stray_quote_costs_its_own_row_only(write: Any, conversations: Any, key: Key) -> None:
    good = GOOD[key]
    with_comma = TURNS.replace("X", "X, Y") if key[0] == "opengpt" else f"{good.row[good.question]} So, it is."
    rows = [good.row, {**good.row, good.question: "STRAY"}, good.row, {**good.row, good.question: with_comma}]
    first, broken, *others = read_text(write, conversations, key, good.write(rows).replace("STRAY", '"Stray'))
    assert broken == ("rejected", "the row is not valid CSV")
    assert [type(conversation) for conversation in (first, *others)] == [Conversation] * 3


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_rejects_are_written_with_file_line_and_reason(write: Any, data: Path, tmp_path: Path, key: Key) -> None:
    good = GOOD[key]
    broken = changed(good, {good.question: " "})
    name = write_files(write, good, good.write([good.row, good.row, good.row, broken]))
    read_source(reading(key, good, data, name, max_rejected_share=1), tmp_path, int)
    (reject,) = map(json.loads, (tmp_path / "rejects.jsonl").read_text(encoding="utf-8").splitlines())
    place = 5 if key in CSV and key[0] != "mmlu" else 4
    assert (reject["source"], reject["file"], reject["line"]) == (key[0], name, place)
    assert reject["reason"]


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_too_many_rejects_fail_with_reason_and_example(write: Any, data: Path, tmp_path: Path, key: Key) -> None:
    good = GOOD[key]
    if key == ("cord19", "publisher"):
        pytest.skip("a paper without an abstract is excluded, not rejected")
    name = write_files(write, good, good.write([good.row, changed(good, {good.question: " "})]))
    with pytest.raises(DataError) as error:
        read_source(reading(key, good, data, name, max_rejected_share=0.01), tmp_path, int)
    assert f"{key[0]}: 1 of 2 records were rejected (50.0%), more than max_rejected_share = 1.0%" in str(error.value)
    assert f"first at {name}:" in str(error.value)


def reading(key: Key, good: Good, data: Path, file: str, *, max_rejected_share: float) -> Reading:
    name, layout = key
    config = settings({name: {"target": "all", "layout": layout}}).sources[name]
    read_options = ReadOptions("letters", include=good.include)
    return Reading(name, config, read_options, 0, max_rejected_share, read_path(name, layout, file), Source(str(data)))
