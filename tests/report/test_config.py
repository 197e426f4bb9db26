from typing import Any

import pytest

from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError
from med42lib.report.config import ReportConfig


def test_only_the_title_must_be_given() -> None:
    config = parse_config(ReportConfig, {"title": "Demo"}, title="report")
    assert config.confidence == 0.95
    assert 0.8 in config.thresholds


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": "x", "confidence": 95}, "confidence"),
        ({"title": "x", "confidence": 1.0}, "confidence"),
        ({"title": "x", "num_pairs": -1}, "num_pairs"),
        ({"title": "x", "thresholds": [0.8, 1.5]}, "thresholds.1"),
        ({"title": "x", "pairs": 3}, "pairs"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(ReportConfig, settings, title="report")
    assert [problem.where for problem in caught.value.problems] == [where]
