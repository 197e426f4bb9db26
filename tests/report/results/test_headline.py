import numpy as np
import pytest

from med42lib.report.results.headline import LEAK_QUESTION, Answer, make_answers, remarks
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Results, analyse
from tests.report.models import MODELS, PAIRS

FULL_GAIN, LORA_GAIN = (
    f"Is the gain of {subject} larger on leaked questions?"
    for subject in ("this full fine-tune", "this LoRA fine-tune")
)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def results_of(base: str, full: str, lora: str, leaked: str = "", benchmarks: str = "") -> Results:
    """Compare the models; `+` is a right answer, and in `leaked` a contaminated item."""
    models = {"base": base, "full": full, "lora": lora}
    answers = Answers(
        item_ids=tuple(str(number) for number in range(len(base))),
        benchmark=np.array([{"h": "headqa"}.get(letter, "medqa") for letter in benchmarks.ljust(len(base))]),
        contaminated=np.array([mark == "+" for mark in leaked.ljust(len(base), "-")]),
        correct={name: np.array([mark == "+" for mark in marks]) for name, marks in models.items()},
    )
    return analyse(answers, MODELS, PAIRS, 0.95)


def findings_of(
    base: str, full: str, lora: str, leaked: str = "", benchmarks: str = "", margin: float = 0.0
) -> dict[str, Answer]:
    """Make the findings of such answers."""
    results = results_of(base, full, lora, leaked, benchmarks)
    findings = make_answers(results, close_match="a close match", confidence=0.95, equivalence_points=margin)
    return {finding.question: finding for finding in findings}


def test_sentences_state_n_shares_interval_and_the_p_value_that_decides() -> None:
    found = findings_of(base="-" * 40, full="+" * 30 + "-" * 10, lora="+" + "-" * 39)
    helped = found["Did this full fine-tune help?"]
    assert helped.verdict == "Yes"
    assert helped.figure == "+75.0"
    assert "Of 40 questions, this full fine-tune answers 75.0\N{NO-BREAK SPACE}% right" in helped.sentence
    assert "the base model 0.0\N{NO-BREAK SPACE}%" in helped.sentence
    assert f"interval {helped.interval})" in helped.sentence
    assert "Chance alone would hardly do that (adjusted for 3 questions, p < 0.001)." in plain(helped.sentence)


def test_beside_what_is_not_shown_stands_the_smallest_difference_that_could_have_been() -> None:
    found = findings_of(base="-" * 400, full="+" * 300 + "-" * 100, lora="+" * 5 + "-" * 395)[
        "Did this LoRA fine-tune help?"
    ]
    assert found.verdict == "Yes"
    found = findings_of(base="-+" * 100, full="+-" * 100, lora="-+" * 99 + "+-")[
        "Is this full fine-tune better than this LoRA fine-tune?"
    ]
    assert found.verdict == "Not shown"
    assert "Chance could explain it (adjusted for 3 questions, p = 1.00)." in plain(found.sentence)
    assert (
        "The smallest difference that these questions would show in four of five runs is 22.6 points." in found.sentence
    )


def test_a_harmful_fine_tune_is_called_worse() -> None:
    found = findings_of(base="+" * 30, full="-" * 30, lora="+" * 30)
    assert found["Did this full fine-tune help?"].verdict == "No, worse"


def test_one_of_several_questions_is_not_answered_because_its_own_interval_excludes_zero() -> None:
    # Seven disagreements, all one way: p = 0.008 alone, 0.023 for three questions; five: 0.031 and 0.094.
    seven, five = (
        findings_of(base="-" * 100, full="+" * num + "-" * (100 - num), lora=("+" * num).rjust(100, "-"))
        for num in (7, 5)
    )
    assert seven["Did this full fine-tune help?"].verdict == "Yes"
    not_shown = five["Did this full fine-tune help?"]
    assert not_shown.verdict == "Not shown"
    assert not_shown.interval.startswith("+")
    assert "p = 0.094" in plain(not_shown.sentence)
    assert "The interval excludes zero as it is of this number alone" in not_shown.sentence


def test_an_interval_inside_the_margin_that_was_stated_is_called_equal() -> None:
    same = {"base": "-+" * 500, "full": "-+" * 500, "lora": "-+" * 500}
    assert findings_of(**same)["Did this LoRA fine-tune help?"].verdict == "Not shown"
    within = findings_of(**same, margin=2.0)["Did this LoRA fine-tune help?"]
    assert within.verdict == "No, equal within 2 points"
    assert within.sentence.endswith(
        "All of the interval lies within 2 points, the margin that this report's settings state."
    )
    assert findings_of(**same, margin=0.1)["Did this LoRA fine-tune help?"].verdict == "Not shown"


def test_comparisons_leave_leaked_questions_out() -> None:
    found = findings_of(base="-" * 40, full="+" * 20 + "-" * 20, lora="-" * 40, leaked="+" * 20)
    helped = found["Did this full fine-tune help?"]
    assert helped.figure == "0.0"
    assert "Of 20 questions without a close match, this full" in helped.sentence


def test_each_fine_tune_has_its_own_verdict_and_figure_on_leaks() -> None:
    base, gain = "-+" * 100, "++" * 20 + "-+" * 78 + "+-" * 2
    found = findings_of(base=base, full=base, lora=gain, leaked="+" * 40)
    assert (found[FULL_GAIN].verdict, found[FULL_GAIN].figure) == ("Not shown", "0.0")
    assert (found[LORA_GAIN].verdict, found[LORA_GAIN].figure) == ("Yes", "+10.0")
    gained = "On 40 leaked questions (20.0\N{NO-BREAK SPACE}% of all) its gain over the base model is +50.0 points"
    assert gained in found[LORA_GAIN].sentence
    assert "on the other questions of the same benchmarks, weighted alike, 0.0" in found[LORA_GAIN].sentence


def test_a_gain_on_leaked_questions_says_how_many_of_them_have_others_to_be_compared_with() -> None:
    # Ten of a hundred of MedQA leaked, and all of HeadQA, where the fine-tune gains everything.
    base, gain = "-+" * 50 + "-" * 30, "-+" * 50 + "+" * 30
    found = findings_of(base, gain, base, leaked="+" * 10 + "-" * 90 + "+" * 30, benchmarks="m" * 100 + "h" * 30)
    said = plain(found[FULL_GAIN].sentence)
    counted = "On 10 of 40 leaked questions (the others are in benchmarks in which every question leaked: HeadQA)"
    assert said.startswith(f"{counted} its gain over the base model is 0.0 points, on the other questions")
    assert "to its gain over all of these. " in said


def test_what_odds_rest_on_is_said_beside_the_answers() -> None:
    results = results_of(base="-+" * 100, full="-+" * 100, lora="++" * 100, leaked="+" * 40)
    said = " ".join(remarks(results, confidence=0.95, dropped=False))
    assert "the odds of which model is right where only one is" in said
    assert "if it moves every model's odds alike" in said


def test_what_else_than_knowledge_a_gain_may_be_is_said_beside_the_answers() -> None:
    results = results_of(base="-+" * 100, full="-+" * 100, lora="++" * 100, leaked="+" * 40)
    said = " ".join(remarks(results, confidence=0.95, dropped=False, num_of_sources=90, in_taught_format=True))
    assert "The base model was asked in the prompt format that fine-tunes are taught" in said
    assert "Of the 160 questions 90 are of benchmarks of which another split is trained on" in said
    said = " ".join(remarks(results, confidence=0.95, dropped=False))
    assert "taught" not in said
    assert "another split" not in said


def test_an_answer_that_leaks_would_change_is_named() -> None:
    base, gain = "-+" * 100, "++" * 20 + "-+" * 78 + "+-" * 2
    found = findings_of(base=base, full=base, lora=gain, leaked="+" * 40)
    turned = "Did this LoRA fine-tune help? Is this full fine-tune better than this LoRA fine-tune?"
    assert found[LORA_GAIN].sentence.endswith(f"If they counted too, the answer would be different to: {turned}")
    found = findings_of(base=base, full=base, lora="++" * 100, leaked="++")
    assert found[LORA_GAIN].sentence.endswith(
        "If they counted too, no answer above about this LoRA fine-tune would be different."
    )


def test_a_larger_gain_that_easier_questions_alone_explain_is_not_claimed() -> None:
    # Of 200 leaked questions, which the models disagree on more, LoRA wins 60 and loses 20; of 2,000 others 150 and 50.
    lora = "+" * 60 + "-" * 20 + "-" * 120 + "+" * 150 + "-" * 50 + "-" * 1800
    base = "-" * 60 + "+" * 20 + "-" * 120 + "-" * 150 + "+" * 50 + "-" * 1800
    found = findings_of(base=base, full=base, lora=lora, leaked="+" * 200)[LORA_GAIN]
    assert found.interval.startswith("+")
    assert found.verdict == "Not shown"
    assert "That p value is of odds" in found.sentence
    assert "the odds that it is the fine-tune differ no more than chance explains" in found.sentence


def test_a_few_leaks_do_not_show_anything() -> None:
    leaks = findings_of(base="-+" * 20, full="+-" * 20, lora="-+" * 20, leaked="+" * 14)[FULL_GAIN]
    assert leaks.verdict == "Not shown"
    assert "The smallest addition that these questions would show, were points enough," in leaks.sentence


def test_where_nothing_could_be_shown_no_smallest_difference_is_named() -> None:
    found = findings_of(base="-+-+", full="+-+-", lora="-+-+", leaked="++--")
    differs = found["Did this full fine-tune help?"].sentence
    assert "So few questions cannot show any difference." in differs
    assert "With these questions no possible addition would show in four of five runs." in found[FULL_GAIN].sentence
    assert "The smallest" not in differs + found[FULL_GAIN].sentence


def test_no_leaks_are_reported_as_none_found() -> None:
    leaks = findings_of(base="-+", full="++", lora="--")[LEAK_QUESTION]
    assert (leaks.verdict, leaks.interval) == ("None found", "")


@pytest.mark.parametrize("num", [1, 2])
def test_one_question_is_one(num: int) -> None:
    found = findings_of(base="-" * num, full="+" * num, lora="-" * num)["Did this full fine-tune help?"]
    assert found.sentence.startswith("Of 1 question," if num == 1 else "Of 2 questions,")
