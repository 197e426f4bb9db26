from typing import Any

import pytest

from med42lib.formats.rejects import BadRecord, ExcludedRecord
from med42lib.readers.publishers.question import (
    Question,
    check_can_be_asked,
    checked_options,
    gold_of_class_label,
    gold_of_letter,
    gold_of_number,
    id_field,
    lettered,
)


@pytest.mark.parametrize(("answer", "gold"), [("1", 0), (1, 0), ("4", 3), (4, 3)])
def test_a_number_counts_from_one(answer: Any, gold: int) -> None:
    assert gold_of_number(answer, 4, field="ra") == gold


@pytest.mark.parametrize("answer", [0, "0", 5, "5", -1, "-1", "A", 1.0, True, [1], "²"])
def test_a_number_outside_the_options_is_refused_with_field_and_value(answer: Any) -> None:
    with pytest.raises(BadRecord, match="outside the options") as error:
        gold_of_number(answer, 4, field="ra")
    assert error.value.detail == f"ra = {answer!r}, options 1 to 4"


@pytest.mark.parametrize(("answer", "gold"), [("A", 0), ("E", 4)])
def test_a_letter_is_a_position(answer: str, gold: int) -> None:
    assert gold_of_letter(answer, 5, field="answer_idx") == gold


@pytest.mark.parametrize("answer", ["F", "a", "AB", 1, ["A"]])
def test_a_letter_outside_the_options_is_refused(answer: Any) -> None:
    with pytest.raises(BadRecord, match="outside the options"):
        gold_of_letter(answer, 5, field="answer_idx")


@pytest.mark.parametrize(("answer", "gold"), [(0, 0), (3, 3), ("a", 0), ("D", 3)])
def test_a_class_label_counts_from_zero_or_is_a_letter_of_either_case(answer: Any, gold: int) -> None:
    assert gold_of_class_label(answer, 4, field="cop") == gold


@pytest.mark.parametrize("answer", [4, -2, "e", "1", 1.0, True, [1]])
def test_a_class_label_outside_the_options_is_refused(answer: Any) -> None:
    with pytest.raises(BadRecord, match="outside the options"):
        gold_of_class_label(answer, 4, field="cop")


def test_minus_one_is_the_hubs_way_to_keep_an_answer_secret() -> None:
    with pytest.raises(BadRecord, match="the question has no answer"):
        gold_of_class_label(-1, 4, field="cop")


def test_an_id_is_text_or_a_whole_number() -> None:
    assert [id_field({"id": value}, "id") for value in (7, "7", " x ")] == ["7", "7", "x"]
    for value in (None, True, 1.5, " "):
        with pytest.raises(BadRecord, match="id is"):
            id_field({"id": value}, "id")


@pytest.mark.parametrize("read", [gold_of_number, gold_of_letter, gold_of_class_label])
@pytest.mark.parametrize("answer", [None, ""])
def test_no_answer_is_a_reason_of_its_own(read: Any, answer: Any) -> None:
    with pytest.raises(BadRecord, match="the question has no answer"):
        read(answer, 4, field="ra")


def test_options_lose_the_space_around_them_and_may_repeat() -> None:
    assert checked_options([" a", "b\n", "a"]) == ("a", "b", "a")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["a"], "needs 2 to 26 options"),
        (["a"] * 27, "needs 2 to 26 options"),
        (["a", " "], "an option is blank"),
        (["a", None], "an option is missing"),
        (["a", 3], "an option is not text"),
    ],
)
def test_too_few_options_and_blank_ones_are_refused(options: list[Any], reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        checked_options(options)


def test_lettered_options_come_in_the_order_of_their_letters() -> None:
    assert lettered({"B": "two", "A": "one"}) == ["one", "two"]
    assert lettered({}) == []


@pytest.mark.parametrize("letters", ["AC", "ab", "BC", ["A", "BB"]])
def test_options_under_other_letters_are_refused_with_what_they_are(letters: Any) -> None:
    with pytest.raises(BadRecord, match="not lettered A, B, C") as error:
        lettered(dict.fromkeys(letters, "x"))
    assert error.value.detail == repr(list(letters))


@pytest.mark.parametrize(
    ("written", "option"),
    [
        ('Pulmonary embolism\n"', "Pulmonary embolism"),
        ("Pulmonary\r\n embolism", "Pulmonary embolism"),
        ("Pulmonary\u2028embolism\v", "Pulmonary embolism"),
        ('"Have you\nslept?"', '"Have you slept?"'),
        ('He said\n"No"\n"', 'He said "No"'),
        ('5"', '5"'),
    ],
)
def test_an_option_is_one_line_without_a_quote_that_opens_nowhere(written: str, option: str) -> None:
    assert checked_options([written, "x"]) == (option, "x")


def question(text: str, *options: str, context: str = "") -> Question:
    return Question("", text, options or ("Zinc", "Iron", "Lead", "Gold"), 1, context)


@pytest.mark.parametrize(
    "asked",
    [
        question("Which marker shows a holocrine gland?", "A", "B", "C", "D"),
        question("Most probable chance of caries is at:", "Point A", "Point B", "Point C", "Point D"),
        question("A man is pale. Which region of the slide is meant?", "B", "C", "E", "D."),
        question("Name the structure marked with arrow"),
        question("A man coughs.\nThe inclusions indicated by the arrows consist of which of these?"),
        question("Which muscle is not supplied by the nerve marked in the diagram?"),
        question("Figure depicts:"),
        question("The instrument shown in fig is used for"),
        question("What is the best management of the case shown?"),
        question("Diagnosis of the following ECG-"),
        question("The B pattern belongs to (Figure was not provided in the exam):"),
        question("What is the diagnosis based on the CT scan given below?"),
    ],
)
def test_a_question_about_a_figure_that_is_not_there_is_excluded(asked: Question) -> None:
    with pytest.raises(ExcludedRecord, match="the question is about a figure that is not there"):
        check_can_be_asked(asked)


@pytest.mark.parametrize(
    "asked",
    [
        question("Histrionic personality comes under which cluster?", "A", "B", "C", "D"),
        question("Which hepatitis virus is a DNA virus?", "A", "B", "C", "D"),
        question("Which Child-Pugh class has the worst prognosis?", "A", "B", "C"),
        question("Of which grade is a recommendation of aspirin?", "A", "B", "C", "D"),
        question("Which orbital penetrates most?", "p.", "d.", "s.", "F."),
        question("A photograph of the rash is shown. What is the most likely diagnosis?"),
        question("The most probable origin of the pathology of this picture?"),
        question("Which of the following figures for albumin defines microalbuminuria?"),
        question("What is true of nodal metastasis that is not seen on CT scan?"),
        question("Urea marked with 13C in exhaled air serves to identify:"),
        question("Which of the drugs listed below is safe?"),
        question("Which of the following changes is seen in this patient's labs, if a patient has fever?"),
    ],
)
def test_things_with_letters_for_names_and_vignettes_with_a_figure_besides_are_asked(asked: Question) -> None:
    check_can_be_asked(asked)


@pytest.mark.parametrize(
    "stub",
    [
        "Which of the following would have prevented this patient's condition?",
        "What is the most likely diagnosis in this newborn?",
        "Which drug should the above patient take",
    ],
)
def test_a_question_about_a_patient_who_is_not_described_is_excluded(stub: str) -> None:
    with pytest.raises(ExcludedRecord, match="the question is about a patient who is not described"):
        check_can_be_asked(question(stub))
    check_can_be_asked(question(f"A 30-year-old man coughs. {stub}"))
    check_can_be_asked(question(stub, context="A 30-year-old man coughs."))


@pytest.mark.parametrize(
    "text",
    ["What should be given to a patient with scurvy, if this patient is pregnant?", "When does the patient relapse?"],
)
def test_a_patient_described_in_the_question_itself_is_enough(text: str) -> None:
    check_can_be_asked(question(text))


def test_a_question_whose_options_all_say_the_same_is_excluded() -> None:
    with pytest.raises(ExcludedRecord, match="all options say the same"):
        check_can_be_asked(question("Which?", "Zinc", "Zinc.", "Zinc "))
