from typing import Literal

import pytest
from pydantic import Field

from med42lib.core.config import StageConfig, parse_config
from med42lib.core.errors import ConfigError


class Small(StageConfig):
    epochs: int = Field(ge=1)
    """How often each example is seen."""

    rate: float
    """Peak learning rate."""

    name: str = "x"


class Nested(StageConfig):
    small: Small


def problems_of(values: object) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(Nested, values, title="spec")
    return {problem.where: problem.what for problem in caught.value.problems}


def test_every_problem_is_listed_with_its_path_and_value() -> None:
    found = problems_of({"small": {"epochs": 0, "lerning_rate": 1e-4}, "extra": 3})
    assert set(found) == {"small.epochs", "small.lerning_rate", "small.rate", "extra"}
    assert "given: 0" in found["small.epochs"]
    assert "spelling" in found["small.lerning_rate"]
    assert "required" in found["small.rate"]


def test_a_wrong_type_names_what_was_given() -> None:
    assert "'two'" in problems_of({"small": {"epochs": "two", "rate": 1.0}})["small.epochs"]


def test_infinite_numbers_are_refused() -> None:
    assert "small.rate" in problems_of({"small": {"epochs": 1, "rate": float("nan")}})


def test_the_message_holds_the_title_and_every_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(Small, {}, title="settings of train", prefix="train")
    lines = str(caught.value).splitlines()
    assert lines[0] == "settings of train"
    assert len(lines) == 3
    assert lines[1].strip().startswith("train.epochs: ")


def test_settings_that_follow_from_defaults_have_the_same_json_as_those_spelt_out() -> None:
    short = parse_config(Small, {"rate": 1, "epochs": 2}, title="")
    long = parse_config(Small, {"name": "x", "epochs": 2.0, "rate": 1.0}, title="")
    assert short.canonical_json() == long.canonical_json()


def test_field_docstrings_are_the_descriptions() -> None:
    assert Small.model_fields["rate"].description == "Peak learning rate."


def test_a_wrong_name_among_many_is_named_without_decoration() -> None:
    class Sources(StageConfig):
        sources: dict[Literal["headqa"], int]

    with pytest.raises(ConfigError) as caught:
        parse_config(Sources, {"sources": {"headqaa": 1}}, title="")
    assert [problem.where for problem in caught.value.problems] == ["sources.headqaa"]
