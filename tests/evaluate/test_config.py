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


def test_the_former_name_of_the_limit_is_answered_with_the_new_one() -> None:
    with pytest.raises(ConfigError, match="it is called limit now"):
        parse_config(EvaluateConfig, {"scoring": "letters", "items_per_benchmark": 25}, title="evaluate")
