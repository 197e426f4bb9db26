from typing import Any

import pytest

from med42lib.assemble.config import AssembleConfig
from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError

GOOD: dict[str, Any] = {"sources": {"headqa": {"target": 10}}, "multiple_choice": "letters", "seed": 0}


def parse(**changes: Any) -> AssembleConfig:
    return parse_config(AssembleConfig, {**GOOD, **changes}, title="bad", prefix="assemble")


@pytest.mark.parametrize("target", [1, 2657, "all"])
def test_a_target_is_a_count_or_all(target: Any) -> None:
    assert parse(sources={"headqa": {"target": target}}).sources["headqa"].target == target


@pytest.mark.parametrize("target", [0, -3, 2.5, True, "some", None, [1]])
def test_any_other_target_is_one_problem_with_its_path(target: Any) -> None:
    with pytest.raises(ConfigError) as error:
        parse(sources={"headqa": {"target": target}})
    (problem,) = error.value.problems
    assert problem.where == "assemble.sources.headqa.target"
    assert "must be 'all' or a whole number of at least 1" in problem.what


def test_an_unknown_source_is_a_problem_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"head_qa.*did you mean 'headqa'\? There are: headqa, health_advice"):
        parse(sources={"head_qa": {"target": 1}})


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        parse(sources={"headqa": {"targt": 1}}, multiple_choice="numbers", seed=-1, max_rejected_share=2)
    assert [problem.where for problem in error.value.problems] == [
        "assemble.sources.headqa.target",
        "assemble.sources.headqa.targt",
        "assemble.multiple_choice",
        "assemble.seed",
        "assemble.max_rejected_share",
    ]


def test_a_mixture_needs_a_source() -> None:
    with pytest.raises(ConfigError, match=r"assemble\.sources"):
        parse(sources={})


def test_the_order_of_sources_does_not_change_the_settings() -> None:
    one = {"headqa": {"target": 1}, "medquad": {"target": 2}}
    other = {"medquad": {"target": 2}, "headqa": {"target": 1}}
    assert parse(sources=one).canonical_json() == parse(sources=other).canonical_json()
