import warnings
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.assemble.mixing.select import Counts, Keys, select
from tests.assemble.small_sources import keys_of, settings

TEXTS = [f"text {number}" for number in range(60)]
Chosen = list[tuple[str, str]]


def choose(rows: dict[str, list[str]], sources: dict[str, Any] | None = None, **others: Any) -> tuple[Chosen, Any]:
    """Select from sources whose rows say these texts; gives (source, text) in the mixture's order, and the counts."""
    names = sorted(rows)
    config = settings(sources or {name: {"target": "all"} for name in names}, **others)
    keys = {name: keys_of(rows[name], source=name, seed=config.seed) for name in names}
    chosen, counts = select(config, names, [keys[name] for name in names])
    said = [(names[row["source"]], _text(rows, keys, names[row["source"]], int(row["row"]))) for row in chosen]
    return said, dict(zip(names, counts, strict=True))


def _text(rows: dict[str, list[str]], keys: dict[str, Keys], name: str, row: int) -> str:
    return rows[name][int(keys[name]["sequence"][row])]


def sample(texts: list[str], target: Any, **others: Any) -> list[str]:
    chosen, _ = choose({"headqa": texts}, {"headqa": {"target": target}}, **others)
    return [text for _, text in chosen]


@given(st.permutations(TEXTS), st.integers(1, 70))
def test_the_order_of_rows_does_not_change_the_sample(shuffled: list[str], target: int) -> None:
    assert sample(shuffled, target) == sample(TEXTS, target)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 3))
def test_growing_the_target_keeps_what_was_chosen_before_and_its_order(one: int, other: int, seed: int) -> None:
    small, large = (sample(TEXTS, target, seed=seed) for target in sorted([one, other]))
    assert [text for text in large if text in set(small)] == small


@given(st.integers(1, 60), st.text(max_size=9))
def test_one_more_row_pushes_out_at_most_one(target: int, extra: str) -> None:
    before, after = set(sample(TEXTS, target)), set(sample([*TEXTS, extra], target))
    assert after - before <= {extra}
    assert len(before - after) <= 1


@given(st.lists(st.sampled_from(["a b", "A B", "a  b", "c", "C", "d"]), max_size=20), st.randoms())
def test_which_of_several_rows_that_say_the_same_is_kept_does_not_depend_on_their_order(
    texts: list[str], random: Any
) -> None:
    shuffled = random.sample(texts, len(texts))
    assert sample(shuffled, "all") == sample(texts, "all")
    assert len(sample(texts, "all")) == len({"".join(text.casefold().split()) for text in texts})


def test_of_rows_that_are_equal_the_first_read_is_kept() -> None:
    keys = keys_of(["twice", "other", "twice"])
    chosen, _ = select(settings({"headqa": {"target": "all"}}), ["headqa"], [keys[::-1].copy()])
    assert set(keys["sequence"][chosen["row"]]) == {0, 1}


@pytest.mark.parametrize(("knob", "sampled"), [("drop", 2), ("keep", 5)])
def test_rows_that_say_the_same_are_counted_and_dropped_or_kept(knob: str, sampled: int) -> None:
    said, counts = choose({"headqa": ["Fever?", "fever ?", "FEVER?", "Cough?", "Cough?"]}, duplicates=knob)
    assert (counts["headqa"].duplicates, counts["headqa"].kept, len(said)) == (3, sampled, sampled)


@pytest.mark.parametrize(("knob", "medquad"), [("keep", ["a", "b"]), ("drop", ["b"])])
def test_a_row_that_an_earlier_source_has_is_counted_and_kept_or_dropped(knob: str, medquad: list[str]) -> None:
    said, counts = choose({"medquad": ["a", "b"], "headqa": ["A", "c"]}, duplicates_across_sources=knob)
    assert sorted(text for name, text in said if name == "medquad") == medquad
    assert sorted(text for name, text in said if name == "headqa") == ["A", "c"]
    assert [counts[name].duplicates_across_sources for name in ("headqa", "medquad")] == [0, 1]


def test_a_row_of_three_sources_stays_in_the_first_alone() -> None:
    rows = {name: ["same", name] for name in ("medquad", "headqa", "pubmedqa")}
    said, counts = choose(rows, duplicates_across_sources="drop")
    assert sorted(said) == [("headqa", "headqa"), ("headqa", "same"), ("medquad", "medquad"), ("pubmedqa", "pubmedqa")]
    assert [counts[name].duplicates_across_sources for name in sorted(rows)] == [0, 1, 1]


def test_a_row_of_the_first_and_the_third_source_is_found_too() -> None:
    _, counts = choose({"headqa": ["same"], "medquad": ["other"], "pubmedqa": ["same", "third"]})
    assert [count.duplicates_across_sources for count in counts.values()] == [0, 0, 1]


def test_length_limits_leave_out_and_count_what_is_outside_them() -> None:
    texts = ["x" * length for length in range(1, 11)]
    said, counts = choose({"headqa": texts}, min_characters=3, max_characters=8)
    assert sorted(len(text) for _, text in said) == [3, 4, 5, 6, 7, 8]
    assert (counts["headqa"].too_short, counts["headqa"].too_long, counts["headqa"].kept) == (2, 2, 6)


def test_limits_beyond_any_length_keep_or_leave_out_everything() -> None:
    assert len(sample(TEXTS, "all", max_characters=2**40)) == 60
    assert sample(TEXTS, "all", min_characters=2**40) == []


@pytest.mark.parametrize(
    ("target", "sampled", "short_by", "left_over"),
    [(1, 1, 0, 59), (59, 59, 0, 1), (60, 60, 0, 0), (61, 60, 1, 0), (1000, 60, 940, 0), ("all", 60, 0, 0)],
)
def test_over_and_under_supply_are_counted_and_a_shortage_is_never_filled(
    target: Any, sampled: int, short_by: int, left_over: int
) -> None:
    said, counts = choose({"headqa": TEXTS}, {"headqa": {"target": target}})
    assert len(said) == len(set(said)) == counts["headqa"].sampled == sampled
    assert (counts["headqa"].short_by, counts["headqa"].left_over) == (short_by, left_over)


def test_a_share_is_of_the_stages_total() -> None:
    sources = {"headqa": {"target": "25.5 %"}, "medquad": {"target": "50%"}}
    _, counts = choose({"headqa": TEXTS, "medquad": TEXTS}, sources, total=200)
    assert [(c.target, c.sampled, c.short_by) for c in counts.values()] == [(51, 51, 0), (100, 60, 40)]


@pytest.mark.parametrize("repeat", [1, 2, 3, 7, 100])
def test_each_row_taken_stands_as_often_as_repeat_says(repeat: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said, counts = choose({"headqa": TEXTS}, {"headqa": {"target": 20, "repeat": repeat}})
    assert set(Counter(said).values()) == {repeat}
    assert {text for _, text in said} == set(sample(TEXTS, 20))
    assert (counts["headqa"].sampled, counts["headqa"].repeated) == (20 * repeat, 20 * (repeat - 1))


def test_copies_are_spread_over_the_mixture_and_more_of_them_move_nothing() -> None:
    config = {n: settings({"headqa": {"target": "all", "repeat": n}}) for n in (2, 5)}
    two, five = (select(config[n], ["headqa"], [keys_of(TEXTS)])[0] for n in (2, 5))
    assert sum(here == there for here, there in pairwise(two["row"].tolist())) < 6
    np.testing.assert_array_equal(five[five["copy"] < 2], two)


def test_a_repeated_shortage_is_short_by_what_the_source_lacks() -> None:
    _, counts = choose({"headqa": TEXTS}, {"headqa": {"target": 70, "repeat": 3}})
    assert (counts["headqa"].sampled, counts["headqa"].short_by) == (180, 10)


def test_another_seed_chooses_others_in_another_order() -> None:
    assert set(sample(TEXTS, 30, seed=1)) != set(sample(TEXTS, 30, seed=2))
    assert sample(TEXTS, "all", seed=1) != sample(TEXTS, "all", seed=2)


def test_sources_are_mixed_evenly() -> None:
    said, _ = choose({"headqa": TEXTS, "medquad": TEXTS})
    changes = sum(here != there for (here, _), (there, _) in pairwise(said))
    assert 40 <= changes <= 80


@pytest.mark.parametrize("repeat", [1, 3])
def test_a_source_of_which_little_is_taken_is_spread_over_the_whole_mixture(repeat: int) -> None:
    many = [f"text {number}" for number in range(5000)]
    sources = {"headqa": {"target": "all"}, "medquad": {"target": 200, "repeat": repeat}}
    said, _ = choose({"headqa": many[:400], "medquad": many}, sources)
    quarter = len(said) // 4
    for start in range(0, len(said), quarter):
        share = sum(name == "medquad" for name, _ in said[start : start + quarter]) / (50 * repeat)
        assert 0.6 < share < 1.4


def test_a_single_row_stands_anywhere() -> None:
    sources = {"headqa": {"target": "all"}, "medquad": {"target": 1}}
    places = [
        [name for name, _ in choose({"headqa": TEXTS, "medquad": TEXTS}, sources, seed=seed)[0]].index("medquad")
        for seed in range(20)
    ]
    assert min(places) < 20
    assert max(places) > 40


@given(
    st.lists(st.text("aA b", max_size=4), max_size=30),
    st.lists(st.text("aA b", max_size=4), max_size=30),
    st.sampled_from([2, 5, "all"]),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_the_counts_add_up(one: list[str], other: list[str], target: Any, repeat: int, shortest: int) -> None:
    sources = {name: {"target": target, "repeat": repeat} for name in ("headqa", "medquad")}
    said, counts = choose(
        {"headqa": one, "medquad": other},
        sources,
        min_characters=shortest,
        max_characters=3,
        duplicates_across_sources="drop",
    )
    for texts, count in zip((one, other), counts.values(), strict=True):
        aside = count.too_short + count.too_long + count.duplicates + count.duplicates_across_sources
        assert len(texts) == aside + count.kept
        assert count.sampled - count.repeated == min(count.kept, count.target) == count.kept - count.left_over
        assert count.kept + count.short_by >= count.target
    assert len(said) == sum(count.sampled for count in counts.values())


def test_a_source_without_rows_gives_none() -> None:
    said, counts = choose({"headqa": [], "medquad": TEXTS})
    assert counts["headqa"] == Counts()
    assert len(said) == 60
