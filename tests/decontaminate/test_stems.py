from collections.abc import Callable
from dataclasses import replace

import pytest

from med42lib.decontaminate.stems import RUN, agrees, has_context, is_generic
from med42lib.formats.records import BenchmarkItem


@pytest.mark.parametrize(
    "question",
    [
        "Which of the following statements is true?",
        "Indicate the FALSE answer:",
        "All of the following are correct, EXCEPT",
        "Which statement about the kidneys is not correct?",
        "What is the most likely diagnosis?",
        "True about malaria is?",
    ],
)
def test_a_stem_of_the_words_of_any_examination_and_one_more_is_generic(question: str) -> None:
    assert is_generic(question)


@pytest.mark.parametrize(
    "question",
    [
        "Which vitamin deficiency causes scurvy?",
        "Which nerve innervates the diaphragm?",
        "Most common site of ectopic pregnancy is?",
        "¿Cuál de las siguientes afirmaciones es falsa?",
        "下列哪种维生素缺乏会导致坏血病？",
        "壊血病の原因となるビタミン欠乏はどれか。",
        "Pickling:",
    ],
)
def test_a_question_that_says_what_it_asks_is_not_generic_nor_is_one_in_a_language_that_is_not_known(
    question: str,
) -> None:
    assert not is_generic(question)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("A. Zinc\nB. Iron\nC. Lead", False),
        ("It is vitamin K, which ...", True),
        ("A. VITAMIN-K\nB. Iron", True),
        ("A. Vitamin C\nB. Vitamin D\nC. Lead", True),  # half of the options, not the right one
        ("A. Vitamin C\nB. Lead", False),
        ("Vitamin Kx", False),
        ("E. All of the above", False),
    ],
)
def test_an_example_agrees_that_speaks_of_the_right_option_or_of_half_of_all(
    item: Callable[..., BenchmarkItem], said: str, expected: bool
) -> None:
    options = ("Vitamin K", "Vitamin C", "Vitamin D", "Vitamin E", "All of the above")
    assert agrees(replace(item(1, "Which is true?"), options=options), said) == expected


def test_an_option_that_says_nothing_is_no_agreement_and_a_number_is_the_same_with_and_without_a_space(
    item: Callable[..., BenchmarkItem],
) -> None:
    options = ("3mm", "5mm", "All of the above")
    assert not agrees(replace(item(1, "Which is true?"), options=options, gold=2), "D. All of the above")
    assert agrees(replace(item(1, "Which is true?"), options=options, gold=0), "B. 3 mm")


@pytest.mark.parametrize(
    ("context", "said", "expected"),
    [
        ("Clear lungs.", "Lungs: clear lungs!", True),
        ("Clear lungs.", "Lungs clear.", False),
        # Four runs of words, of which two are half.
        ("a b c d e f g h", "a b c d e f", True),
        ("a b c d e f g h", "a b c d e", False),
    ],
)
def test_a_context_is_the_same_where_half_of_its_runs_of_words_are_or_all_of_few_words(
    context: str, said: str, expected: bool
) -> None:
    assert RUN == 5
    assert has_context(context, said) == expected
