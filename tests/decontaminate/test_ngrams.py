import random
from collections.abc import Sequence

import pytest

from med42lib.decontaminate.ngrams import MOST_EXAMPLES, Shared, find_shared
from med42lib.decontaminate.words import words

VIGNETTE = (
    "A 67-year-old man with hypertension comes to the clinic because of a cough that began two weeks after a new drug. "
    "Which drug is the most likely cause?"
)
SHORT = "Which nerve innervates the diaphragm of the newborn?"  # eight words


def found(items: Sequence[str], *examples: str) -> list[Shared]:
    return find_shared(items, enumerate((text,) for text in examples))


def test_thirteen_words_in_a_row_are_found_whatever_their_case_and_signs_and_twelve_are_not() -> None:
    row = words(VIGNETTE)[5:18]
    assert found([VIGNETTE], f"X; {'... '.join(row).upper()} y") == [Shared(0, 0, 1 / 18)]
    assert found([VIGNETTE], " ".join(row[:12])) == []
    assert found([VIGNETTE], VIGNETTE) == [Shared(0, 0, 1.0)]


def test_of_a_shorter_item_all_words_have_to_stand_there_and_one_of_seven_words_is_not_looked_for() -> None:
    assert found([SHORT], f"Tell me: {SHORT} Thank you.") == [Shared(0, 0, 1.0)]
    assert found([SHORT], "Which nerve innervates the diaphragm of the dog?") == []
    seven = "Which nerve innervates the diaphragm of newborns?"
    assert found([seven], seven) == []


def test_no_n_gram_goes_from_one_text_or_example_into_the_next_or_over_a_word_that_is_not_the_items() -> None:
    half = len(SHORT) // 2
    first, second = SHORT[: SHORT.index(" ", half)], SHORT[SHORT.index(" ", half) :]
    assert find_shared([SHORT], [(0, (first, second)), (1, (first,)), (2, (second,))]) == []
    assert found([SHORT], f"{first} xylophone {second}") == []


def test_what_more_than_ten_examples_say_is_a_common_phrase_however_often_one_says_it() -> None:
    common = [f"{SHORT} {number}. {SHORT}" for number in range(MOST_EXAMPLES + 1)]
    assert found([SHORT], *common) == []
    assert [shared.example for shared in found([SHORT], *common[1:])] == list(range(MOST_EXAMPLES))


def test_items_that_share_an_n_gram_are_all_found() -> None:
    items = [VIGNETTE, "Anything else?", VIGNETTE.replace("67", "76")]
    shared = find_shared(items, [(41, ("Hello", VIGNETTE[40:]))])
    assert [(one.example, one.item) for one in shared] == [(41, 0), (41, 2)]


@pytest.mark.parametrize("seed", range(3))
def test_the_same_is_found_as_by_comparing_everything_with_everything(seed: int) -> None:
    """Few different words, so that there is much to find and much that nearly is."""
    draw = random.Random(seed)

    def text(longest: int) -> str:
        return " ".join(draw.choices("abcx", weights=(8, 1, 1, 0.2), k=draw.randint(1, longest)))

    items, examples = [text(30) for _ in range(40)], [text(60) for _ in range(120)]

    def grams(of: str, size: int) -> set[tuple[str, ...]]:
        split = of.split()
        return {tuple(split[n : n + size]) for n in range(len(split) - size + 1)}

    expected = []
    for number, item in enumerate(items):
        size = min(13, len(item.split()))
        own = grams(item, size) if size >= 8 else set()
        holders = {gram: [n for n, e in enumerate(examples) if gram in grams(e, size)] for gram in own}
        rare = {gram: held for gram, held in holders.items() if len(held) <= MOST_EXAMPLES}
        for example in range(len(examples)):
            count = sum(example in held for held in rare.values())
            if count:
                expected.append(Shared(example, number, count / len(own)))
    assert expected
    assert found(items, *examples) == expected
