"""What a user's own rows become, as the stage reads them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from med42lib.core.errors import DataError
from med42lib.formats.messages import write_messages
from med42lib.formats.rejects import REJECTS_FILE
from med42lib.readers.own.fields import Format
from tests.assemble.own.conftest import Read
from tests.assemble.own_rows import ANSWERED, ASKED, CHOICE, GOOD_OWN, MESSAGES, SHAREGPT, WARD
from tests.assemble.small_sources import mixture, run_stage
from tests.data_files import write_data

ALL_GOOD = [(shape, name) for shape, rows in GOOD_OWN.items() for name in rows]


def said(conversation: Any) -> list[tuple[str, str]]:
    return [(exchange.prompter, exchange.assistant) for exchange in conversation.exchanges]


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows([{key: v if isinstance(v, str) else json.dumps(v) for key, v in row.items()} for row in rows])
    return text.getvalue()


@pytest.mark.parametrize(("shape", "name"), ALL_GOOD)
def test_a_file_that_was_made_for_another_trainer_is_read_as_it_is(read: Read, shape: Format, name: str) -> None:
    (found,) = read(shape, [GOOD_OWN[shape][name]], how="texts")
    prompter, answer = ("Which?", "two") if shape == "multiple_choice" else ("What is X?", "It is Y.")
    assert [(asked.replace("\n", " "), told) for asked, told in said(found)] == [(prompter, answer)]
    assert (found.question.replace("\n", " "), found.system, found.group) == (prompter, None, "")


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.CSV", "x.JSON", "x.parquet", "x.arrow"])
@pytest.mark.parametrize("shape", GOOD_OWN)
def test_each_shape_is_read_from_every_kind_of_file(data: Path, read: Read, shape: Format, name: str) -> None:
    row = next(iter(GOOD_OWN[shape].values()))
    if name.endswith(".arrow"):
        datasets.Dataset.from_list([row, row]).save_to_disk(data / "saved/train")
        assert len(read(shape, None, path="saved")) == 2
    else:
        content: Any = as_csv([row, row]) if name.lower().endswith(".csv") else [row, row]
        assert [type(found) for found in read(shape, content, path=name)].count(str) == 0


def test_fields_are_called_as_the_settings_say(read: Read) -> None:
    dialogue = {"chat": [{"who": "user", "what": "a"}, {"who": "assistant", "what": "b"}], "nr": 7}
    (found,) = read(
        "conversations", [dialogue], fields={"messages": "chat", "role": "who", "content": "what", "id": "nr"}
    )
    assert (said(found), found.publisher_id) == ([("a", "b")], "7")
    (found,) = read("instruction", [{"a": "x", "b": "y"}], fields={"instruction": "a", "output": "b"})
    assert said(found) == [("x", "y")]
    question = {"stem": "Which?", "right": "x", "wrong": "y", "key": "A"}
    fields = {"question": "stem", "options": ["right", "wrong"], "answer": "key"}
    (found,) = read("multiple_choice", [question], fields=fields)
    assert said(found) == [("Which?\nA. x\nB. y", "A. x")]
    assert read("instruction", [{"a": "x", "output": "y"}], fields={"output": "b", "instruction": "a"}) == [
        "b is missing"
    ]


def test_a_question_that_seems_to_lack_something_is_taught_and_told(data: Path, tmp_path: Path) -> None:
    rows = [
        {"question": "Which group has the worst prognosis?", "options": ["A", "B", "C"], "answer": "C"},
        {"question": "Which?", "options": ["x", "y"], "answer": "x"},
    ]
    write_data(data / "ward.jsonl", rows)
    row = mixture(run_stage(data, tmp_path / "out", {"ward": WARD | {"format": "multiple_choice"}}))["ward"]
    assert row["sampled"] == 2
    assert row["notes"] == [
        "1 question may be about a figure or a patient that is not there, and asked all the same, first at ward.jsonl:1"
    ]


def test_options_that_bring_their_letters_are_taught_with_one_letter_each(read: Read) -> None:
    lettered = {"question": "Which?", "options": ["A) Iron", "B) Zinc"], "answer": "B) Zinc"}
    assert said(read("multiple_choice", [lettered])[0]) == [("Which?\nA. Iron\nB. Zinc", "B. Zinc")]
    assert said(read("multiple_choice", [lettered], how="texts")[0]) == [("Which?", "Zinc")]


def test_a_conversation_keeps_its_turns_and_its_system_text_in_any_language(read: Read) -> None:
    turns = [("Qué es la úlcera?", "Es una lesión."), ("发烧怎么办？", "多喝水。"), ("ما هو؟", "هو")]
    messages = [message for q, a in turns for message in ({**ASKED, "content": q}, {**ANSWERED, "content": a})]
    system = {"role": "system", "content": "Du hilfst."}
    within, beside = read("conversations", [{"messages": [system, *messages]}, {"messages": messages, "system": "Tú."}])
    assert (said(within), within.system) == (turns, "Du hilfst.")
    assert (said(beside), beside.system) == (turns, "Tú.")


@pytest.mark.parametrize("nothing", ["", " ", None, []])
def test_an_empty_system_text_is_taught_as_none_and_not_as_the_default(read: Read, nothing: Any) -> None:
    trl = {"messages": [{"role": "system", "content": nothing}, *MESSAGES]}
    sharegpt = {"conversations": [{"from": "system", "value": nothing}, *SHAREGPT]}
    assert [found.system for found in read("conversations", [trl, sharegpt])] == ["", ""]


@pytest.mark.parametrize("before", [[], [{"role": "system", "content": "S"}]], ids=["no system text", "a system text"])
@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ({"role": "assistant", "content": ""}, "message 2: assistant"),
        ({"role": "user", "content": "And?"}, "message 2: user"),
        ({"role": "system", "content": "Be brief."}, "message 2: Be brief."),
        ({"role": "nurse", "content": "It is Y."}, "message 2: 'nurse'"),
        ({"role": "assistant", "content": {}}, "message 2: assistant"),
    ],
)
def test_the_message_that_is_at_fault_is_named(
    data: Path, message: dict[str, Any], detail: str, before: list[dict[str, Any]]
) -> None:
    write_data(data / "ward.jsonl", [{"messages": MESSAGES}, {"messages": [*before, ASKED, message]}])
    folder = run_stage(data, data.parent / "out", {"ward": WARD}, max_rejected_share=0.5)
    assert json.loads((folder / REJECTS_FILE).read_text())["detail"] == detail.replace("2", str(2 + len(before)))


def test_what_was_said_before_an_instruction_comes_first(read: Read) -> None:
    row = {"instruction": "And Z?", "input": "", "output": "No.", "history": [["What is X?", "It is Y."]]}
    (found,) = read("instruction", [row])
    assert said(found) == [("What is X?", "It is Y."), ("And Z?", "No.")]
    assert found.question == "What is X?", "decontamination compares it, and the prompts of later turns"


DROPPED = "this source's reader would drop the text in 'passage'; of your own data, say it in `fields` or `ignore`"
TOOL, MEDIA = "a tool call cannot be taught", "an image, sound or video cannot be taught"
PAIR = "a preference pair cannot be taught; give the answer that was chosen as the answer"
NO_PAIRS = "history is not a list of pairs, asked and answered"
NO_OPTIONS = "the question has no options; name their field, or their columns, in `fields`"
OPTIONS = "the row has options; its format is multiple_choice, or name them in `ignore`"
TURNS = "user and assistant do not take turns, the user first"


@pytest.mark.parametrize(
    ("shape", "row", "reason"),
    [
        ("conversations", {"messages": [ASKED, {"role": "tool", "content": "7"}, ANSWERED]}, TOOL),
        ("conversations", {"messages": [ASKED, {**ANSWERED, "tool_calls": [{"id": "x"}]}]}, TOOL),
        ("conversations", {"messages": MESSAGES, "tools": '[{"name": "look up"}]'}, TOOL),
        ("conversations", {"conversations": [SHAREGPT[0], {"from": "function_call", "value": "{}"}]}, TOOL),
        ("conversations", {"messages": MESSAGES, "images": ["x.png"]}, MEDIA),
        ("conversations", {"messages": [{"role": "user", "content": [{"type": "image"}]}, ANSWERED]}, MEDIA),
        ("conversations", {"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [ANSWERED]}, PAIR),
        ("instruction", {"prompt": "a", "chosen": "b", "rejected": "c"}, PAIR),
        ("instruction", {"instruction": "a", "output": "b", "videos": ["x.mp4"]}, MEDIA),
        (
            "instruction",
            {"prompt": "a", "completion": "b", "label": False},
            "an answer with a verdict (`label`) cannot be taught; keep the rows that are right, without it",
        ),
        (
            "conversations",
            {"messages": [ASKED, {**ANSWERED, "weight": 0}]},
            "an answer is marked as one not to be taught; leave such conversations out",
        ),
        (
            "conversations",
            {"messages": [ASKED, {**ANSWERED, "reasoning_content": "Because"}]},
            "reasoning apart from the answer cannot be taught; write it into the answer, or leave it out",
        ),
        ("conversations", {"messages": [ANSWERED, ASKED]}, TURNS),
        ("conversations", {"messages": [ASKED, ASKED, ANSWERED]}, TURNS),
        ("conversations", {"messages": [*MESSAGES, ASKED]}, "the last message has no answer"),
        ("conversations", {"messages": [{"role": "system", "content": "S"}]}, "the last message has no answer"),
        (
            "conversations",
            {"messages": [*MESSAGES, {"role": "system", "content": "S"}]},
            "a system text stands inside the conversation, not before it",
        ),
        (
            "conversations",
            {"messages": [{"role": "nurse", "content": "a"}, ANSWERED]},
            "a message is of no known role; known are system, user and assistant",
        ),
        ("conversations", {"messages": [{"role": "user", "content": " "}, ANSWERED]}, "content or value is missing"),
        ("conversations", {"messages": "hello"}, "messages is not a list of messages"),
        (
            "conversations",
            {"messages": MESSAGES, "conversations": SHAREGPT},
            "messages and conversations could both be the messages; say in `fields` which is, or name the other in "
            "`ignore`",
        ),
        (
            "conversations",
            {"text": "hello"},
            "messages or conversations or conversation is missing; name the field in `fields`",
        ),
        ("instruction", {"instruction": "a", "output": None}, "output or completion or response or answer is missing"),
        ("instruction", {**CHOICE}, OPTIONS),
        ("instruction", {"question": "Which?", "A": "one", "B": "two", "C": "", "answer": "B"}, OPTIONS),
        ("instruction", {"question": "Which?", "option_a": "x", "option_b": "y", "answer": "B, C"}, OPTIONS),
        ("instruction", {"instruction": "a", "output": "b", "history": [["x"]]}, NO_PAIRS),
        ("multiple_choice", {"question": "a", "options": ["x"], "answer": "A"}, "a question needs 2 to 26 options"),
        ("multiple_choice", {"question": "a", "answer": "A"}, NO_OPTIONS),
        ("multiple_choice", {**CHOICE, "answer": "D"}, "the answer is outside the options"),
        ("multiple_choice", {**CHOICE, "answer": "A,C"}, "more than one right answer cannot be asked"),
        ("multiple_choice", {**CHOICE, "answer": ["A", "C"]}, "more than one right answer cannot be asked"),
        ("multiple_choice", {**CHOICE, "answer": None}, "the question has no answer"),
        ("multiple_choice", {**CHOICE, "answer": -1}, "the question has no answer"),
        ("multiple_choice", {**CHOICE, "answer_idx": "A", "answer": "two"}, "answer and answer_idx disagree"),
        ("multiple_choice", {**CHOICE, "passage": "A man."}, DROPPED),
        ("multiple_choice", {**CHOICE, "question": " "}, "question is missing"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_taught_is_set_aside_with_its_reason_and_the_rest_goes_on(
    read: Read, shape: Format, row: dict[str, Any], reason: str
) -> None:
    good = next(iter(GOOD_OWN[shape].values()))
    broken, sound = read(shape, [row, good])
    assert broken == reason
    assert not isinstance(sound, str)


@pytest.mark.parametrize(
    ("shape", "row", "ignored"),
    [
        ("instruction", {"instruction": "a", "input": "b", "context": "c", "output": "d"}, ["context"]),
        ("instruction", {"instruction": "a", "output": "d", "rationale": "c", "case": "7 b"}, ["rationale", "case"]),
        ("instruction", {"question": "a", "answer": "d", "A": "b", "B": "c"}, ["A", "B"]),
        ("conversations", {"messages": MESSAGES, "conversation": MESSAGES}, ["conversation"]),
        ("multiple_choice", {**CHOICE, "vignette": "A man."}, ["vignette"]),
    ],
)
def test_a_row_is_read_without_the_fields_that_are_to_be_ignored(
    read: Read, shape: Format, row: dict[str, Any], ignored: list[str]
) -> None:
    (reason,) = read(shape, [row])
    assert isinstance(reason, str)
    assert "`ignore`" in reason
    (found,) = read(shape, [row], ignore=ignored)
    assert found.exchanges


def test_a_cell_that_pandas_or_excel_wrote_for_nothing_is_empty(read: Read) -> None:
    table = (
        'instruction,input,output\nWhat is X?,NaN,It is Y.\nWhat is Z?,#N/A,nan\n"Na, or N?",,NaN is not a number.\n'
    )
    first, second, third = read("instruction", table, path="ward.csv")
    assert said(first) == [("What is X?", "It is Y.")]
    assert second == "output or completion or response or answer is missing"
    assert said(third) == [("Na, or N?", "NaN is not a number.")]


def test_an_answer_that_may_stand_for_none_is_taught_and_told(data: Path, tmp_path: Path) -> None:
    write_data(data / "ward.csv", "question,answer\nWhich?,One.\nWho?,N/A\nWhy?,n/a\n")
    settings = WARD | {"format": "instruction", "path": "ward.csv"}
    row = mixture(run_stage(data, tmp_path / "out", {"ward": settings}))["ward"]
    assert (row["sampled"], row["notes"]) == (
        3,
        ["2 answers may stand for none, first at ward.csv:3; taught all the same: leave such rows out if so"],
    )


def test_a_group_goes_with_every_row_and_one_without_is_set_aside(read: Read) -> None:
    for shape, rows in GOOD_OWN.items():
        good = next(iter(rows.values()))
        of_one, of_other, of_none = read(
            shape, [{**good, "patient": 12}, {**good, "patient": "b"}, good], group="patient"
        )
        assert (of_one.group, of_other.group, of_none) == ("12", "b", "patient is missing")


def test_a_folder_is_read_without_the_files_that_are_of_other_splits_which_are_named(data: Path) -> None:
    for name in ("ward/notes.jsonl", "ward/train.jsonl", "ward/test.jsonl", "ward/dev_notes.jsonl"):
        write_data(data / name, [{"messages": [{**ASKED, "content": name}, ANSWERED]}])
    folder = run_stage(data, data.parent / "out", {"ward": WARD | {"path": "ward"}})
    row = mixture(folder)["ward"]
    assert [file["path"] for file in row["files"]] == ["ward/notes.jsonl", "ward/train.jsonl"]
    assert row["notes"] == [
        "of ward 2 files, by their names of other splits, are not read: ward/dev_notes.jsonl, ward/test.jsonl; a "
        "pattern such as ward/* reads all"
    ]


def test_what_med42_exports_is_read_again_as_a_user_s_own(data: Path) -> None:
    messages = [{"messages": [{"role": "system", "content": "S"}, *MESSAGES, *MESSAGES]}]
    write_data(data / "ward.jsonl", messages)
    first = run_stage(data, data.parent / "out", {"ward": WARD})
    again = data.parent / "again"
    again.mkdir()
    write_messages(first, again / "ward.parquet")
    second = run_stage(again, data.parent / "out2", {"ward": WARD | {"path": "ward.parquet"}})
    columns = ["system", "exchanges"]
    one, other = (datasets.Dataset.from_parquet(str(folder / "examples.parquet")) for folder in (first, second))
    assert one.select_columns(columns).to_list() == other.select_columns(columns).to_list()


def test_the_documents_credit_the_user_and_no_publisher(data: Path) -> None:
    write_data(data / "ward.jsonl", [GOOD_OWN["conversations"]["trl"], {"messages": "x"}])
    folder = run_stage(data, data.parent / "out", {"ward": WARD}, max_rejected_share=0.5)
    card, croissant = (folder / "README.md").read_text(), json.loads((folder / "croissant.json").read_text())
    assert "| ward | 1 | of the hospital |" in card
    assert "files of your own, in the format conversations, 1 read" in card
    assert "Attribution" not in card.partition("## Sources")[2]
    assert (croissant["license"], croissant["citeAs"], "inLanguage" in croissant) == (["of the hospital"], "", False)
    (reject,) = map(json.loads, (folder / REJECTS_FILE).read_text().splitlines())
    assert (reject["source"], reject["file"], reject["line"]) == ("ward", "ward.jsonl", 2)


def test_a_source_with_too_many_rows_that_cannot_be_taught_fails_and_says_so(data: Path) -> None:
    write_data(data / "ward.jsonl", [{"chosen": "a", "rejected": "b"}] * 3)
    with pytest.raises(
        DataError, match=r"(?s)ward: 3 of 3 records were rejected.*3 × a preference pair cannot be taught"
    ):
        run_stage(data, data.parent / "out", {"ward": WARD})
