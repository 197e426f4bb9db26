import json
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.dataset import read_examples
from tests.assemble.small_sources import CARDS, mixture, run_stage, write_cards

HEADQA = "headqa/HEAD_EN/train_HEAD_EN.json"
Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Run:
    """Run the stage on the data folder; gives the folder it wrote."""
    runs = (tmp_path / f"out{number}" for number in count())
    return lambda sources, **others: run_stage(data, next(runs), sources, **others)


def rejects(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]


def test_the_mixture_has_the_targets_the_counts_and_where_every_row_came_from(
    run: Run, data: Path, write: Any, headqa: Any, headqa_row: Any
) -> None:
    image, broken, twice = (
        headqa_row(90, image="x.png"),
        headqa_row(91, ra="9"),
        headqa_row(1, qid="92", remark="medicine"),
    )
    path = write(HEADQA, headqa(40, image, broken, twice))
    write_cards(data, map(str, range(5)))
    out = run(
        {"headqa": {"target": 20}, "medical_flashcards": {"target": 9, "licence": "Apache-2.0"}},
        max_rejected_share=0.05,
    )
    examples = list(read_examples(out))
    assert [e.source for e in examples].count("headqa") == 20
    assert {(e.origin.publisher_id, e.origin.file) for e in examples if e.source == "headqa"} < {
        (f"exam-{n}", HEADQA) for n in range(1, 41)
    }
    assert {e.licence for e in examples if e.source == "medical_flashcards"} == {"Apache-2.0"}

    row = mixture(out)["headqa"]
    counts = ("read", "rejected", "excluded", "duplicates", "kept", "target", "sampled", "short_by")
    assert [row[name] for name in counts] == [43, 1, 1, 1, 40, 20, 20, 0]
    assert row["rejected_by_reason"] == {"the answer is outside the options": 1}
    assert [(file["path"], file["bytes"]) for file in row["files"]] == [(HEADQA, path.stat().st_size)]
    assert (row["unread_fields"], mixture(out)["medical_flashcards"]["unread_fields"]) == ({"remark": 1}, {})
    short = mixture(out)["medical_flashcards"]
    assert (short["kept"], short["target"], short["sampled"], short["short_by"]) == (5, 9, 5, 4)
    assert [(r["source"], r["file"], r["line"], r["kind"], r["reason"]) for r in rejects(out)] == [
        ("headqa", HEADQA, 41, "excluded", "the question is about an image"),
        ("headqa", HEADQA, 42, "rejected", "the answer is outside the options"),
    ]


def test_equal_data_give_equal_bytes_whatever_the_order_of_sources_in_the_settings(
    run: Run, data: Path, write: Any, headqa: Any
) -> None:
    write(HEADQA, headqa(30))
    write_cards(data, map(str, range(30)))
    one = run({"headqa": {"target": 10}, "medical_flashcards": {"target": "all"}})
    other = run({"medical_flashcards": {"target": "all"}, "headqa": {"target": 10}})
    documents = ("mixture.md", "mixture.csv", "README.md", "croissant.json")
    for name in ("examples.parquet", "rejects.jsonl", "mixture.json", *documents):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_growing_a_target_keeps_the_examples_and_their_order(run: Run, write: Any, headqa: Any) -> None:
    write(HEADQA, headqa(30))
    small = [e.id for e in read_examples(run({"headqa": {"target": 10}}))]
    large = [e.id for e in read_examples(run({"headqa": {"target": 25}}))]
    assert [id for id in large if id in small] == small


def test_sources_are_mixed_not_strung_together(run: Run, data: Path, write: Any, headqa: Any) -> None:
    write(HEADQA, headqa(50))
    write_cards(data, map(str, range(50)))
    order = [e.source for e in read_examples(run({n: {"target": "all"} for n in ("headqa", "medical_flashcards")}))]
    changes = sum(here != there for here, there in pairwise(order))
    assert 30 <= changes <= 70


def test_a_sources_own_form_overrides_the_stages(run: Run, write: Any, headqa: Any) -> None:
    write(HEADQA, headqa(1))
    letters = next(read_examples(run({"headqa": {"target": 1}})))
    texts = next(read_examples(run({"headqa": {"target": 1, "multiple_choice": "texts"}})))
    assert letters.exchanges[0].assistant == "B. option 1.2"
    assert texts.exchanges[0].assistant == "option 1.2"
    assert letters.question == texts.question == "Question 1?"


def test_another_path_in_the_data_folder_is_read(run: Run, write: Any, headqa: Any) -> None:
    write("mine.json", headqa(3))
    assert mixture(run({"headqa": {"target": "all", "path": "mine.json"}}))["headqa"]["sampled"] == 3


def test_all_missing_sources_are_named_at_once_with_the_files_there_are(run: Run, data: Path) -> None:
    write_cards(data, ["fever"])
    targets = {name: {"target": 1} for name in ("headqa", "medical_flashcards", "medmcqa")}
    with pytest.raises(DataError, match=rf"2 of 3 sources are missing; .* has {CARDS}") as error:
        run({**targets, "medmcqa": {"target": 1, "path": "mine/**/*.json"}})
    assert f"headqa: {error_address(error)} has no '{HEADQA}'" in str(error.value)
    assert "medmcqa: " in str(error.value)
    assert "has no 'mine/**/*.json'" in str(error.value)


def error_address(error: pytest.ExceptionInfo[DataError]) -> str:
    return str(error.value).partition("missing; ")[2].partition(" has ")[0]


def test_a_document_cut_in_the_middle_fails_with_the_position(run: Run, write: Any, headqa: Any) -> None:
    write(HEADQA, json.dumps(headqa(3), indent=1)[:200])
    with pytest.raises(DataError, match=rf"{HEADQA} is not a whole JSON document: .* line \d+ column \d+"):
        run({"headqa": {"target": 1}})


def test_an_empty_source_fails(run: Run, write: Any, headqa: Any) -> None:
    write(HEADQA, headqa(0))
    with pytest.raises(DataError, match="headqa: its files hold no records"):
        run({"headqa": {"target": 1}})


@pytest.mark.parametrize(
    ("settings", "went"),
    [
        ({"min_characters": 500}, "3 have less than min_characters = 500, 0 more than max_characters = None"),
        ({"max_characters": 5}, "0 have less than min_characters = 0, 3 more than max_characters = 5"),
        ({"total": 1, "sources": {"headqa": {"target": "1 %"}}}, "take none of the 3 others"),
    ],
)
def test_a_mixture_without_a_row_fails_and_says_where_the_rows_went(
    run: Run, write: Any, headqa: Any, settings: dict[str, Any], went: str
) -> None:
    write(HEADQA, headqa(3))
    with pytest.raises(DataError, match=f"no example is left for the mixture: .*{went}"):
        run(**{"sources": {"headqa": {"target": "all"}}, **settings})


def test_too_many_rejects_fail_naming_reasons_and_examples(run: Run, write: Any, headqa: Any, headqa_row: Any) -> None:
    write(HEADQA, headqa(9, headqa_row(10, ra=None)))
    with pytest.raises(DataError, match=r"1 of 10 records were rejected \(10.0%\)") as error:
        run({"headqa": {"target": 1}}, max_rejected_share=0.09)
    assert f"1 × the question has no answer, first at {HEADQA}:10 (ra)" in str(error.value)
    run({"headqa": {"target": 1}}, max_rejected_share=0.1)


def test_a_link_out_of_the_folder_is_refused(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("[]")
    (data / "medical_flashcards").mkdir()
    (data / CARDS).symlink_to(tmp_path / "secret.json")
    with pytest.raises(DataError, match="symbolic link"):
        run({"medical_flashcards": {"target": 1}})
