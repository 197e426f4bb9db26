import math
from collections.abc import Sequence

import pytest

from med42lib.report.results.published import COLUMN_OF_METHOD, SOURCES, TABLE_1, TABLE_A2_TOTAL, rows_of_a2

MMLU = [row for row in TABLE_1 if row.group.startswith("mmlu_") and row.num_items]


def test_the_rows_of_table_a2_sum_to_less_than_its_total() -> None:
    assert rows_of_a2() == (10_437, 241)
    assert TABLE_A2_TOTAL == (11_904, 280)


@pytest.mark.parametrize("column", range(2))
def test_the_papers_average_of_mmlu_weighs_its_topics_equally(column: int) -> None:
    cells = [row.accuracies[column] or 0 for row in MMLU]
    assert round(sum(cells) / 6, 1) == TABLE_1[0].accuracies[column] == 76.7


def test_weighted_by_items_the_papers_full_fine_tune_has_less() -> None:
    items = sum(row.num_items or 0 for row in MMLU)
    assert round(sum((row.accuracies[1] or 0) * (row.num_items or 0) for row in MMLU) / items, 1) == 76.3


def fits_a_whole_number(percent: float, num_items: int) -> bool:
    """Say whether some whole number of right answers, of so many, gives this percentage to one decimal.

    The GRIM test: N. J. L. Brown and J. A. J. Heathers, Soc. Psychol. Personal. Sci. 8 (2017) 363-369. Halves may have
    been rounded either way.
    """
    lowest = math.ceil((percent - 0.05 - 1e-9) * num_items / 100)
    return lowest <= math.floor((percent + 0.05 + 1e-9) * num_items / 100)


def unfit(columns: Sequence[str]) -> set[tuple[str, str]]:
    """The cells of Table 1 that no whole number of right answers gives, of as many questions as Table A2 has."""
    cells = [(row, name, row.accuracy(name)) for row in TABLE_1 for name in columns]
    return {
        (row.group, name)
        for row, name, percent in cells
        if row.num_items and percent is not None and not fits_a_whole_number(percent, row.num_items)
    }


def test_each_cell_of_the_papers_own_models_is_a_whole_number_of_right_answers() -> None:
    assert unfit(list(COLUMN_OF_METHOD.values())) == set()


def test_cells_that_the_paper_quotes_are_of_other_numbers_of_questions() -> None:
    assert {("usmle_self_assessment", "GPT-4"), ("usmle_sample_exam", "ClinicalCamel")} < unfit(list(SOURCES))


def test_without_leaks_the_paper_moves_as_table_a3_says() -> None:
    moves = {row.group: round((row.accuracies[1] or 0) - row.clean[1], 1) for row in TABLE_1}
    assert moves["medmcqa"] == -0.6
    assert moves["mmlu_medical_genetics"] == 0.9
