from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from med42lib.report.estimates import wilson
from med42lib.report.pages.reproduction import reproduction_table
from med42lib.report.pages.tables import Table
from med42lib.report.provenance.record import Provenance, read_provenance
from med42lib.report.results.table import Accuracy
from tests.report.conftest import Run
from tests.report.models import MODELS

PAPERS_BASE = 68_976_648_192
PAPERS_ADAPTER = 103_546_880
"""Of rank 8 on every linear layer."""


@pytest.fixture
def provenance(run: Run) -> Provenance:
    """The synthetic run's, of a base as large as the paper's, trained on MedQA too."""
    found = read_provenance(run.singles(), run.of("trained"), run.of("scores"))
    trained = {"full": (PAPERS_BASE, PAPERS_BASE), "lora": (PAPERS_ADAPTER, PAPERS_BASE + PAPERS_ADAPTER)}
    training = {}
    for name, (trainable, total) in trained.items():
        recipe = found.training[name].recipe
        assert recipe is not None
        sized = replace(recipe, trainable_parameters=trainable, total_parameters=total)
        training[name] = replace(found.training[name], recipe=sized)
    return replace(found, training=training, mixture=({"source": "medqa", "sampled": 1},))


def beside_paper(right: Mapping[str, tuple[int, int]], provenance: Provenance) -> Table | None:
    """By benchmark, how many of how many questions both fine-tunes answered right."""
    accuracies = {
        (benchmark, model.name, "all"): Accuracy(items, correct, wilson(correct, items, 0.95))
        for benchmark, (correct, items) in right.items()
        for model in MODELS
    }
    return reproduction_table(MODELS, accuracies, provenance)


def rows_of(table: Table) -> dict[str, list[str]]:
    return {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in table.rows}


def test_the_papers_cell_is_told_to_lie_inside_below_or_above_the_interval(provenance: Provenance) -> None:
    table = beside_paper({"medqa": (783, 1273), "mmlu_anatomy": (50, 135)}, provenance)
    assert table is not None
    assert "* Another split of this benchmark is in the mixture." in table.note
    assert "That is no test" in table.note
    assert "neither prompts nor version are stated" in table.note
    assert rows_of(table) == {
        "MMLU anatomy": ["67.4", "37.0", "above", "67.4", "37.0", "above"],
        "MedQA *": ["59.1", "61.5", "inside", "61.5", "61.5", "inside"],
    }


def test_an_adapter_alone_is_compared_as_it_is_of_the_papers_base(provenance: Provenance) -> None:
    alone = replace(provenance, training={"lora": provenance.training["lora"]})
    table = beside_paper({"medqa": (783, 1273)}, alone)
    assert table is not None
    assert "inside" in rows_of(table)["MedQA *"]


def test_a_few_questions_that_are_missing_here_are_told(provenance: Provenance) -> None:
    table = beside_paper({"medqa": (783, 1263)}, provenance)
    assert table is not None
    assert "MedQA: 1,263 questions here, 1,273 in the paper." in table.note


def test_benchmarks_with_other_questions_than_the_papers_are_not_set_beside_it(provenance: Provenance) -> None:
    assert beside_paper({"medqa": (30, 96), "mine": (1, 2)}, provenance) is None
    table = beside_paper({"medqa": (30, 96), "mmlu_anatomy": (50, 135)}, provenance)
    assert table is not None
    assert list(rows_of(table)) == ["MMLU anatomy"]
    assert "Left out, as the questions are others (how many here, in the paper): MedQA (96, 1,273)." in table.note


def test_another_base_than_the_papers_is_not_compared(run: Run) -> None:
    provenance = read_provenance(run.singles(), run.of("trained"), run.of("scores"))
    table = beside_paper({"medqa": (783, 1273)}, provenance)
    assert table is not None
    assert rows_of(table)["MedQA"] == ["59.1", "61.5", "–", "61.5", "61.5", "–"]
    assert "they are not compared" in table.note


def test_what_contradicts_itself_in_the_paper_is_said(provenance: Provenance) -> None:
    table = beside_paper({"medqa": (783, 1273)}, provenance)
    assert table is not None
    assert "sum to 10,437 questions, 241 of them contaminated, its total says 11,904 and 280" in table.note


def test_cells_that_the_paper_quotes_from_others_are_not_called_contradictions(provenance: Provenance) -> None:
    table = beside_paper({"medqa": (783, 1273)}, provenance)
    assert table is not None
    assert "of which some scored other numbers of questions than Table A2's." in table.note
    assert "GPT-4" not in table.note


def test_the_page_shows_it_where_a_run_scored_the_papers_questions(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("med42lib.report.pages.reproduction._MOST_MISSING", 10.0)
    output = run.make_report()
    for page in ("report.html", "report.md"):
        assert "Table 1, in percent, leaked questions included" in (output / page).read_text()
