import numpy as np
import pytest

from med42lib.report.estimates import Estimate
from med42lib.report.results.headline import LEAK_QUESTION, Answer, make_answers, verdict_of
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import analyse
from tests.report.models import MODELS, PAIRS


def findings_of(base: str, full: str, lora: str, leaked: str = "") -> dict[str, Answer]:
    """Make the findings; `+` is a right answer, and in `leaked` a contaminated item."""
    models = {"base": base, "full": full, "lora": lora}
    answers = Answers(
        item_ids=tuple(str(number) for number in range(len(base))),
        benchmark=np.array(["medqa"] * len(base)),
        contaminated=np.array([mark == "+" for mark in leaked.ljust(len(base), "-")]),
        correct={name: np.array([mark == "+" for mark in marks]) for name, marks in models.items()},
    )
    return {
        finding.question: finding for finding in make_answers(analyse(answers, MODELS, PAIRS, 0.95), confidence=0.95)
    }


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "Yes"), (-0.2, -0.01, "No, worse"), (-0.1, 0.2, "Not shown"), (0.0, 0.2, "Not shown")],
)
def test_a_difference_is_claimed_only_if_its_interval_excludes_zero(low: float, high: float, verdict: str) -> None:
    assert verdict_of(Estimate((low + high) / 2, low, high)) == verdict


def test_sentences_state_n_shares_and_interval() -> None:
    found = findings_of(base="-" * 40, full="+" * 30 + "-" * 10, lora="+" + "-" * 39)
    helped = found["Did full fine-tuning help?"]
    assert helped.verdict == "Yes"
    assert helped.figure == "+75.0"
    assert "Of 40 questions, full fine-tuning answers 75.0\N{NO-BREAK SPACE}% right" in helped.sentence
    assert "the base model 0.0\N{NO-BREAK SPACE}%" in helped.sentence
    assert f"interval {helped.interval})" in helped.sentence


def test_a_small_difference_is_not_claimed() -> None:
    found = findings_of(base="-" * 40, full="+" * 30 + "-" * 10, lora="+" + "-" * 39)["Did LoRA help?"]
    assert found.verdict == "Not shown"
    assert found.sentence.endswith("The interval includes zero, so chance could explain it.")


def test_a_harmful_fine_tune_is_called_worse() -> None:
    found = findings_of(base="+" * 30, full="-" * 30, lora="+" * 30)
    assert found["Did full fine-tuning help?"].verdict == "No, worse"


def test_comparisons_leave_leaked_questions_out() -> None:
    found = findings_of(base="-" * 40, full="+" * 20 + "-" * 20, lora="-" * 40, leaked="+" * 20)
    assert found["Did full fine-tuning help?"].figure == "0.0"
    assert "Of 20 questions without a close match" in found["Did full fine-tuning help?"].sentence


def test_leaks_that_made_the_gain_are_reported_as_such() -> None:
    leaks = findings_of(base="-" * 40, full="+" * 20 + "-" * 20, lora="-" * 40, leaked="+" * 20)[LEAK_QUESTION]
    assert leaks.verdict == "Yes, and an answer above depends on it"
    assert leaks.figure == "−50.0"
    assert "With them, the answer would be different to: Did full fine-tuning help?" in leaks.sentence


def test_leaks_that_changed_no_answer_are_reported_as_such() -> None:
    leaks = findings_of(base="-" * 200, full="+" * 100 + "-" * 100, lora="-" * 200, leaked="+" * 40)[LEAK_QUESTION]
    assert leaks.verdict == "Yes, but every answer above stands"
    assert "40 of 200 scored questions (20.0\N{NO-BREAK SPACE}%)" in leaks.sentence


def test_a_few_leaks_do_not_show_anything() -> None:
    leaks = findings_of(base="-+" * 20, full="+-" * 20, lora="-+" * 20, leaked="++")[LEAK_QUESTION]
    assert leaks.verdict == "Not shown"


def test_no_leaks_are_reported_as_none_found() -> None:
    leaks = findings_of(base="-+", full="++", lora="--")[LEAK_QUESTION]
    assert (leaks.verdict, leaks.interval) == ("None found", "")
