from pathlib import Path

import pytest

from med42lib.register.config import Gate
from med42lib.register.gate import objections
from med42lib.register.run import BaseModel, FinishedRun
from tests.register.conftest import FinishedRun as Made


@pytest.fixture
def run(finished_run: Made, tmp_path: Path) -> FinishedRun:
    """A base of Apache-2.0, and two sources of CC BY 4.0."""
    return FinishedRun.of(
        finished_run.trained(), finished_run.package("lora"), finished_run.source("report"), cache=tmp_path
    )


@pytest.mark.parametrize(
    ("allowed", "objection"),
    [
        (["apache-2.0", "cc by 4.0"], None),
        (["APACHE-2.0"], "does not name: 'CC BY 4.0' (Source a, Source b)"),
        (["CC BY 4.0", "apache"], "does not name: 'apache-2.0' (the base model)"),
        (["mit"], "does not name: 'apache-2.0' (the base model), 'CC BY 4.0' (Source a, Source b)"),
    ],
)
def test_licences_of_base_and_sources_have_to_be_among_those_allowed(
    allowed: list[str], objection: str | None, run: FinishedRun
) -> None:
    against = objections(Gate(allowed_licences=allowed), run)
    told = f"licences that register.gate.allowed_licences {objection}"
    assert against == ([] if objection is None else [told])


def test_no_list_asks_for_no_licence(run: FinishedRun) -> None:
    assert objections(Gate(), run) == []


def test_a_licence_that_nobody_stated_is_not_allowed(run: FinishedRun) -> None:
    run.__dict__["base"] = BaseModel("models/base", "0" * 64, "")
    [objection] = objections(Gate(allowed_licences=["CC BY 4.0"]), run)
    assert objection.endswith("does not name: not stated (the base model)")


def test_sources_that_are_not_known_any_more_are_not_allowed(run: FinishedRun) -> None:
    run.__dict__["mixture"] = []
    assert objections(Gate(allowed_licences=["apache-2.0"]), run) == [
        "the sources' licences are not known, as the data set is not there any more"
    ]


def test_what_the_report_does_not_tell_stands_against_a_model(run: FinishedRun) -> None:
    run.__dict__["metrics"] = {}
    assert objections(Gate(min_gain_points=0, max_leaked_share=0.5), run) == [
        "its gain over the base on clean questions is not reported; asked for is +0",
        "the share of leaked questions is not reported; allowed is 50%",
    ]


@pytest.mark.parametrize(
    ("accuracy", "objection"),
    [
        (0.57, []),  # 0.57 - 0.52 is a little less than 0.05 in floating point
        (0.5696, ["its gain over the base on clean questions is +4.96 points; asked for is +5"]),
    ],
)
def test_a_gain_that_is_just_what_is_asked_for_is_enough(
    accuracy: float, objection: list[str], run: FinishedRun
) -> None:
    run.__dict__["metrics"] = {"accuracy/clean/overall/base": 0.52, "accuracy/clean/overall/lora": accuracy}
    assert objections(Gate(min_gain_points=5), run) == objection


@pytest.mark.parametrize(
    ("direction", "objection"),
    [
        (1, []),
        (0, ["that it is better than the base is not shown by the report"]),
        (-1, ["that it is better than the base is not shown by the report"]),
        (None, ["that it is better than the base is not shown by the report"]),
    ],
)
def test_a_gain_has_to_be_one_that_the_report_shows_if_that_is_asked_for(
    direction: int | None, objection: list[str], run: FinishedRun
) -> None:
    run.summary["verdicts"]["differences"]["lora-base"]["direction"] = direction
    assert objections(Gate(gain_shown=True), run) == objection
    assert objections(Gate(min_gain_points=0.5), run) == [], "a gain in points alone may be chance"


def test_a_comparison_that_the_report_did_not_make_shows_no_gain(run: FinishedRun) -> None:
    run.summary["verdicts"]["differences"] = {}
    assert len(objections(Gate(gain_shown=True), run)) == 1
