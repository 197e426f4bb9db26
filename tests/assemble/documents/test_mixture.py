import json
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import load_source
from tests.assemble.small_sources import ADVICE, CARDS, mixture, run_stage, write_advice, write_cards

CHAIN = ("read", "rejected", "excluded", "too_short", "too_long", "duplicates", "duplicates_across_sources", "kept")


def row(data: Path, source: str, settings_of_source: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Run the stage on one source, and give its row."""
    return mixture(run_stage(data, data.parent / "out", {source: settings_of_source}, **others))[source]


@pytest.fixture
def cards(data: Path) -> Path:
    """Ten cards: seven good, one twice but for its case, one too long, one without an answer."""
    path = write_cards(data, ["a", "b", "c", "d", "e", "f", "g", "A", "x" * 100])
    path.write_text(json.dumps([*json.loads(path.read_text()), {"input": "Nothing?"}]))
    return data


def test_the_counts_follow_one_another_from_read_to_sampled(cards: Path) -> None:
    found = row(cards, "medical_flashcards", {"target": 5}, max_rejected_share=0.2, max_characters=90)
    assert [found[name] for name in CHAIN] == [10, 1, 0, 0, 1, 1, 0, 7]
    assert [found[n] for n in ("target", "target_rows", "sampled", "left_over", "short_by")] == [5, 5, 5, 2, 0]
    assert found["rejected_by_reason"] == {"output is missing": 1}


def test_a_shortage_and_repetitions_stand_in_the_row(cards: Path) -> None:
    found = row(cards, "medical_flashcards", {"target": 50, "repeat": 3}, max_rejected_share=0.2)
    assert [found[name] for name in ("kept", "target_rows", "short_by", "left_over")] == [8, 50, 42, 0]
    assert [found[name] for name in ("sampled", "repeated")] == [24, 16]


def test_a_share_is_shown_as_it_was_given_and_in_rows(cards: Path) -> None:
    found = row(cards, "medical_flashcards", {"target": "25.5 %"}, max_rejected_share=0.2, total=20)
    assert [found[name] for name in ("target", "target_rows", "sampled")] == ["25.5 %", 5, 5]


def test_a_row_says_who_made_the_source_and_what_the_paper_has(cards: Path) -> None:
    found = row(cards, "medical_flashcards", {"target": 1}, max_rejected_share=0.2)
    source = load_source("medical_flashcards")
    for field in ("title", "domain", "num_paper", "num_paper_origin"):
        assert found[field] == getattr(source, field)
    for field in ("licence", "attribution", "citation"):
        assert found[field] == getattr(source.facts, field)
    assert (found["layout"], found["hub"]) == ("publisher", None)


def test_the_licence_of_the_settings_replaces_the_publishers(cards: Path) -> None:
    found = row(cards, "medical_flashcards", {"target": 1, "licence": "mine"}, max_rejected_share=0.2)
    assert found["licence"] == "mine"


def test_exactly_the_files_that_were_opened_are_listed_with_their_hashes(data: Path) -> None:
    write_advice(data, {"a": ["Take this."], "b": ["Or that."]})
    (data / ADVICE / "README.txt").write_text("read me")
    files = row(data, "health_advice", {"target": "all"})["files"]
    assert [file["path"] for file in files] == [f"{ADVICE}/annotations_a.csv", f"{ADVICE}/annotations_b.csv"]
    assert [file["bytes"] for file in files] == [(data / file["path"]).stat().st_size for file in files]
    assert all(len(file["sha256"]) == 64 for file in files)


def test_there_is_one_row_per_source_in_the_order_of_names_and_no_place_of_this_machine(cards: Path) -> None:
    write_advice(cards, {"a": ["Take this."]})
    sources = {"medical_flashcards": {"target": 1}, "health_advice": {"target": 1}}
    out = run_stage(cards, cards.parent / "out", sources, max_rejected_share=0.2)
    assert list(mixture(out)) == ["health_advice", "medical_flashcards"]
    assert str(cards.parent) not in (out / "mixture.json").read_text()
    assert CARDS in (out / "mixture.json").read_text()


def test_duplicates_across_sources_are_counted_in_the_later_source(data: Path, write: Any, headqa: Any) -> None:
    write("headqa/HEAD_EN/train_HEAD_EN.json", headqa(3))
    card = {"input": "Question 1?", "output": "Option 1.2"}
    write(CARDS, [card, {"input": "Other?", "output": "Yes"}])
    sources = {"headqa": {"target": "all", "multiple_choice": "texts"}, "medical_flashcards": {"target": "all"}}
    rows = {
        knob: mixture(run_stage(data, data.parent / knob, sources, duplicates_across_sources=knob))
        for knob in ("keep", "drop")
    }
    assert {knob: rows[knob]["medical_flashcards"]["duplicates_across_sources"] for knob in rows} == {
        "keep": 1,
        "drop": 1,
    }
    assert {knob: rows[knob]["medical_flashcards"]["sampled"] for knob in rows} == {"keep": 2, "drop": 1}
    assert {knob: rows[knob]["headqa"]["sampled"] for knob in rows} == {"keep": 3, "drop": 3}
