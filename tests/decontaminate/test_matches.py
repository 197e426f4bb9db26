import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from med42lib.decontaminate.embedding.questions import Questions, questions_of_examples, questions_of_items
from med42lib.decontaminate.matches import Matches, find_matches, summarise, write_matches
from med42lib.decontaminate.similarity import Comparison
from med42lib.formats.contamination import Label, Pair
from med42lib.formats.dataset import row_of
from med42lib.formats.records import BenchmarkItem, Example, Exchange


@pytest.fixture
def examples(example: Callable[..., Example]) -> Questions:
    """Four examples with three texts; the first and the last ask the same."""
    asked = [("fever?", "cards"), ("cough?", "cards"), ("rash?", "forum"), ("fever?", "forum")]
    rows = [row_of(example(number, text, source)) for number, (text, source) in enumerate(asked)]
    return questions_of_examples(rows, text="question", where="here")


@pytest.fixture
def items(item: Callable[..., BenchmarkItem]) -> Questions:
    """Four items with three texts; `b/1` and `a/0` ask the same."""
    asked = [(1, "Fever is?", "b"), (0, "Fever is?", "a"), (2, "Cough is?", "b"), (3, "Heart is?", "b")]
    return questions_of_items([item(*values) for values in asked], text="question", where="here")


@pytest.fixture
def found(examples: Questions, items: Questions) -> Matches:
    """Item text 0 is like example texts 0 and 2, item text 1 like example text 1; item text 2 is like none."""
    comparison = Comparison(
        pair_train_P=np.array([0, 2, 1]),
        pair_item_P=np.array([0, 0, 1]),
        pair_cosine_P=np.array([0.95, 0.85, 0.812345678]),
        nearest_train_M=np.array([0, 1, 1]),
        nearest_cosine_M=np.array([0.95, 0.812345678, 0.3]),
    )
    return find_matches(examples, items, comparison)


def test_a_pair_of_texts_counts_for_every_record_that_has_them(found: Matches, examples: Questions) -> None:
    first, last = examples.ids[0], examples.ids[3]
    about_fever = [(pair.item_id, pair.example_id) for pair in found.pairs if pair.cosine == 0.95]

    assert set(about_fever) == {(item, example) for item in ("a/0", "b/1") for example in (first, last)}


def test_pairs_are_sorted_by_item_then_similarity_then_example(found: Matches) -> None:
    order = [(pair.item_id, -pair.cosine, pair.example_id) for pair in found.pairs]

    assert len(order) == 7
    assert order == sorted(order)


def test_a_pair_carries_both_texts_and_both_origins(found: Matches) -> None:
    pair = found.pairs[-1]

    assert (pair.item_id, pair.benchmark, pair.source) == ("b/2", "b", "cards")
    assert (pair.item_text, pair.example_text, pair.cosine) == ("Cough is?", "cough?", 0.8123457)


def test_contaminated_items_are_listed_once_with_their_highest_similarity(found: Matches) -> None:
    assert list(found.contaminated.items()) == [("a/0", 0.95), ("b/1", 0.95), ("b/2", 0.8123457)]


def test_of_several_turns_of_a_conversation_the_most_similar_counts(
    example: Callable[..., Example], item: Callable[..., BenchmarkItem]
) -> None:
    talk = replace(example(1, "fever?"), exchanges=(Exchange("fever?", "Heat."), Exchange("high fever?", "More heat.")))
    asked = questions_of_items([item(1, "Fever is?", "b")], text="question", where="here")
    comparison = Comparison(
        pair_train_P=np.array([0, 1]),
        pair_item_P=np.array([0, 0]),
        pair_cosine_P=np.array([0.85, 0.95]),
        nearest_train_M=np.array([1]),
        nearest_cosine_M=np.array([0.95]),
    )
    [pair] = find_matches(questions_of_examples([row_of(talk)], text="question", where="here"), asked, comparison).pairs
    assert pair.cosine == 0.95


def test_every_item_has_its_nearest_example_in_the_items_order(found: Matches, examples: Questions) -> None:
    assert [(entry.item_id, entry.example_id, entry.cosine) for entry in found.nearest] == [
        ("b/1", examples.ids[0], 0.95),
        ("a/0", examples.ids[0], 0.95),
        ("b/2", examples.ids[1], 0.8123457),
        ("b/3", examples.ids[1], 0.3),
    ]


def test_the_summary_counts_items_and_pairs(found: Matches, examples: Questions, items: Questions) -> None:
    assert summarise(found, examples, items) == {
        "benchmarks": {"a": {"items": 1, "contaminated": 1}, "b": {"items": 3, "contaminated": 2}},
        "sources": {"cards": 3, "forum": 4},
        "labels": {label.value: {"pairs": {"cosine": 0, "both": 0, "overlap": 0}, "items": 0} for label in Label},
        "detectors": {"cosine": 3, "both": 0, "overlap": 0, "neither": 1},
        "stems": {"pairs": 0, "items": 0, "items_otherwise_clean": 0},
    }


def test_pairs_are_counted_by_label_and_detector_with_stems_that_were_told_apart(
    found: Matches, examples: Questions, items: Questions
) -> None:
    first, second, third, *others = [replace(pair, label=Label.REWORDED) for pair in found.pairs]
    parted = Matches(
        [replace(third, detectors=["cosine", "ngrams"]), *others],
        found.nearest,
        [replace(first, item_id="b/3", detectors=["exact"])],
        [replace(pair, label=Label.STEM_ONLY) for pair in (first, second)],
    )

    counted = summarise(parted, examples, items)

    labels: Any = counted["labels"]
    assert labels["reworded"] == {"pairs": {"cosine": 4, "both": 1, "overlap": 1}, "items": 4}
    assert labels["stem_only"] == {"pairs": {"cosine": 2, "both": 0, "overlap": 0}, "items": 1}
    assert labels["topic_only"] == {"pairs": {"cosine": 0, "both": 0, "overlap": 0}, "items": 0}
    assert counted["detectors"] == {"cosine": 2, "both": 1, "overlap": 1, "neither": 0}


def test_sources_and_benchmarks_without_pairs_are_counted_too(examples: Questions, items: Questions) -> None:
    nothing = np.array([], np.intp)
    comparison = Comparison(nothing, nothing, np.array([]), np.zeros(3, np.intp), np.full(3, 0.1))

    found = find_matches(examples, items, comparison)

    assert found.contaminated == {}
    assert summarise(found, examples, items)["sources"] == {"cards": 0, "forum": 0}
    assert summarise(found, examples, items)["benchmarks"]["a"] == {"items": 1, "contaminated": 0}


def test_the_files_hold_what_was_found(found: Matches, tmp_path: Path) -> None:
    write_matches(tmp_path, found, threshold=0.8, summary={"benchmarks": {}})

    assert json.loads((tmp_path / "contaminated.json").read_text()) == {
        "threshold": 0.8,
        "items": {"a/0": 0.95, "b/1": 0.95, "b/2": 0.8123457},
    }
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert list(pairs[0]) == [field.name for field in fields(Pair)]
    nearest = [json.loads(line) for line in (tmp_path / "nearest.jsonl").read_text().splitlines()]
    assert len(pairs) == 7
    assert [list(row) for row in nearest] == [["item_id", "benchmark", "example_id", "cosine", "stem_only"]] * 4
    assert json.loads((tmp_path / "summary.json").read_text()) == {"benchmarks": {}}
