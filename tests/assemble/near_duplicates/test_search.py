from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from med42lib.assemble.config import NearDuplicatesConfig
from med42lib.assemble.near_duplicates import search as module
from med42lib.assemble.near_duplicates.search import find_near_duplicates, summarise_pairs
from med42lib.formats import dataset
from med42lib.formats.dataset import write_examples
from med42lib.formats.records import Example, Exchange, Origin

IDS = ["b/0", "a/1", "a/2", "b/3", "a/4", "a/5"]


def pairs(*found: tuple[int, int]) -> np.ndarray:
    return np.array(found, np.int64).reshape(-1, 2)


def test_pairs_are_counted_within_and_across_sources() -> None:
    found = summarise_pairs(IDS, pairs((0, 1), (1, 2), (2, 3), (4, 5)))
    assert (found["pairs"], found["pairs_within_sources"], found["pairs_across_sources"]) == (4, 2, 2)
    assert found["pairs_by_sources"] == [
        {"sources": ["a", "a"], "pairs": 2},
        {"sources": ["a", "b"], "pairs": 2},
    ]
    assert found["rows_with_near_duplicates"] == 6


def test_a_cluster_is_what_pairs_link_and_the_largest_comes_first() -> None:
    found = summarise_pairs(IDS, pairs((4, 5), (0, 1), (1, 3)))
    assert found["clusters"] == 2
    assert found["largest_clusters"] == [
        {"rows": 3, "sources": {"a": 1, "b": 2}, "ids": ["b/0", "a/1", "b/3"]},
        {"rows": 2, "sources": {"a": 2}, "ids": ["a/4", "a/5"]},
    ]


def test_only_so_many_clusters_and_ids_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUM_CLUSTERS", 1)
    monkeypatch.setattr(module, "NUM_IDS", 2)
    found = summarise_pairs(IDS, pairs((0, 1), (1, 2), (4, 5)))
    assert found["clusters"] == 2
    assert [(cluster["rows"], cluster["ids"]) for cluster in found["largest_clusters"]] == [(3, ["b/0", "a/1"])]


@pytest.mark.parametrize("ids", [IDS, []])
def test_without_pairs_there_is_nothing(ids: list[str]) -> None:
    found = summarise_pairs(ids, pairs())
    assert (found["pairs"], found["clusters"], found["pairs_by_sources"], found["largest_clusters"]) == (0, 0, [], [])


LONG = (
    "Aspirin inhibits cyclooxygenase and so the making of prostaglandins, which lowers fever, eases pain and keeps "
    "platelets from clumping; low doses are given after a heart attack, and high ones no longer are. Children with a "
    "viral infection must not have it, since it can bring about a rare swelling of liver and brain."
)


def example(source: str, question: str, answer: str, number: int = 0) -> Example:
    exchanges = (Exchange(question, answer),)
    return Example(source, "MIT", "", exchanges, question, Origin(str(number), "file.json", number + 1))


def unlike(count: int) -> list[Example]:
    """Conversations that have nothing in common."""
    return [
        example("headqa", f"What is {n}x?", " ".join(f"{n}{letter}" for letter in "abcdefghij"), n)
        for n in range(count)
    ]


@pytest.fixture
def find(tmp_path: Path) -> Any:
    def find_in(examples: list[Example], **settings: Any) -> dict[str, Any]:
        write_examples(tmp_path, examples)
        return find_near_duplicates(NearDuplicatesConfig(**settings), tmp_path)

    return find_in


def test_planted_near_duplicates_are_found_within_and_across_sources(find: Any) -> None:
    planted = [
        example("medquad", "What does aspirin do?", LONG),
        example("medquad", "What does ASPIRIN do", LONG.replace("eases", "relieves")),
        example("headqa", "what does aspirin do?", LONG + " Indeed."),
    ]
    examples = [planted[0], *unlike(30), planted[1], *unlike(60)[30:], planted[2]]
    found = find(examples)
    assert (found["rows"], found["rows_compared"], found["complete"]) == (63, 63, True)
    assert found["pairs_by_sources"] == [
        {"sources": ["headqa", "medquad"], "pairs": 2},
        {"sources": ["medquad", "medquad"], "pairs": 1},
    ]
    assert found["largest_clusters"] == [
        {"rows": 3, "sources": {"headqa": 1, "medquad": 2}, "ids": [one.id for one in planted]}
    ]


def test_the_threshold_decides(find: Any) -> None:
    half = LONG.split(" lowers ")[0] + " is another story altogether, and nobody knows how it ends or began, they say."
    examples = [example("medquad", "Why?", LONG), example("medquad", "Why?", half), *unlike(5)]
    assert find(examples)["pairs"] == 0
    one = example("medquad", "Why?", LONG.replace("platelets", "cells"))
    two = example("medquad", "Why?", LONG.replace("platelets", "cells").replace("fever", "heat"))
    assert find([*examples, one, two], threshold=1.0)["pairs"] == 0
    assert find([*examples, one, two], threshold=0.7)["pairs"] > 0


def test_a_conversation_that_is_repeated_is_compared_once(find: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("med42lib.assemble.near_duplicates.search.ROWS_PER_GROUP", 4)
    found = find([*unlike(6), *unlike(6)])
    assert (found["rows"], found["rows_compared"], found["pairs"]) == (12, 6, 0)


@pytest.mark.parametrize("rows_per_batch", [3, 7, dataset.ROWS_PER_GROUP])
def test_a_sample_is_the_first_rows_whatever_the_batches(
    find: Any, rows_per_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("med42lib.assemble.near_duplicates.search.ROWS_PER_GROUP", rows_per_batch)
    pair = [example("medquad", "Why?", LONG), example("medquad", "why", LONG)]
    examples = [pair[0], *unlike(8), pair[1], *unlike(20)[8:]]
    assert (find(examples, sample=9)["rows_compared"], find(examples, sample=9)["pairs"]) == (9, 0)
    assert find(examples, sample=10)["pairs"] == 1
    assert find(examples, sample=1000)["rows_compared"] == 22


def test_the_row_groups_do_not_change_what_is_found(find: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [example("medquad", f"Why {n % 3}?", f"{LONG} {n}") for n in range(40)]
    whole = find(examples, threshold=0.6)
    assert whole["pairs"] == 780
    monkeypatch.setattr("med42lib.assemble.near_duplicates.search.ROWS_PER_GROUP", 7)
    assert find(examples, threshold=0.6) == whole


def test_a_mixture_without_rows_has_none(find: Any) -> None:
    assert find([])["rows_compared"] == 0


@pytest.mark.parametrize("settings", [{"threshold": 0.49}, {"threshold": 1.01}, {"sample": 1}])
def test_settings_that_would_find_everything_or_nothing_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        NearDuplicatesConfig.model_validate(settings)
