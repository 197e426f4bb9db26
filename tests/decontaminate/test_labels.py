from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from med42lib.decontaminate.labels import Said, label_matches, label_of
from med42lib.decontaminate.matches import Matches
from med42lib.formats.contamination import Label, Pair
from med42lib.formats.dataset import write_examples
from med42lib.formats.prompt import multiple_choice
from med42lib.formats.records import BenchmarkItem, Example, Generation, write_items
from med42lib.store.artifacts import Source
from tests.conftest import REPOSITORY

SCURVY = "Which vitamin deficiency causes scurvy?"
SCURVY_OPTIONS = ("Vitamin A", "Vitamin C", "Vitamin D", "Vitamin K")
GENERIC = "Which of the following is true?"


def said(question: str, answer: str, options: tuple[str, ...] = ()) -> Said:
    return Said((question,), (multiple_choice(question, options) if options else question,), (answer,))


@pytest.fixture
def scurvy(item: Callable[..., BenchmarkItem]) -> BenchmarkItem:
    return replace(item(1, SCURVY), options=SCURVY_OPTIONS, gold=1)


@pytest.mark.parametrize(
    ("trained", "label"),
    [
        # Case, signs and spaces make no other question; a free answer may say more than the option.
        (said("which vitamin  deficiency causes Scurvy", "It is lack of vitamin C, found in fruit."), "same_answer"),
        (said(SCURVY, "D. Vitamin C", ("Iron", "Zinc", "Lead", "Vitamin C")), "same_answer"),
        # What explains the answer is not the answer, where options are shown.
        (said(SCURVY, "A. Vitamin D\nNot vitamin C.", ("Vitamin D", "Vitamin C", "Zinc", "Lead")), "other_options"),
        (said(SCURVY, "B. Ascorbic acid", ("Retinol", "Ascorbic acid")), "other_options"),
        (said("Scurvy is due to lack of what?", "C. Vitamin C", ("Iron", "Zinc", "Vitamin C")), "reworded"),
        (said("Scurvy is not due to which?", "A. Iron", ("Iron", "Vitamin A", "Vitamin D")), "reworded"),
        (said("Who described scurvy first?", "James Lind"), "topic_only"),
        (said("Scurvy: vitamin?", "Vitamin CX"), "topic_only"),
    ],
)
def test_a_pair_is_labelled_by_what_both_sides_say(scurvy: BenchmarkItem, trained: Said, label: str) -> None:
    assert label_of(scurvy, trained) == label


@pytest.mark.parametrize(
    ("answer", "options", "label"),
    [
        ("A. Cones see colours", ("Cones see colours", "Rods see colours"), "stem_only"),
        ("A. Kidneys make renin", ("Kidneys make renin", "Rods see colours"), "same_answer"),
        ("B. There are four kidneys", ("Kidneys make renin", "There are four kidneys"), "other_options"),
    ],
)
def test_a_generic_stem_alone_is_no_question(
    item: Callable[..., BenchmarkItem], answer: str, options: tuple[str, ...], label: str
) -> None:
    kidneys = replace(item(1, GENERIC), options=("Kidneys make renin", "There are four kidneys"), gold=0)
    assert label_of(kidneys, said(GENERIC, answer, options)) == label
    assert label_of(kidneys, said("Which statement is true?", answer, options)) in (label, "reworded")


@pytest.mark.parametrize(
    "question", ["What causes scurvy?", "Drug of choice in leptospirosis?", "下列哪种维生素缺乏会导致坏血病？"]
)
def test_a_short_question_asked_word_for_word_is_a_leak_whatever_the_words_of_the_answer(
    item: Callable[..., BenchmarkItem], question: str
) -> None:
    short = replace(item(1, question), options=SCURVY_OPTIONS, gold=1)
    assert label_of(short, said(question, "As everyone knows: ascorbate.")) == "other_options"


def test_a_short_question_asked_in_other_words_is_a_stem_where_the_answer_is_another(
    item: Callable[..., BenchmarkItem],
) -> None:
    short = replace(item(1, "What causes scurvy?"), options=SCURVY_OPTIONS, gold=1)
    assert label_of(short, said("Who described scurvy?", "James Lind")) == "stem_only"


def test_options_that_tell_nothing_leave_it_to_likeness(item: Callable[..., BenchmarkItem]) -> None:
    verdict = replace(item(1, "Does aspirin prevent colorectal cancer?"), options=("yes", "no", "maybe"))
    trained = said("Is colorectal cancer prevented by aspirin?", "Long-term trials found fewer tumours.")
    assert label_of(verdict, trained) == "reworded"
    assert label_of(replace(verdict, options=("in smokers", "in women")), trained) == "topic_only"


@pytest.mark.parametrize(
    ("question", "trained", "label"),
    [
        # The letters of other options are no agreement.
        (
            GENERIC,
            said(GENERIC, "C. Iron is a metal", ("Rods see", "Cones do", "Iron is a metal", "So is lead")),
            "stem_only",
        ),
        (SCURVY, said(SCURVY, "B", SCURVY_OPTIONS), "same_answer"),
        (SCURVY, said(SCURVY, "B. Vitamin C", SCURVY_OPTIONS), "same_answer"),
        (SCURVY, said(SCURVY, "A. Vitamin A", SCURVY_OPTIONS), "other_options"),
        (SCURVY, said(SCURVY, "Lack of vitamin C; type B is rare."), "other_options"),
    ],
)
def test_options_that_are_letters_alone_are_no_words_of_the_matter(
    item: Callable[..., BenchmarkItem], question: str, trained: Said, label: str
) -> None:
    """Of a task of lm-eval, whose question has the options."""
    assert label_of(replace(item(1, question), options=("A", "B", "C", "D"), gold=1), trained) == label


def test_a_later_turn_of_a_conversation_is_a_question_too(scurvy: BenchmarkItem) -> None:
    rows = [{"prompter": text, "assistant": answer} for text, answer in (("Hello?", "Hello."), (SCURVY, "Vitamin C"))]
    assert label_of(scurvy, Said.of({"question": "Hello?", "exchanges": rows})) == "same_answer"


def test_the_readme_states_the_rules_that_the_report_shows() -> None:
    readme = (REPOSITORY / "med42lib/decontaminate/README.md").read_text()
    for label in Label:
        assert f"| {label.heading} | `{label.value}` | {label.rule} |" in readme


@pytest.mark.parametrize(
    ("answers", "trained", "label"),
    [
        (("Vitamin C", "Ascorbic acid"), said(SCURVY, "It is lack of ascorbic acid."), "same_answer"),
        (("Vitamin C",), said(SCURVY, "It is lack of iron."), "other_options"),
        (("Vitamin C",), said("Scurvy is lack of what?", "C. Vitamin C", ("Iron", "Zinc", "Vitamin C")), "reworded"),
        (("Vitamin C",), said("Who described scurvy first?", "James Lind"), "topic_only"),
        (("B",), said(SCURVY, "B"), "same_answer"),
        (("B",), said(SCURVY, "A. Vitamin B"), "other_options"),
        (("B",), said("Who described scurvy first?", "James Lind"), "reworded"),
    ],
)
def test_an_item_whose_answer_is_written_is_labelled_by_its_right_answers(
    item: Callable[..., BenchmarkItem], answers: tuple[str, ...], trained: Said, label: str
) -> None:
    how = Generation(SCURVY, answers, {})
    assert label_of(replace(item(1, SCURVY), options=(), gold=None, generation=how), trained) == label


def test_a_generic_stem_whose_written_answer_is_not_spoken_of_is_no_leak(item: Callable[..., BenchmarkItem]) -> None:
    how = Generation(GENERIC, ("Kidneys make renin",), {})
    kidneys = replace(item(1, GENERIC), options=(), gold=None, generation=how)
    assert label_of(kidneys, said(GENERIC, "Rods see colours")) == "stem_only"
    assert label_of(kidneys, said(GENERIC, "Kidneys make renin, and more.")) == "same_answer"


REPORT = "The lungs are clear. There is no pleural effusion or pneumothorax. The heart is of normal size and shape."
PNEUMONIA = "Does this report mention pneumonia?"


@pytest.mark.parametrize(
    ("context", "label"),
    [
        (REPORT, "same_answer"),
        (f"HISTORY: cough.\n{REPORT.upper()} Old fracture of a rib.", "same_answer"),
        (REPORT.replace("clear", "hyperinflated"), "same_answer"),
        ("There is a consolidation of the left lower lobe with an air bronchogram.", "stem_only"),
        ("There is no pleural effusion or pneumothorax, but an opacity at the right base.", "stem_only"),
    ],
)
def test_one_question_of_several_contexts_is_a_leak_only_where_the_context_is_the_same(
    item: Callable[..., BenchmarkItem], context: str, label: str
) -> None:
    asked = replace(item(1, PNEUMONIA), context=REPORT)
    trained = Said((PNEUMONIA,), (f"{context}\n{PNEUMONIA}",), ("yes",))
    assert label_of(asked, trained, of_several_contexts=True) == label
    assert label_of(asked, trained) == "same_answer"


def test_what_an_item_or_example_says_is_in_memory_once_of_however_many_pairs_it_is(
    example: Callable[..., Example], item: Callable[..., BenchmarkItem], tmp_path: Path
) -> None:
    examples, items = [example(n, SCURVY) for n in range(2)], [item(n, SCURVY) for n in range(2)]
    for name in ("dataset", "items"):
        (tmp_path / name).mkdir()
    write_examples(tmp_path / "dataset", examples)
    write_items(tmp_path / "items", items)
    pairs = [Pair(i.id, i.benchmark, e.id, e.source, 1.0, SCURVY, SCURVY) for i in items for e in examples]
    sources = Source(str(tmp_path / "dataset")), Source(str(tmp_path / "items"))
    found = label_matches(Matches(pairs, [], []), *sources, tell_stems_apart=False).pairs
    assert found[0].item_request.startswith(SCURVY)
    assert found[0].item_request is found[1].item_request
    assert found[0].example_request.endswith(SCURVY)
    assert found[0].example_request is found[2].example_request
