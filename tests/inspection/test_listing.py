from collections.abc import Callable
from pathlib import Path

from med42lib.inspection.listing import NUM_SHOWN_ROWS, SourceRows, listing_lines, some_rows
from med42lib.inspection.runs import first_data_set, open_outputs
from med42lib.inspection.style import Style
from tests.hostile import UNSEEN, unseen_in
from tests.inspection.conftest import DataRun


def test_each_source_shows_its_first_rows_or_others(assembled: Callable[..., DataRun], tmp_path: Path) -> None:
    run = assembled()
    dataset = first_data_set(open_outputs([run.outputs["dataset"]], tmp_path / "cache"), tmp_path / "cache")
    questions = {example.id: example.question for example in run.examples()}
    first = some_rows(dataset, at_random=False)
    assert {source.source: source.num_rows for source in first} == {
        "headqa": 16,
        "medical_flashcards": 96,
        "medquad": 16,
    }
    assert first == some_rows(dataset, at_random=False)
    others = [some_rows(dataset, at_random=True) for _ in range(5)]
    assert any(listed != first for listed in others)
    for source in [source for listed in (first, *others) for source in listed]:
        assert len({id for id, _ in source.rows}) == NUM_SHOWN_ROWS
        assert all(id.startswith(f"{source.source}/") and questions[id] == question for id, question in source.rows)


def test_questions_are_cut_to_the_width_and_cannot_break_lines() -> None:
    rows = [("cards/ab", "What\nis\x1b " + "x" * 200)]
    lines = list(listing_lines([SourceRows("cards", 1_000, rows)], "s3://b/dataset", Style(colour=False), 60))
    assert lines[:3] == ["1,000 training rows in s3://b/dataset", "", "cards 1,000 rows"]
    assert lines[3].startswith("  cards/ab  What is\\x1b xxx")
    assert len(lines[3]) <= 60
    assert lines[3].endswith("…")


def test_no_name_steers_the_terminal() -> None:
    name = f"{UNSEEN}\n[report] x"
    lines = list(listing_lines([SourceRows(name, 1, [(name, UNSEEN)])], name, Style(colour=False), 60))
    assert len(lines) == len(list(listing_lines([SourceRows("a", 1, [("b", "c")])], "d", Style(colour=False), 60)))
    assert not unseen_in("".join(lines))
