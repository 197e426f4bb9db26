import pytest

from med42lib.formats import written


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
    assert written.display_name(key) == name


def test_a_confidence_level_keeps_its_decimals_and_stays_on_one_line() -> None:
    assert written.percent_of(0.95) == "95\N{NO-BREAK SPACE}%"
    assert written.percent_of(0.995) == "99.5\N{NO-BREAK SPACE}%"


def test_shares_and_differences_have_one_decimal() -> None:
    assert written.percent(0.5432) == "54.3"
    assert written.points(0.0213) == "+2.1"
    assert written.points(-0.03) == "−3.0"
    assert written.percent(None) == written.points(None) == "–"


@pytest.mark.parametrize("tiny", [0.0, 0.0004, -0.0004])
def test_what_rounds_to_zero_has_no_sign(tiny: float) -> None:
    assert written.points(tiny) == "0.0"


def test_a_p_value_reads_well_in_a_sentence() -> None:
    said = [written.p_in_prose(p).replace("\N{NO-BREAK SPACE}", " ") for p in (0.031, 0.0002)]
    assert said == ["p = 0.031", "p < 0.001"]


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
    assert written.p_value(p) == text
