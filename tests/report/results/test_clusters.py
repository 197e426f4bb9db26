import random
import tracemalloc
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from med42lib.formats.records import Asked, BenchmarkItem, Origin
from med42lib.report.results import clusters
from med42lib.report.results.clusters import cluster

NUMBERS = count()
OTHERS = [
    "A driver of 55 has pain in the jaw on effort. What is the best next step?",
    "Which enzyme of the urea cycle is most often deficient?",
    "The nerve that is at risk when the fibula breaks at its neck is the",
    "Vitamin K antagonists act upon which coagulation factors?",
    "What is the commonest tumour of the parotid gland?",
    "The drug of choice in absence seizures is",
]


INSTRUCTION = (
    "The following is a question of an examination for doctors. Read it with care, choose the one best answer, and "
    "give no more than the letter that stands before it."
)
VOCABULARY = [f"word{number}" for number in range(2000)]


def item(question: str, context: str = "", group: str = "", benchmark: str = "medqa") -> BenchmarkItem:
    id = f"{benchmark}/{next(NUMBERS)}"
    return BenchmarkItem(id, benchmark, question, context, ("a", "b"), 0, Origin(id, "f", 1), group=group)


def vignettes(num: int, questions: int, *, before: str = "") -> list[BenchmarkItem]:
    """Questions of 8 words, so many to each vignette of 60, one vignette after the other."""
    draw = random.Random(num)
    texts = [" ".join(draw.sample(VOCABULARY, 60)) for _ in range(num)]
    asked = [f"{text} {' '.join(draw.sample(VOCABULARY, 8))}?" for text in texts for _ in range(questions)]
    return [item(f"{before} {text}") for text in asked]


def together(items: list[BenchmarkItem], matched: dict[str, str] | None = None) -> list[set[int]]:
    """The clusters of more than one item, by positions."""
    numbers = cluster(items, matched or {})
    found = [set(np.flatnonzero(numbers == number).tolist()) for number in range(numbers.max() + 1)]
    return [members for members in found if len(members) > 1]


def test_questions_of_other_words_are_each_for_themselves() -> None:
    assert together([item(text) for text in OTHERS]) == []
    assert together([item(text) for text in OTHERS[:1]]) == []


def test_a_reworded_question_belongs_to_the_first() -> None:
    items = [*map(item, OTHERS), item("Which urea cycle enzyme is deficient most often?")]
    assert together(items) == [{1, 6}]


def test_questions_on_one_passage_belong_together() -> None:
    items = [
        *map(item, OTHERS),
        item("Does it work?", "We treated 40 patients."),
        item("Safe?", "We treated 40 patients."),
    ]
    assert together(items) == [{6, 7}]


def test_leaked_questions_belong_together_by_the_training_example_that_they_match() -> None:
    items = [item(text) for text in OTHERS]
    assert together(items, {items[0].id: "headqa/1", items[3].id: "headqa/1", items[4].id: "headqa/2"}) == [{0, 3}]


def test_what_is_joined_through_another_is_one_cluster() -> None:
    items = [*map(item, OTHERS), item("Which urea cycle enzyme is deficient most often?")]
    assert together(items, {items[6].id: "headqa/1", items[2].id: "headqa/1"}) == [{1, 2, 6}]


def test_phrases_of_every_question_join_none() -> None:
    beginnings = [f"Which of the following is true of {name}?" for name in ("gout", "scurvy", "mumps", "cholera")]
    fillers = [f"{text} Case {number} of ward {number * 7}." for number in range(40) for text in OTHERS[:1]]
    assert not [c for c in together([*map(item, beginnings * 1), *map(item, fillers)]) if c & {0, 1, 2, 3}]


@pytest.mark.parametrize(("num", "questions"), [(30, 2), (20, 3), (10, 6), (100, 6)])
@pytest.mark.parametrize("before", ["", INSTRUCTION])
def test_questions_on_one_vignette_belong_together_in_benchmarks_of_any_size(
    num: int, questions: int, before: str
) -> None:
    expected = [set(range(first, first + questions)) for first in range(0, num * questions, questions)]
    assert together(vignettes(num, questions, before=before)) == expected


def test_identical_questions_belong_together_however_many_there_are() -> None:
    items = [*map(item, OTHERS), *(item("Oxygen is used in:") for _ in range(6))]
    assert together(items) == [set(range(6, 12))]


def test_the_same_few_words_above_other_options_are_no_identical_questions() -> None:
    same = [item("Which is true?") for _ in range(4)]
    others = [replace(other, options=(f"{number} is", "b")) for number, other in enumerate(same)]
    assert together([*map(item, OTHERS), *others]) == []
    tasks = [replace(task, asked=Asked(f"{number}?", "\n", "none")) for number, task in enumerate(same)]
    assert together([*map(item, OTHERS), *tasks]) == []


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_an_instruction_of_most_questions_joins_none(share: float) -> None:
    draw = random.Random(1)
    told = [INSTRUCTION if number < 40 * share else "" for number in range(40)]
    texts = [f"{text} Which of the following is true of {' '.join(draw.sample(VOCABULARY, 4))}?" for text in told]
    assert together([item(text) for text in texts]) == []


def test_an_instruction_is_one_of_its_benchmark_however_large_the_others_are() -> None:
    draw = random.Random(1)
    told = [item(f"{INSTRUCTION} {draw.choice(VOCABULARY)}?", benchmark="ward_exam") for _ in range(10)]
    assert together([*vignettes(50, 1), *told]) == []


def test_two_diseases_in_the_same_short_story_are_two_questions() -> None:
    story = "A farmer aged 51 sits in the waiting room and looks worn out. All results point to"
    asked = "Duvilitis. What should the family stay away from?", "Guminemia. What did the family probably notice first?"
    assert together([*map(item, OTHERS), *(item(f"{story} {text}") for text in asked)]) == []


def test_a_phrase_of_examinations_in_two_long_questions_does_not_join_them() -> None:
    asked = "Which of the following is the most appropriate next step in the management of this patient?"
    assert together([item(f"{text.question} {asked}") for text in vignettes(20, 1)[:2]] + vignettes(20, 1)[2:]) == []


def test_questions_of_a_group_that_their_owner_names_belong_together_within_a_benchmark() -> None:
    items = [*map(item, OTHERS), item("Next?", group="case 1"), item("Cause?", group="case 1")]
    elsewhere = item("Prognosis?", group="case 1", benchmark="ward_exam")
    assert together([*items, elsewhere]) == [{6, 7}]


@pytest.mark.parametrize("num", [2, 20, 200])
def test_one_question_asked_of_many_contexts_is_as_many_questions(num: int) -> None:
    draw = random.Random(num)
    reports = [" ".join(draw.sample(VOCABULARY, 40)) for _ in range(num)]
    asked = "Does this report of a chest radiograph that was taken in the emergency department mention pneumonia?"
    assert together([*map(item, OTHERS), *(item(asked, report) for report in reports)]) == []
    assert together([*map(item, OTHERS), *(item(asked, reports[0]) for _ in range(num))]) == [set(range(6, 6 + num))]


def test_several_questions_on_each_of_many_contexts_belong_together_by_their_context() -> None:
    draw = random.Random(1)
    reports = [" ".join(draw.sample(VOCABULARY, 40)) for _ in range(30)]
    asked = "Does the report mention pneumonia?", "Is there a fracture of a rib?"
    items = [item(question, report) for report in reports for question in asked]
    assert together(items) == [{first, first + 1} for first in range(0, 60, 2)]


def test_short_contexts_of_a_long_question_are_as_many_questions_in_a_large_benchmark() -> None:
    asked = "Does this report of a chest radiograph that was taken in the emergency department mention pneumonia?"
    found = ["Clear lungs.", "Left basal opacity.", "Old rib fracture.", "Large heart, small effusion."]
    assert together([*vignettes(300, 1), *(item(asked, report, benchmark="ward_exam") for report in found)]) == []


def test_many_questions_are_compared_in_blocks_which_changes_no_pair_and_holds_few_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw, found, peaks = random.Random(1), [], []
    words = [draw.sample(VOCABULARY, 25) for _ in range(1500)]
    words += [[*said[:20], "other"] for said in words[::100]]
    for rows in (len(words), 64):
        monkeypatch.setattr(clusters, "_ROWS_AT_ONCE", rows)
        tracemalloc.start()
        found.append(sorted(clusters._near_duplicates(words)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(found[0]) == 15
    assert found[0] == found[1]
    assert peaks[1] < peaks[0] / 3
