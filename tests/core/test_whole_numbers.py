import json

import pytest

from med42lib.core.errors import ConfigError
from med42lib.core.whole_numbers import whole_numbers


def test_whole_numbers_are_whole_again_wherever_they_stand_and_nothing_else_changes() -> None:
    given = {"a": 2.0, "b": [3.0, {"c": 4.0}], "rate": 0.5, "text": "2.0", "yes": True, "none": None}
    found = whole_numbers(given, title="spec")
    assert json.dumps(found) == json.dumps(
        {"a": 2, "b": [3, {"c": 4}], "rate": 0.5, "text": "2.0", "yes": True, "none": None}
    )


def test_whole_numbers_whose_last_digits_would_be_lost_are_named() -> None:
    whole_numbers({"seed": 2**53 - 1}, title="spec")
    with pytest.raises(ConfigError) as caught:
        whole_numbers({"seed": float(2**53 + 1), "train": {"full": {"seed": -(2**60)}}}, title="spec")
    assert [problem.where for problem in caught.value.problems] == ["seed", "train.full.seed"]
