from collections.abc import Callable
from dataclasses import replace

import pytest

from med42lib.core.errors import ConfigError, DataError
from med42lib.evaluate.choice import choose_items
from med42lib.evaluate.config import EvaluateConfig
from med42lib.formats.records import BenchmarkItem

Settings = Callable[..., EvaluateConfig]


@pytest.fixture
def many(make_item: Callable[..., BenchmarkItem]) -> list[BenchmarkItem]:
    """50 items of one benchmark and 3 of another."""
    return [
        *(make_item("medqa", number, f"Question {number}?", ("a", "b")) for number in range(50)),
        *(make_item("pubmedqa", number, f"Question {number}?", ("a", "b")) for number in range(3)),
    ]


def ids(items: list[BenchmarkItem]) -> list[str]:
    return [item.id for item in items]


def test_all_items_are_scored_in_their_order(items: list[BenchmarkItem], settings: Settings) -> None:
    assert choose_items(items, settings()) == items


def test_a_limit_holds_for_each_benchmark_and_keeps_the_order(many: list[BenchmarkItem], settings: Settings) -> None:
    chosen = choose_items(many, settings(limit=10))
    assert [item.benchmark for item in chosen] == ["medqa"] * 10 + ["pubmedqa"] * 3
    assert ids(chosen) == [item.id for item in many if item in chosen]


def test_the_chosen_do_not_depend_on_the_order_of_the_items(many: list[BenchmarkItem], settings: Settings) -> None:
    config = settings(limit=10)
    assert set(ids(choose_items(many, config))) == set(ids(choose_items(many[::-1], config)))
    assert ids(choose_items(many, config))[:10] != ids(many)[:10]


def test_a_larger_limit_keeps_what_a_smaller_one_chose(many: list[BenchmarkItem], settings: Settings) -> None:
    small, large = (set(ids(choose_items(many, settings(limit=n)))) for n in (10, 20))
    assert small < large


def test_no_items_is_an_error(settings: Settings) -> None:
    with pytest.raises(DataError, match="no benchmark item"):
        choose_items([], settings())


@pytest.mark.parametrize("change", [{"options": ("a", "")}, {"gold": 4}, {"gold": -1}, {"options": ()}, {"gold": None}])
def test_an_item_that_cannot_be_scored_is_an_error(
    items: list[BenchmarkItem], settings: Settings, change: dict[str, object]
) -> None:
    with pytest.raises(DataError, match="'medqa/1'"):
        choose_items([replace(items[1], **change)], settings())  # type: ignore[arg-type]


def test_a_misspelt_benchmark_is_an_error_that_names_those_there_are(
    items: list[BenchmarkItem], settings: Settings
) -> None:
    config = settings(benchmarks={"medq": {"scoring": "texts"}, "headqa": {"scoring": "texts"}})
    with pytest.raises(ConfigError, match="medqa, pubmedqa") as caught:
        choose_items(items, config)
    assert [problem.where for problem in caught.value.problems] == [
        "evaluate.benchmarks.medq",
        "evaluate.benchmarks.headqa",
    ]


def test_what_the_settings_say_of_an_absent_benchmark_is_without_effect(
    items: list[BenchmarkItem], settings: Settings
) -> None:
    config = settings(benchmarks={"usmle_sample_exam": {"scoring": "letters"}})
    assert choose_items(items, config, absent=["usmle_sample_exam"]) == items
    with pytest.raises(ConfigError, match="usmle_sample_exam"):
        choose_items(items, config)
