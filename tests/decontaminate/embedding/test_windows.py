import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.decontaminate.embedding.questions import questions_of_examples, questions_of_items
from med42lib.decontaminate.embedding.windows import Windows, cut_text, to_pieces
from med42lib.formats.dataset import row_of
from med42lib.formats.records import BenchmarkItem, Example


def cut(text: str, max_tokens: int) -> Windows:
    """Cut a text whose tokens are its words and single marks."""
    places = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    return cut_text(text, np.array(places, np.intp).reshape(-1, 2), max_tokens)


def test_windows_begin_and_end_with_sentences_and_overlap() -> None:
    windows = cut("A b c. D e f. G h i. J k l? M n o.", 8)

    assert windows.whole == ("A b c. D e f.", "D e f. G h i.", "G h i. J k l?", "J k l? M n o.")
    assert {"A b c.", "D e f.", "G h i.", "J k l?", "M n o."} <= {*windows.finer}
    assert windows.asking == "J k l?"


def test_a_text_that_asks_nothing_ends_with_what_it_is_asked_by() -> None:
    assert cut("A b c. D e f. Name the vein\nof Galen", 6).asking == "of Galen"


def test_a_text_without_sentences_is_cut_between_words_and_one_without_words_anywhere() -> None:
    assert cut("a b c d e f g", 4).whole == ("a b c d", "c d e f", "e f g")
    assert cut("?!?!?!", 4).whole == ("?!?!", "?!?!")


@given(st.lists(st.sampled_from([" ", ". ", "? ", "\n"]), min_size=1, max_size=80), st.integers(2, 20))
def test_every_window_fits_and_together_they_hold_the_whole_text(ends: list[str], max_tokens: int) -> None:
    windows = cut("".join(f"{number}{end}" for number, end in enumerate(ends)), max_tokens)

    tokens = [re.findall(r"\w+|[^\w\s]", window) for window in (*windows.whole, *windows.finer)]
    assert max(map(len, tokens)) <= max_tokens
    assert {int(word) for window in windows.whole for word in re.findall(r"\d+", window)} == {*range(len(ends))}


def test_long_texts_are_replaced_by_windows_and_what_they_cost_is_counted(
    example: Callable[..., Example], item: Callable[..., BenchmarkItem]
) -> None:
    examples = questions_of_examples(
        [row_of(example(n, text)) for n, text in enumerate(["short", "a long text"])], text="question", where="here"
    )
    items = questions_of_items([item(1, "a long text"), item(2, "short")], text="question", where="here")

    pieces = to_pieces(examples, items, {"a long text": Windows(("a long", "long text"), ("a", "text"), "text")})

    assert pieces.texts == ["short", "a long", "long text", "a", "text"]
    assert (pieces.train_rows.tolist(), pieces.train_starts_N.tolist()) == ([0, 1, 2, 3, 4], [0, 1])
    assert (pieces.item_rows.tolist(), pieces.item_starts_M.tolist()) == ([1, 2, 4, 0], [0, 3])
    assert (pieces.num_long, pieces.num_windows) == (1, 4)
    assert pieces.long_share == pytest.approx(20 / 25)
