from med42lib.report.estimates import wilson
from med42lib.report.pages.subject_table import MAX_ROWS, subject_table
from med42lib.report.provenance.models import Model
from med42lib.report.results.subjects import SubjectScores
from med42lib.report.results.table import Accuracy, Results
from med42lib.report.results.verdicts import Verdicts

RESULTS = Results((Model("base", "base", 0),), (), (), {}, {}, {}, {}, Verdicts("all", {}, {}, {}, {}, answerable=True))


def scores(benchmark: str, subject: str, n: int) -> SubjectScores:
    return SubjectScores(benchmark, subject, {"base": Accuracy(n, n, wilson(n, n, 0.95))})


def test_of_very_many_subjects_those_with_the_most_questions_are_shown_in_their_order() -> None:
    every = [scores("medmcqa", f"subject {number:03d}", 1 + number) for number in range(MAX_ROWS + 20)]
    table = subject_table(RESULTS, every, confidence=0.95)
    assert [row.cells[1].text for row in table.rows] == [f"subject {n:03d}" for n in range(20, MAX_ROWS + 20)]
    assert table.note.startswith("The 100 of 120 subjects with the most questions.")


def test_a_topic_of_mmlu_is_named_once() -> None:
    (row,) = subject_table(RESULTS, [scores("mmlu_college_biology", "college biology", 9)], confidence=0.95).rows
    assert [cell.text for cell in row.cells[:3]] == ["MMLU", "college biology", "9"]
