from dataclasses import replace

import numpy as np

from med42lib.formats.records import BenchmarkItem, Origin
from med42lib.report.results.baselines import make_baselines
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import make_groups


def make_item(id: str, benchmark: str, num_options: int, gold: int) -> BenchmarkItem:
    return BenchmarkItem(id, benchmark, "?", "", tuple("abcdefghi"[:num_options]), gold, Origin(id, "f", 1))


def answers_of(items: list[BenchmarkItem]) -> Answers:
    names = np.array([item.benchmark for item in items])
    right = np.ones(len(items), dtype=bool)
    ids = tuple(item.id for item in items)
    return Answers(ids, names, ~right, dict.fromkeys(("base", "full", "lora"), right))


def test_pubmedqa_shows_what_always_yes_scores() -> None:
    # PubMedQA: 276 yes, 169 no, 55 maybe in the official test.
    golds = [0] * 276 + [1] * 169 + [2] * 55
    items = [make_item(f"p/{number}", "pubmedqa", 3, gold) for number, gold in enumerate(golds)]
    answers = answers_of(items)
    found = make_baselines(answers, {i.id: i for i in items}, make_groups(answers.benchmarks), "all")["pubmedqa"]
    assert round(found.constant, 3) == 0.552
    assert round(found.chance, 3) == 0.333


def test_chance_depends_on_each_items_number_of_options() -> None:
    items = [make_item("a", "headqa", 4, 0), make_item("b", "headqa", 5, 1)]
    answers = answers_of(items)
    found = make_baselines(answers, {i.id: i for i in items}, make_groups(answers.benchmarks), "all")["headqa"]
    assert found.chance == (1 / 4 + 1 / 5) / 2
    assert found.constant == 0.5


def test_chance_of_the_usmle_average_weighs_both_sets_of_four_to_nine_options_equally() -> None:
    items = [make_item(f"s{k}", "usmle_sample_exam", k, k - 1) for k in range(4, 10)]
    items.append(make_item("a", "usmle_self_assessment", 5, 0))
    answers = answers_of(items)
    found = make_baselines(answers, {i.id: i for i in items}, make_groups(answers.benchmarks), "all")
    assert found["usmle_sample_exam"].chance == sum(1 / k for k in range(4, 10)) / 6
    assert found["usmle_average"].chance == (found["usmle_sample_exam"].chance + 1 / 5) / 2


def test_a_guess_is_right_more_often_where_the_right_option_stands_twice() -> None:
    twice = replace(make_item("a", "medmcqa", 4, 1), options=("Iron", "Zinc", "Lead", "Zinc"))
    items = [twice, make_item("b", "medmcqa", 4, 3)]
    answers = answers_of(items)
    found = make_baselines(answers, {i.id: i for i in items}, make_groups(answers.benchmarks), "all")["medmcqa"]
    assert found.chance == (2 / 4 + 1 / 4) / 2
    assert found.constant == 1.0  # always D


def test_what_guessing_scores_is_not_known_where_answers_are_written_nor_where_such_are_pooled() -> None:
    written = replace(make_item("w", "ward", 0, 0), gold=None)
    items = [written, make_item("a", "mmlu_anatomy", 4, 0), make_item("b", "mmlu_biology", 4, 0)]
    answers = answers_of(items)
    found = make_baselines(answers, {i.id: i for i in items}, make_groups(answers.benchmarks), "all")
    assert set(found) == {"mmlu_anatomy", "mmlu_biology", "mmlu_average"}


def test_groups_without_items_are_left_out() -> None:
    items = [make_item("a", "headqa", 4, 0)]
    answers = answers_of(items)
    assert make_baselines(answers, {"a": items[0]}, make_groups(answers.benchmarks), "contaminated") == {}
