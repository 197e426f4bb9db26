import pytest

from med42lib.report.results.published import (
    COLUMNS,
    TABLE_1,
    TABLE_A2_TOTAL,
    cells_that_fit_no_whole_number,
    fits_a_whole_number,
    rows_of_a2,
)

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


def test_grim_finds_the_cells_that_no_whole_number_of_right_answers_gives() -> None:
    unfit = cells_that_fit_no_whole_number()
    assert ("usmle_sample_exam", "ClinicalCamel") in unfit
    assert ("mmlu_college_medicine", "ClinicalCamel") in unfit
    med42 = [group for group, column in unfit if column == COLUMNS[1]]
    assert med42 == []


@pytest.mark.parametrize(
    ("percent", "items", "fits"),
    [(72.0, 325, True), (54.3, 324, True), (54.3, 325, False), (67.0, 173, False), (50.0, 1, False), (100.0, 7, True)],
)
def test_a_percentage_fits_if_a_whole_number_of_the_items_rounds_to_it(percent: float, items: int, fits: bool) -> None:
    assert fits_a_whole_number(percent, items) is fits


def test_without_leaks_the_paper_moves_as_table_a3_says() -> None:
    moves = {row.group: round((row.accuracies[1] or 0) - row.clean[1], 1) for row in TABLE_1}
    assert moves["medmcqa"] == -0.6
    assert moves["mmlu_medical_genetics"] == 0.9
