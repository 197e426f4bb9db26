import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.records import BenchmarkItem, Generation, Origin
from med42lib.formats.scores import Score
from med42lib.report.results.scores import Answers, join_answers

ITEMS = {
    id: BenchmarkItem(id, benchmark, "What?", "", ("a", "b"), 1, Origin("1", "x.jsonl", 1))
    for id, benchmark in (("m/1", "medqa"), ("m/2", "medqa"), ("h/1", "headqa"))
}
HOW = Generation("What?", ("b",), {})
Rows = list[dict[str, Any]]


def score_rows() -> Rows:
    return [
        asdict(Score(item.id, item.benchmark, 1, 1, True, (-2.0, -1.0), truncated=False)) for item in ITEMS.values()
    ]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {model: tmp_path / f"{model}.jsonl" for model in ("base", "full", "lora")}
    for path in paths.values():
        write(path, score_rows())
    return paths


def write(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_joined_answers_know_benchmark_correctness_and_contamination(files: dict[str, Path]) -> None:
    rows = score_rows()
    rows[1] |= {"prediction": 0, "correct": False}
    write(files["lora"], rows)
    answers = join_answers(files, ITEMS, {"h/1": 0.9})
    assert answers.item_ids == ("m/1", "m/2", "h/1")
    assert answers.benchmarks == ("medqa", "headqa")
    assert answers.contaminated.tolist() == [False, False, True]
    assert answers.correct["full"].tolist() == [True, True, True]
    assert answers.correct["lora"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("subset", "expected"),
    [("all", [True, True, True]), ("clean", [True, True, False]), ("contaminated", [False, False, True])],
)
def test_subsets_split_the_items(files: dict[str, Path], subset: str, expected: list[bool]) -> None:
    answers: Answers = join_answers(files, ITEMS, {"h/1": 0.9})
    assert answers.selected(("medqa", "headqa"), subset).tolist() == expected
    assert answers.selected(("medqa",), subset).tolist() == [*(expected[:2]), False]


def test_a_flagged_item_that_was_not_scored_is_ignored(files: dict[str, Path]) -> None:
    for path in files.values():
        write(path, score_rows()[:2])
    assert join_answers(files, ITEMS, {"h/1": 0.9}).contaminated.tolist() == [False, False]


def swapped(rows: Rows) -> Rows:
    return [rows[1], rows[0], rows[2]]


def shortened(rows: Rows) -> Rows:
    return rows[:2]


def repeated(rows: Rows) -> Rows:
    return [*rows, rows[0]]


def unknown(rows: Rows) -> Rows:
    return [*rows[:2], {**rows[2], "item_id": "h/9"}]


def other_gold(rows: Rows) -> Rows:
    return [*rows[:2], {**rows[2], "gold": 0}]


def incomplete(rows: Rows) -> Rows:
    return [{key: value for key, value in row.items() if key != "correct"} for row in rows]


def contradicting(rows: Rows) -> Rows:
    return [rows[0], {**rows[1], "prediction": 0}, rows[2]]


def not_true_or_false(rows: Rows) -> Rows:
    return [{**row, "correct": 1.0} for row in rows]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swapped, r"row 1 is item 'm/1' in .*base.jsonl but 'm/2' in .*full.jsonl"),
        (shortened, r"base.jsonl holds 3 items but .*full.jsonl holds 2; the first 2 agree"),
        (repeated, r"full.jsonl:4: item 'm/1' occurs twice"),
        (unknown, r"full.jsonl:3: item 'h/9' is not among the 3 benchmark items"),
        (other_gold, r"full.jsonl:3: item 'h/1' was scored as 'headqa' with answer 0.* say 'headqa' with answer 1"),
        (incomplete, r"full.jsonl:1 has no correct; run evaluate again"),
        (
            contradicting,
            r"full.jsonl:2: item 'm/2' has prediction 0 and 'correct' true, but right is 1; run evaluate again",
        ),
        (not_true_or_false, r"full.jsonl:1: 'correct' is 1.0, expected true or false"),
        (lambda rows: [], r"full.jsonl holds no scored item"),
    ],
)
def test_scores_that_do_not_match_are_refused(
    files: dict[str, Path], damage: Callable[[Rows], Rows], message: str
) -> None:
    write(files["full"], damage(score_rows()))
    with pytest.raises(DataError, match=message):
        join_answers(files, ITEMS, {})


def test_a_line_broken_in_the_middle_is_named(files: dict[str, Path]) -> None:
    files["lora"].write_text(files["lora"].read_text()[:-20])
    with pytest.raises(DataError, match=r"lora.jsonl:3 is broken \(not JSON"):
        join_answers(files, ITEMS, {})


def test_an_unknown_contaminated_item_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="the contaminated item 'x/7' is not among the 3 benchmark items"):
        join_answers(files, ITEMS, {"x/7": 0.9})


def test_a_row_with_fewer_loglikelihoods_than_the_item_has_options_is_refused(files: dict[str, Path]) -> None:
    rows = score_rows()
    rows[1] |= {"loglikelihoods": [-2.0]}
    write(files["full"], rows)
    with pytest.raises(DataError, match=r"'m/2' has 1 log-likelihoods, but 2 options"):
        join_answers(files, ITEMS, {})


def test_written_answers_are_joined_and_must_be_of_items_whose_answers_are_written(files: dict[str, Path]) -> None:
    items = {id: replace(item, options=(), gold=None, generation=HOW) for id, item in ITEMS.items()}
    rows = [row | {"gold": None, "prediction": None, "loglikelihoods": [], "generated": "b"} for row in score_rows()]
    for path in files.values():
        write(path, rows)
    assert join_answers(files, items, {}).correct["full"].tolist() == [True, True, True]
    write(files["full"], [{**row, "generated": None} for row in rows])
    with pytest.raises(DataError, match=r"full.jsonl:1: item 'm/1' was chosen where it is to be written"):
        join_answers(files, items, {})
