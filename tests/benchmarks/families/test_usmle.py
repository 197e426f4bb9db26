import json
import logging
from pathlib import Path
from typing import Any

import pytest

from med42lib.benchmarks.family import Absent
from med42lib.core.errors import DataError
from med42lib.formats.records import read_items

USMLE = {"usmle": {"path": "usmle"}}
OPTIONS = {"A": "one", "B": "two", "C": "three", "D": "four", "E": "five"}


def question(number: int, **changes: Any) -> dict[str, Any]:
    return {"no": number, "question": f"Question {number}?", "options": OPTIONS, **changes}


@pytest.fixture
def self_assessment(write: Any) -> None:
    """Two steps of medAlpaca's files: two questions, the second of step 1 about an image, and one more."""
    folder = "usmle/self_assessment"
    write(f"{folder}/step1.json", json.dumps([question(1), question(2)]))
    write(f"{folder}/step1_solutions.json", {"1": "C", "2": "A"})
    write(f"{folder}/step2.json", json.dumps([question(1, question="Another?", answer="E")]))
    write(f"{folder}/question_with_images.json", {"step1": [2], "step2": [], "step3": []})


def summary(out: Path) -> Any:
    return json.loads((out / "summary.json").read_text())


@pytest.mark.usefixtures("self_assessment")
def test_medalpacas_files_are_read_step_by_step_without_questions_about_images(run: Any) -> None:
    out = run(USMLE)
    assert [(item.id, item.options[item.gold]) for item in read_items(out)] == [
        ("usmle_self_assessment/step1-1", "three"),
        ("usmle_self_assessment/step2-1", "five"),
    ]
    counts = summary(out)["usmle_self_assessment"]
    assert (counts["read"], counts["items"], counts["items_by_num_options"]) == (3, 2, {"5": 2})
    assert counts["excluded_by_reason"] == {"the question is about an image": 1}


def test_lines_of_all_files_are_read_in_the_order_of_their_names(run: Any, write: Any) -> None:
    nine = {"question": "Nine?", "options": [f"option {n}" for n in range(9)], "answer": "I"}
    write("usmle/sample_exam/b.jsonl", [nine])
    write("usmle/sample_exam/a.jsonl", [{"question": "Five?", "options": OPTIONS, "answer": "A"}])
    items = list(read_items(run(USMLE)))
    assert [(item.benchmark, item.question, item.gold) for item in items] == [
        ("usmle_sample_exam", "Five?", 0),
        ("usmle_sample_exam", "Nine?", 8),
    ]
    assert {item.origin.publisher_id for item in items} == {""}


@pytest.mark.usefixtures("self_assessment")
def test_a_benchmark_without_files_is_left_out_with_advice_and_the_rest_goes_on(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="med42"):
        out = run(USMLE)
    (warning,) = caplog.messages
    assert warning.startswith("usmle_sample_exam is left out: no questions in usmle/sample_exam/")
    for advice in ("copyrighted by FSMB and NBME", "step1_solutions.json", "medical_meadow_usmle", ".jsonl"):
        assert advice in warning
    row = summary(out)["usmle_sample_exam"]
    assert (row["items"], row["absent"]) == (0, warning.partition(": ")[2])
    assert "absent" not in summary(out)["usmle_self_assessment"]


def test_without_usmle_the_other_benchmarks_go_on(run: Any, write: Any, medqa: Any) -> None:
    write("medqa.jsonl", [medqa(1)])
    out = run({**USMLE, "medqa": {"path": "medqa.jsonl"}})
    assert [item.benchmark for item in read_items(out)] == ["medqa"]
    assert [name for name, row in summary(out).items() if "absent" in row] == [
        "usmle_sample_exam",
        "usmle_self_assessment",
    ]


def test_with_nothing_to_ask_at_all_the_stage_fails_with_the_advice(run: Any, write: Any) -> None:
    write("usmle/sample_exam/booklet.pdf", "%PDF")
    with pytest.raises(DataError, match=r"every benchmark is absent\n  usmle_sample_exam: no questions in usmle/"):
        run(USMLE)


def test_other_files_in_the_folder_do_not_make_a_benchmark(read: Any, write: Any) -> None:
    write("usmle/sample_exam/booklet.pdf", "%PDF")
    (absent, _) = read("usmle", "usmle").values()
    assert isinstance(absent, Absent)


@pytest.mark.usefixtures("self_assessment")
def test_two_layouts_in_one_folder_are_refused(run: Any, write: Any) -> None:
    write("usmle/self_assessment/all.jsonl", [question(1, answer="C")])
    with pytest.raises(DataError, match=r"both step1\.json and usmle/self_assessment/all\.jsonl"):
        run(USMLE)


def test_without_the_list_of_images_nothing_is_asked(run: Any, write: Any) -> None:
    write("usmle/sample_exam/step1.json", json.dumps([question(1, answer="C")]))
    with pytest.raises(DataError, match="questions about images would be asked"):
        run(USMLE)


def test_without_solutions_and_answers_the_stage_fails(run: Any, write: Any) -> None:
    write("usmle/sample_exam/step1.json", json.dumps([question(1)]))
    write("usmle/sample_exam/question_with_images.json", {})
    with pytest.raises(DataError, match="1 × the question has no answer"):
        run(USMLE)


@pytest.mark.usefixtures("self_assessment")
def test_questions_that_stand_in_both_are_counted_and_warned_of(
    run: Any, write: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The paper's two sets are probably one and the same for a large part."""
    same = {"question": " ANOTHER? ", "options": list(OPTIONS.values()), "answer": "E"}
    write("usmle/sample_exam/exam.jsonl", [same, {**same, "question": "New?"}])
    with caplog.at_level(logging.WARNING, logger="med42"):
        out = run(USMLE)
    assert {name: row["asked_by_another_benchmark"] for name, row in summary(out).items()} == {
        "usmle_sample_exam": 1,
        "usmle_self_assessment": 1,
    }
    assert "usmle_sample_exam: 1 of its questions are asked by another benchmark too" in caplog.messages
