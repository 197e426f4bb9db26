import pytest

from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError
from med42lib.evaluate.config import EvaluateConfig


def test_scoring_must_be_decided() -> None:
    with pytest.raises(ConfigError, match="scoring: is required"):
        parse_config(EvaluateConfig, {}, title="evaluate")


def test_a_benchmark_of_its_own_overrides_the_general_scoring() -> None:
    config = EvaluateConfig.model_validate(
        {"scoring": "letters", "benchmarks": {"headqa": {"scoring": "texts", "normalise": "none"}}}
    )
    assert (config.scoring_of("headqa").scoring, config.scoring_of("headqa").normalise) == ("texts", "none")
    assert (config.scoring_of("medqa").scoring, config.scoring_of("medqa").normalise) == ("letters", "bytes")


@pytest.mark.parametrize("limit", [1, 25, "all"])
def test_items_per_benchmark_is_a_number_or_all(limit: object) -> None:
    assert EvaluateConfig.model_validate({"scoring": "letters", "items_per_benchmark": limit})


@pytest.mark.parametrize("limit", [0, -3, 2.5, True, "some", None])
def test_any_other_items_per_benchmark_is_one_problem(limit: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(EvaluateConfig, {"scoring": "letters", "items_per_benchmark": limit}, title="evaluate")
    assert [str(problem).split(":")[0] for problem in caught.value.problems] == ["items_per_benchmark"]
