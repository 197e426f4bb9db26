import pytest

from med42lib.report import formatting
from med42lib.report.estimates import Estimate


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("medqa", "MedQA"),
        ("mmlu_college_biology", "MMLU college biology"),
        ("mmlu_average", "MMLU (average)"),
        ("usmle_sample_exam", "USMLE sample exam"),
        ("usmle_self_assessment", "USMLE self-assessment"),
        ("usmle_average", "USMLE (average)"),
        ("my_own_set", "My own set"),
    ],
)
def test_names_are_written_for_people(key: str, name: str) -> None:
    assert formatting.display_name(key) == name


def test_a_confidence_level_keeps_its_decimals_and_stays_on_one_line() -> None:
    assert formatting.percent_of(0.95) == "95\N{NO-BREAK SPACE}%"
    assert formatting.percent_of(0.995) == "99.5\N{NO-BREAK SPACE}%"


def test_shares_and_differences_have_one_decimal() -> None:
    assert formatting.percent(0.5432) == "54.3"
    assert formatting.points(0.0213) == "+2.1"
    assert formatting.points(-0.03) == "−3.0"
    assert formatting.percent(None) == formatting.points(None) == "–"


@pytest.mark.parametrize("tiny", [0.0, 0.0004, -0.0004])
def test_what_rounds_to_zero_has_no_sign(tiny: float) -> None:
    assert formatting.points(tiny) == "0.0"


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


def test_a_p_value_reads_well_in_a_sentence() -> None:
    written = [formatting.p_in_prose(p).replace("\N{NO-BREAK SPACE}", " ") for p in (0.031, 0.0002)]
    assert written == ["p = 0.031", "p < 0.001"]


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0004, "< 0.001"),
        (0.0129, "0.013"),
        (0.0499, "< 0.05"),
        (0.05, "0.050"),
        (0.0501, "> 0.05"),
        (0.45, "0.45"),
        (1.0, "1.00"),
        (None, "–"),
    ],
)
def test_p_values_keep_the_digits_that_count(p: float | None, text: str) -> None:
    assert formatting.p_value(p) == text


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


def test_whole_numbers_have_thousands_separated() -> None:
    assert formatting.integer(1273) == "1,273"
    assert formatting.integer(None) == "–"
