import numpy as np
import pytest

from med42lib.assemble.near_duplicates import clusters as module
from med42lib.assemble.near_duplicates.clusters import summarise_pairs

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
