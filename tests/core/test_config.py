import json
from typing import Annotated, Literal

import pytest
from pydantic import Field, StringConstraints

from med42lib.core.config import SPEED_ONLY, StageConfig, parse_config, renamed_from, section_of, written_as
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
    assert "there are epochs, rate, name" in found["small.lerning_rate"]
    assert "required" in found["small.rate"]


def test_a_wrong_type_names_what_was_given() -> None:
    assert "'two'" in problems_of({"small": {"epochs": "two", "rate": 1.0}})["small.epochs"]


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_no_number(value: bool) -> None:
    found = problems_of({"small": {"epochs": 1, "rate": value}})
    assert found == {"small.rate": f"must be a number, and yes and no (true, false) are none (given: {value})"}
    assert set(problems_of({"small": {"epochs": value, "rate": 1.0}})) == {"small.epochs"}


def test_a_truth_value_stays_one_where_a_setting_is_one() -> None:
    class Switched(StageConfig):
        on: bool
        automatic: bool | Literal["auto"]

    found = parse_config(Switched, {"on": True, "automatic": False}, title="")
    assert (found.on, found.automatic) == (True, False)


def test_a_value_in_place_of_a_section_is_told_in_a_users_words() -> None:
    assert problems_of({"small": 2}) == {"small": "should hold settings by their names (given: 2)"}


class Called(StageConfig):
    name: Annotated[str, written_as("[a-z]+", "lower-case letters")]


@pytest.mark.parametrize("name", ["Ward 7", "ward7", "ward\n", ""])
def test_a_text_that_breaks_a_rule_is_told_the_rule_and_no_pattern(name: str) -> None:
    assert parse_config(Called, {"name": "ward"}, title="").name == "ward"
    with pytest.raises(ConfigError) as caught:
        parse_config(Called, {"name": name}, title="")
    assert [problem.what for problem in caught.value.problems] == [f"must be lower-case letters (given: {name!r})"]


def test_infinite_numbers_are_refused() -> None:
    assert "small.rate" in problems_of({"small": {"epochs": 1, "rate": float("nan")}})


def test_a_large_value_is_cut() -> None:
    value: object = "x" * 100
    for _ in range(30):
        value = [value] * 10
    found = problems_of({"small": {"epochs": value, "rate": "y" * 10**6, "z" * 10**6: value, "name": 10**5000}})
    assert len(found) == 4
    assert all(len(where) <= 200 and len(what) <= 400 for where, what in found.items())


def test_a_problem_is_one_line_whatever_was_given() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(Small, {"epochs": 1, "rate": 1, "a\n  b: is wrong\x1b": 1}, title="a\nb")
    assert str(caught.value).splitlines() == [
        "a\\nb",
        "  a\\n  b: is wrong\\x1b: is not a known setting (given: 1); there are epochs, rate, name",
    ]


class Section(StageConfig):
    learning_rate: float = 1.0
    num_steps: int = Field(default=1, json_schema_extra=renamed_from("steps"))
    inner: Small | None = None


class Spec(StageConfig):
    decontaminate: Section = Section()
    by_name: dict[str, Section] = Field(default_factory=dict)
    by_pattern: dict[Annotated[str, StringConstraints(pattern="^[a-z]+$")], Section] = Field(default_factory=dict)
    listed: tuple[Section, ...] = ()


@pytest.mark.parametrize(
    ("values", "where", "hint"),
    [
        ({"decontminate": {}}, "decontminate", "did you mean 'decontaminate'?"),
        ({"decontaminate": {"learing_rate": 1}}, "decontaminate.learing_rate", "did you mean 'learning_rate'?"),
        ({"by_name": {"full": {"learing_rate": 1}}}, "by_name.full.learing_rate", "did you mean 'learning_rate'?"),
        (
            {"by_pattern": {"full": {"learing_rate": 1}}},
            "by_pattern.full.learing_rate",
            "did you mean 'learning_rate'?",
        ),
        ({"listed": [{"learing_rate": 1}]}, "listed.0.learing_rate", "did you mean 'learning_rate'?"),
        (
            {"decontaminate": {"inner": {"epoch": 1, "epochs": 1, "rate": 1}}},
            "decontaminate.inner.epoch",
            "did you mean 'epochs'?",
        ),
        ({"decontaminate": {"steps": 1}}, "decontaminate.steps", "it is called num_steps now"),
        (
            {"decontaminate": {"optimiser": 1}},
            "decontaminate.optimiser",
            "there are learning_rate, num_steps, inner",
        ),
    ],
)
def test_a_wrong_key_is_named_with_its_section_and_the_one_that_was_meant(
    values: object, where: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(Spec, values, title="")
    assert {problem.where: problem.what.partition("; ")[2] for problem in caught.value.problems} == {where: hint}


def test_of_many_problems_the_first_are_shown_and_all_are_kept() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(Small, {"epochs": 1, "rate": 1, **{f"key{n}": n for n in range(20_000)}}, title="")
    assert len(caught.value.problems) == 20_000
    assert len(str(caught.value).splitlines()) == 52
    assert str(caught.value).endswith("  and 19,950 more")


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
    assert short.key_json() == long.key_json()


def test_field_docstrings_are_the_descriptions() -> None:
    assert Small.model_fields["rate"].description == "Peak learning rate."


def test_a_wrong_name_among_many_is_named_without_decoration() -> None:
    class Sources(StageConfig):
        sources: dict[Literal["headqa"], int]

    with pytest.raises(ConfigError) as caught:
        parse_config(Sources, {"sources": {"headqaa": 1}}, title="")
    assert [problem.where for problem in caught.value.problems] == ["sources.headqaa"]


class Fast(StageConfig):
    rate: float = 1.0

    rows_at_a_time: Annotated[int, SPEED_ONLY] = Field(default=8, ge=1)
    """Rows held in memory."""


class Faster(Fast):
    one: Fast = Fast()
    by_name: dict[str, Fast] = Field(default_factory=dict)
    many: tuple[Fast, ...] = ()


def test_settings_that_decide_speed_only_stay_out_of_the_key_wherever_they_stand() -> None:
    values = {"one": {"rows_at_a_time": 3}, "by_name": {"a": {"rows_at_a_time": 4}}, "many": [{"rows_at_a_time": 5}]}
    plain = Faster(by_name={"a": Fast()}, many=(Fast(),))
    marked = Faster.model_validate({"rows_at_a_time": 2, **values})
    assert marked.key_json() == plain.key_json()
    assert "rows_at_a_time" not in marked.key_json()
    assert json.loads(marked.key_json())["one"] == {"rate": 1.0}
    assert Faster(one=Fast(rate=2)).key_json() != Faster().key_json()


def test_what_is_passed_on_holds_every_setting_and_its_limits() -> None:
    passed = json.loads(json.dumps(Fast(rows_at_a_time=3).model_dump(mode="json")))
    assert passed == {"rate": 1.0, "rows_at_a_time": 3}
    assert Fast.model_validate(passed).rows_at_a_time == 3
    with pytest.raises(ConfigError, match="rows_at_a_time"):
        parse_config(Fast, {"rows_at_a_time": 0}, title="")
    assert Fast.model_fields["rows_at_a_time"].description == "Rows held in memory."


SPEC = {"pack": {"seed": 7}, "train": {"full": {"lora": {"rank": None}}, "lora": {}}}


def test_a_section_may_be_one_of_a_section() -> None:
    assert section_of(SPEC, "pack", title="spec") == {"seed": 7}
    assert section_of(SPEC, "train.lora", title="spec") == {}


@pytest.mark.parametrize(
    ("section", "there"),
    [("trane.full", "pack, train"), ("train.qlora", "full, lora"), ("pack.seed", "none"), ("pack.seed.x", "none")],
)
def test_what_is_no_section_is_told_those_that_there_are(section: str, there: str) -> None:
    with pytest.raises(ConfigError, match=f"{section}: is not a section of the spec; there are {there}"):
        section_of(SPEC, section, title="spec")
