import pytest

from med42lib.report import formatting
from med42lib.report.estimates import Estimate


def test_limits_are_signed_only_for_differences() -> None:
    estimate = Estimate(0.02, -0.011, 0.034)
    assert formatting.interval_limits(estimate) == "[-1.1, 3.4]"
    assert formatting.interval_limits(estimate, signed=True) == "[−1.1, +3.4]"
    assert formatting.interval_in_prose(estimate) == "−1.1 to +3.4"
    assert formatting.interval_limits(None) == ""


def test_an_interval_shows_on_which_side_of_zero_it_ends() -> None:
    assert formatting.interval_in_prose(Estimate(0.05, 0.0002, 0.1)) == "+0.02 to +10.0"
    assert formatting.interval_limits(Estimate(-0.05, -0.1, -0.0004), signed=True) == "[−10.0, −0.04]"
    assert formatting.interval_in_prose(Estimate(0.05, 0.0, 0.1)) == "0.0 to +10.0"


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.24, "8.2 s"), (185.0, "3 min 05 s"), (7620.0, "2 h 07 min"), (None, "–")]
)
def test_durations_use_the_unit_that_fits(seconds: float | None, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5e-5, "5 × 10⁻⁵"),
        (0.006, "0.006"),
        (1.0, "1"),
        (4096, "4,096"),
        (True, "yes"),
        (None, "–"),
        ([0.9, 0.95], "0.9, 0.95"),
        ("best_fit", "best fit"),
    ],
)
def test_settings_are_readable(value: object, text: str) -> None:
    assert formatting.setting(value) == text


@pytest.mark.parametrize(
    ("stems_apart", "dropped", "text"),
    [
        (False, False, "a training question of cosine above 0.8"),
        (True, False, "a training question of cosine above 0.8 that shares more than a generic stem"),
        (
            True,
            True,
            "a training question of cosine above 0.8 that shares more than a generic stem, dropped before training",
        ),
    ],
)
def test_what_leaked_questions_have_is_no_more_than_what_clean_ones_lack(
    stems_apart: bool, dropped: bool, text: str
) -> None:
    assert formatting.close_match(0.8, stems_apart=stems_apart, dropped=dropped) == text


def test_whole_numbers_have_thousands_separated() -> None:
    assert formatting.integer(1273) == "1,273"
    assert formatting.integer(None) == "–"
