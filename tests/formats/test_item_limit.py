import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.benchmarks.config import BenchmarkConfig, BenchmarksConfig
from med42lib.core.config import StageConfig, parse_config
from med42lib.core.errors import ConfigError
from med42lib.evaluate.choice import choose_items
from med42lib.evaluate.config import EvaluateConfig
from med42lib.formats.item_limit import limited
from med42lib.formats.records import BenchmarkItem, Origin

ITEMS = [BenchmarkItem(f"b/{n}", "b", "Which?", "", ("a", "b"), 1, Origin("", "a.json", n)) for n in range(40)]
KINDS = {"benchmarks": (BenchmarkConfig, {"path": "x"}), "evaluate": (EvaluateConfig, {"scoring": "letters"})}


@given(st.integers(1, 45), st.integers(1, 45))
def test_a_larger_limit_keeps_the_same_items_and_more_in_their_order(one: int, other: int) -> None:
    small, large = (limited(ITEMS, limit) for limit in sorted([one, other]))
    assert [item for item in large if item in small] == small
    assert large == [item for item in ITEMS if item in large]
    assert len(large) == min(max(one, other), len(ITEMS))


@given(st.permutations(ITEMS))
def test_the_order_of_items_does_not_change_what_a_limit_keeps(shuffled: list[BenchmarkItem]) -> None:
    assert set(limited(shuffled, 10)) == set(limited(ITEMS, 10))


def test_without_a_limit_all_are_kept_and_another_seed_keeps_others() -> None:
    assert limited(ITEMS, "all") == ITEMS
    assert limited(ITEMS, 10, seed=0) != limited(ITEMS, 10, seed=1)


def test_what_benchmarks_keeps_by_default_is_what_evaluate_would_score() -> None:
    benchmarks = BenchmarksConfig.model_validate({"include": {"medqa": {"path": "x", "limit": 10}}})
    kept = limited(ITEMS, benchmarks.include["medqa"].limit, seed=benchmarks.seed)
    assert kept == choose_items(ITEMS, EvaluateConfig(scoring="letters", limit=10))


@pytest.mark.parametrize("stage", KINDS)
@pytest.mark.parametrize("limit", [1, 25, "all"])
def test_a_limit_is_a_number_or_all_in_every_stage(stage: str, limit: object) -> None:
    kind, usual = KINDS[stage]
    assert kind.model_validate({**usual, "limit": limit}).model_dump()["limit"] == limit
    assert kind.model_validate(usual).model_dump()["limit"] == "all"


@pytest.mark.parametrize("stage", KINDS)
@pytest.mark.parametrize("limit", [0, -3, 2.5, True, "some", None, "10"])
def test_any_other_limit_is_one_problem(stage: str, limit: object) -> None:
    kind: type[StageConfig] = KINDS[stage][0]
    with pytest.raises(ConfigError) as caught:
        parse_config(kind, {**KINDS[stage][1], "limit": limit}, title="spec")
    assert [str(problem).split(":")[0] for problem in caught.value.problems] == ["limit"]
