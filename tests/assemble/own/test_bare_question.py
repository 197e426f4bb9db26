"""What of an own row decontamination compares: the bare question."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.assemble.own.conftest import Read

ASKED = [
    "Which vitamin prevents scurvy?",
    "Which metal is stored in Wilson's disease?",
    "Name the longest bone there is.",
    *(f"Which gland makes the hormone number {number}?" for number in range(7)),
]


def questions(found: Any) -> list[str]:
    return [conversation.question for conversation in found]


def rows(*asked: tuple[str, str]) -> list[dict[str, str]]:
    return [{"instruction": one, "input": other, "output": "It is Y."} for one, other in asked]


def test_an_instruction_that_many_rows_share_is_no_part_of_the_question(read: Read) -> None:
    found = read("instruction", rows(*(("Please choose the correct option.", one) for one in ASKED)))
    assert questions(found) == ASKED
    assert found[0].exchanges[0].prompter == f"Please choose the correct option.\n{ASKED[0]}"


def test_an_input_that_many_rows_share_is_no_part_of_the_question(read: Read) -> None:
    assert questions(read("instruction", rows(*((one, "Answer in one word, please.") for one in ASKED)))) == ASKED


def test_an_input_that_asks_nothing_by_itself_is_compared_with_its_instruction(read: Read) -> None:
    used = "What is this drug used for?"
    drugs = [f"Drug {number}" for number in range(10)]
    found = read("instruction", rows(*((used, drug) for drug in drugs)))
    assert questions(found) == [f"{used}\n{drug}" for drug in drugs]


@pytest.mark.parametrize(
    ("asked", "num_rows"),
    [("Which vitamin prevents scurvy?", 20), ("Explain why sailors had scurvy.", 9)],
    ids=["with a question mark", "without one"],
)
def test_a_question_that_is_asked_of_several_passages_is_no_frame(read: Read, asked: str, num_rows: int) -> None:
    passages = [f"In trial {number} some sailors were given lemons." for number in range(num_rows)]
    found = read("instruction", rows(*((asked, passage) for passage in passages)))
    assert questions(found) == [f"{asked}\n{passage}" for passage in passages]


def test_an_instruction_and_an_input_that_stand_once_are_both_the_question(read: Read) -> None:
    found = read("instruction", rows(("Summarise this letter.", "Dear colleague, I saw your patient today.")))
    assert questions(found) == ["Summarise this letter.\nDear colleague, I saw your patient today."]


def test_a_long_text_without_spaces_takes_no_time(read: Read) -> None:
    begun = time.process_time()
    read("instruction", rows(*(("请回答。", f"{number}{'维生素' * 10_000}") for number in range(10))))
    assert time.process_time() - begun < 10


def test_the_settings_may_say_which_field_is_the_question(read: Read) -> None:
    asked = rows((ASKED[0], "A sailor has been at sea for months."))
    assert questions(read("instruction", asked, fields={"question": "instruction"})) == [ASKED[0]]


@pytest.mark.parametrize("options", ["A. Iron\nB. Vitamin C", "(a) Iron\n(b) Vitamin C\nAnswer:", "A) Iron\n\nB) C"])
def test_lettered_options_are_no_part_of_the_question(read: Read, options: str) -> None:
    asked = f"{ASKED[0]}\n{options}"
    chat = {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "B"}]}
    assert questions(read("conversations", [chat])) == [ASKED[0]]
    framed = [("Choose.", f"{one}\n{options}") for one in ASKED]
    assert questions(read("instruction", rows((ASKED[0], options), *framed))) == [ASKED[0], *ASKED]


EMERGENCY = """A 54-year-old man is brought in after a fire. On assessment:
A: airway patent, with soot in the nostrils
B: respiratory rate 34
C: blood pressure 92/60
D: GCS 13
Which is the most appropriate next step?"""


@pytest.mark.parametrize("options", ["", "\nA. Intubation\nB. A chest drain\nAnswer:"])
def test_a_lettered_list_before_what_is_asked_may_be_part_of_it(read: Read, options: str) -> None:
    assert questions(read("instruction", [{"prompt": EMERGENCY + options, "completion": "A"}])) == [EMERGENCY]


@pytest.mark.parametrize("asked", ["Scurvy is a lack of what?", "Name what scurvy is a lack of."])
def test_options_before_a_question_are_no_part_of_it(read: Read, asked: str) -> None:
    row = {"prompt": f"Options:\nA. Iron\nB. Vitamin C\n\nQuestion: {asked}", "completion": "B"}
    assert questions(read("instruction", [row])) == [f"Options:\nQuestion: {asked}"]


FOR_AN_OPTION = [
    "Which option is correct?",
    "What is the right answer?",
    "Which of the following statements is true?",
    "Which one of these is right ?",
    "What is the right one?",
    "正确答案是？",
]


@pytest.mark.parametrize("behind", FOR_AN_OPTION)
def test_options_are_no_part_of_what_they_complete_though_a_question_for_one_follows(read: Read, behind: str) -> None:
    row = {"prompt": f"Scurvy is caused by lack of\nA. Iron\nB. Vitamin C\n\n{behind}", "completion": "B"}
    assert questions(read("instruction", [row])) == ["Scurvy is caused by lack of"]


@pytest.mark.parametrize("frame", FOR_AN_OPTION)
def test_a_question_for_an_option_is_a_frame_around_what_options_complete(read: Read, frame: str) -> None:
    stems = [f"The hormone number {number} is made by" for number in range(10)]
    assert questions(read("instruction", rows(*((frame, stem) for stem in stems)))) == stems


@pytest.mark.parametrize(
    "asked",
    ["Which of the following is the right next step?", "What is the best treatment option?", "Which lung? The right?"],
)
def test_a_question_that_a_case_in_letters_is_told_for_is_no_question_for_an_option(read: Read, asked: str) -> None:
    case = EMERGENCY.replace("Which is the most appropriate next step?", asked)
    assert questions(read("instruction", [{"prompt": case, "completion": "x"}])) == [case]


@pytest.mark.parametrize("behind", ["正确答案是？", "What is the right one?"])
def test_what_asks_for_an_option_is_no_part_of_a_question_before_the_options(read: Read, behind: str) -> None:
    row = {"prompt": f"{ASKED[0]}\nA. Iron\nB. Vitamin C\n{behind}", "completion": "B"}
    assert questions(read("instruction", [row])) == [ASKED[0]]


@pytest.mark.parametrize(
    "asked", ["A. Iron\nB. Vitamin C", "A. fumigatus grows where?", "What is\nA. Vesalius known for?"]
)
def test_a_text_that_is_no_question_and_a_list_is_compared_whole(read: Read, asked: str) -> None:
    assert questions(read("instruction", [{"prompt": asked, "completion": "x"}])) == [asked]
