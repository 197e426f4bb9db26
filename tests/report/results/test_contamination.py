from typing import Any

import numpy as np
import pytest

from med42lib.core.errors import DataError
from med42lib.formats.contamination import Pair
from med42lib.report.results.contamination import read_contamination, spread, sweep_thresholds
from med42lib.report.results.scores import Answers


def pair(rank: int) -> Pair:
    return Pair(f"m/{rank}", "medqa", f"h/{rank}", "headqa", 0.99 - rank / 100, "a", "b")


def test_spread_takes_both_ends_and_evenly_between() -> None:
    pairs = [pair(rank) for rank in range(10)]
    assert [p.item_id for p in spread(pairs[::-1], 4)] == ["m/0", "m/3", "m/6", "m/9"]


@pytest.mark.parametrize(
    ("wanted", "expected"), [(0, []), (1, ["m/0"]), (2, ["m/0", "m/2"]), (9, ["m/0", "m/1", "m/2"])]
)
def test_spread_gives_no_more_than_there_are(wanted: int, expected: list[str]) -> None:
    assert [p.item_id for p in spread([pair(rank) for rank in range(3)], wanted)] == expected


def test_pairs_are_counted_by_source_and_the_nearest_of_an_item_is_shown(run: Any) -> None:
    def add_weaker_pair(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**rows[0], "example_id": "other/1", "source": "headqa", "cosine": 0.805}, *rows]

    run.rewrite("contamination/pairs.jsonl", add_weaker_pair)
    found = read_contamination(run.source("contamination"), num_shown=100)
    assert {s.source: (s.num_pairs, s.num_items) for s in found.sources} == {"headqa": (11, 11), "medquad": (5, 5)}
    assert len(found.shown) == 15
    assert [p.example_id for p in found.shown if p.item_id == "mmlu_anatomy/000"] == ["headqa/0000"]


def test_a_leaked_item_matches_the_example_of_its_pair_and_not_the_first_of_the_same_stem(run: Any) -> None:
    def of_one_stem(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "example_id": "headqa/stem"} for row in rows]

    run.rewrite("contamination/nearest.jsonl", of_one_stem)
    found = read_contamination(run.source("contamination"), num_shown=0)
    assert found.matched.keys() == found.cosines.keys()
    assert len(set(found.matched.values())) == 15


def test_a_question_that_shares_a_stem_alone_is_near_nothing_at_any_threshold(run: Any) -> None:
    def of_one_stem(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "cosine": 0.95, "stem_only": True} if row["item_id"] == "medqa/119" else row for row in rows]

    run.rewrite("contamination/nearest.jsonl", of_one_stem)
    found = read_contamination(run.source("contamination"), num_shown=0)
    assert found.nearest["medqa/119"] == 0.0
    assert found.nearest["medqa/118"] > 0.0


def test_whole_benchmarks_are_counted(run: Any) -> None:
    found = read_contamination(run.source("contamination"), num_shown=0)
    assert [(b.benchmark, b.num_items, b.num_contaminated) for b in found.benchmarks] == [
        ("mmlu_anatomy", 40, 3),
        ("mmlu_college_biology", 60, 4),
        ("medqa", 120, 8),
    ]


def test_labels_and_detectors_are_counted(run: Any) -> None:
    found = read_contamination(run.source("contamination"), num_shown=0)
    assert {share.label.value: (share.pairs.both, share.pairs.total, share.num_items) for share in found.labels} == {
        "same_answer": (4, 5, 4),
        "other_options": (4, 5, 4),
        "reworded": (4, 5, 4),
        "stem_only": (0, 1, 0),
        "topic_only": (3, 4, 3),
    }
    assert found.detected.total == 20


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.jsonl", '{"item_id": "a"}\n', r"pairs.jsonl:1 has no benchmark, example_id"),
        ("nearest.jsonl", '{"item_id": "a"}\n', r"nearest.jsonl:1 has no benchmark, example_id, cosine, stem_only"),
        ("nearest.jsonl", "[1]\n", r"nearest.jsonl:1 is broken \(it holds a JSON list, expected an object"),
        ("contaminated.json", "{", r"contaminated.json is broken \(not JSON"),
        ("contaminated.json", "{}", r"not an output of decontaminate \(KeyError\('threshold'\)\)"),
    ],
)
def test_broken_files_are_named(run: Any, name: str, content: str, message: str) -> None:
    run.forget_manifests()
    (run.folder / "contamination" / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_contamination(run.source("contamination"), num_shown=1)


@pytest.mark.parametrize(
    ("item_id", "cosine", "message"),
    [
        ("mmlu_anatomy/000", 0.5, r"flags the item 'mmlu_anatomy/000', to which nearest.jsonl has cosine 0.5"),
        ("mmlu_anatomy/001", 0.9, r"does not flag the item 'mmlu_anatomy/001', to which nearest.jsonl has cosine 0.9"),
    ],
)
def test_files_that_disagree_on_what_leaked_are_refused(run: Any, item_id: str, cosine: float, message: str) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "cosine": cosine} if row["item_id"] == item_id else row for row in rows]

    run.rewrite("contamination/nearest.jsonl", change)
    with pytest.raises(DataError, match=message):
        read_contamination(run.source("contamination"), num_shown=1)


@pytest.fixture
def answers() -> Answers:
    right = np.array([True, False, True, True])
    models = dict.fromkeys(("base", "full", "lora"), right)
    return Answers(tuple("abcd"), np.array(["medqa"] * 4), np.zeros(4, dtype=bool), models)


def test_a_higher_threshold_leaves_more_questions(answers: Answers) -> None:
    nearest = {"a": 0.95, "b": 0.8, "c": 0.75, "d": 0.2}
    rows = sweep_thresholds(answers, nearest, (0.9, 0.7, 0.8), 0.95)
    assert [(row.threshold, row.num_contaminated) for row in rows] == [(0.7, 3), (0.8, 1), (0.9, 1)]
    assert (rows[0].accuracies["base"].correct, rows[0].accuracies["base"].n) == (1, 1)
    assert (rows[1].accuracies["base"].correct, rows[1].accuracies["base"].n) == (2, 3)


def test_an_item_without_a_best_match_is_refused(answers: Answers) -> None:
    with pytest.raises(DataError, match="no best match for the item 'c'"):
        sweep_thresholds(answers, {"a": 0.1, "b": 0.1, "d": 0.1}, (0.8,), 0.95)
