from dataclasses import replace

import numpy as np
import pytest

from med42lib.report.pages.result_tables import accuracy_table, contamination_table, threshold_table
from med42lib.report.results.cautions import Cautions
from med42lib.report.results.contamination import ThresholdRow
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Results, analyse, overall_clean
from tests.report.models import MODELS, PAIRS
from tests.report.simulations import NO_SHARES

NAMES = ("mmlu_anatomy", "mmlu_virology", "headqa", "medqa")
ANSWERS = Answers(
    tuple(map(str, range(40))),
    np.repeat(NAMES, 10),
    np.zeros(40, dtype=np.bool_),
    {model.name: np.arange(40) % 2 == 0 for model in MODELS},
)


def results(*sources: str) -> Results:
    return analyse(ANSWERS, MODELS, PAIRS, 0.95, sources=sources)


def threshold_cells_and_note(*thresholds: float) -> tuple[list[str], str]:
    rows = [ThresholdRow(threshold, 0, overall_clean(ANSWERS, 0.95)) for threshold in thresholds]
    table = threshold_table(results(), rows, used=0.8, confidence=0.95)
    return [row.cells[0].text for row in table.rows], table.note


def test_what_is_trained_on_is_named_and_mmlu_once() -> None:
    note = accuracy_table(results("headqa", "mmlu"), Cautions({}, {}, {}), confidence=0.95, subsets=("all",)).note
    assert "Another split trained on: of MMLU, HeadQA. The others are so by name" in note


def test_benchmarks_in_which_everything_leaked_are_said_to_be_left_out_of_lines_of_several() -> None:
    table, without = (
        contamination_table(
            analyse(replace(ANSWERS, contaminated=leaked), MODELS, PAIRS, 0.95),
            NO_SHARES,
            close_match="a close match",
            confidence=0.95,
        ).note
        for leaked in (np.isin(ANSWERS.benchmark, ["headqa"]), np.arange(40) % 2 == 0)
    )
    assert "leave out the changes of those in which every question leaked: HeadQA." in table
    assert "leave out" not in without


def test_ties_of_a_model_with_several_seeds_are_those_of_all_its_trainings() -> None:
    models = (*MODELS[:2], replace(MODELS[2], trainings=("lora", "lora_seed2", "lora_seed3")))
    correct = {name: ANSWERS.correct["lora"] for model in models for name in model.trainings or (model.name,)}
    trainings = {model.name: model.trainings or (model.name,) for model in models}
    found = analyse(replace(ANSWERS, correct=correct, trainings=trainings), models, PAIRS, 0.95)
    tied = {"headqa": {"full": 2, "lora_seed2": 3, "lora_seed3": 1}, "medqa": dict.fromkeys(correct, 4)}
    note = accuracy_table(found, Cautions({}, tied, {}), confidence=0.95, subsets=("all",)).note
    assert "the first of them counts: HeadQA 0 (Base), 2 (Full), 0 to 3 (LoRA), MedQA 4." in note


@pytest.mark.parametrize(
    ("threshold", "written"), [(0.0, "0.00"), (0.8, "0.80"), (0.805, "0.805"), (1.0, "1.00"), (-0.5, "-0.50")]
)
def test_a_threshold_has_two_decimals_at_least(threshold: float, written: str) -> None:
    assert threshold_cells_and_note(threshold)[0] == [written]


def test_thresholds_below_the_used_one_are_said_to_undercount() -> None:
    assert "Below that, Leaked is too low" in threshold_cells_and_note(0.7, 0.8)[1]
    assert "Below that" not in threshold_cells_and_note(0.8, 0.9)[1]
