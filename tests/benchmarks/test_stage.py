import json
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.records import read_items

MEDQA = {"medqa": {"path": "medqa.jsonl"}}
ANATOMY = "What?,e,f,g,h,D\nWhich?,a,b,c,d,A\n"


def summary(folder: Path) -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = json.loads((folder / "summary.json").read_text())
    return loaded


def test_items_come_by_benchmark_and_then_in_the_publishers_order(run: Any, write: Any, medqa: Any) -> None:
    write("medqa.jsonl", [medqa(2), medqa(1)])
    write("mmlu/anatomy_test.csv", ANATOMY)
    items = list(read_items(run({"mmlu": {"path": "mmlu"}, **MEDQA})))
    assert [(item.benchmark, item.question) for item in items] == [
        ("medqa", "Question 2?"),
        ("medqa", "Question 1?"),
        ("mmlu_anatomy", "What?"),
        ("mmlu_anatomy", "Which?"),
    ]
    assert [item.origin.line for item in items] == [1, 2, 1, 2]


def test_broken_and_excluded_records_are_counted_and_written(run: Any, write: Any, medqa: Any) -> None:
    write("medqa.jsonl", [medqa(1), medqa(2, answer_idx="F"), medqa(3)])
    out = run(MEDQA, max_rejected_share=0.4)
    counts = summary(out)["medqa"]
    assert [counts[key] for key in ("items", "usable", "limit", "read", "rejected", "excluded")] == [
        2,
        2,
        "all",
        3,
        1,
        0,
    ]
    (reject,) = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    assert (reject["source"], reject["file"], reject["line"]) == ("medqa", "medqa.jsonl", 2)
    assert reject["reason"] == "the answer is outside the options"


def test_questions_whose_right_option_stands_twice_are_asked_and_counted(
    run: Any, write: Any, medqa: Any, caplog: pytest.LogCaptureFixture
) -> None:
    twice = medqa(1, options={"A": "no", "B": "yes 1", "C": "yes 1."})
    wrong_twice = medqa(2, options={"A": "no", "B": "yes 2", "C": "no"})
    write("medqa.jsonl", [twice, wrong_twice, medqa(3)])
    with caplog.at_level("INFO", logger="med42"):
        out = run(MEDQA)
    assert [item.right for item in read_items(out)] == [(1, 2), (1,), (1,)]
    assert summary(out)["medqa"]["right_option_twice"] == 1
    assert "medqa: 3 items of 3 questions; 1 with the right option twice, where either is right" in caplog.messages


def test_questions_that_cannot_be_asked_are_excluded_and_counted(run: Any, write: Any, medqa: Any) -> None:
    figure = medqa(1, question="Which marker shows it?", options={"A": "A", "B": "B"}, answer="B")
    stub = medqa(2, question="What ails this patient?")
    write("medqa.jsonl", [figure, stub, medqa(3)])
    counts = summary(run(MEDQA))["medqa"]
    assert (counts["items"], counts["excluded_by_reason"]) == (
        1,
        {
            "the question is about a figure that is not there": 1,
            "the question is about a patient who is not described": 1,
        },
    )


def test_fields_with_text_that_nobody_read_are_in_the_summary(run: Any, write: Any, medqa: Any) -> None:
    write(
        "medqa.jsonl", [medqa(1, meta_info="step1"), medqa(2, meta_info="step2", metamap_phrases=["a man"]), medqa(3)]
    )
    assert summary(run(MEDQA))["medqa"]["unread_fields"] == {"meta_info": 2, "metamap_phrases": 1}


def test_a_limit_keeps_so_many_of_every_topic(run: Any, write: Any) -> None:
    rows = "".join(f"Question {n}?,a,b,c,d,A\n" for n in range(30))
    for topic in ("anatomy", "virology"):
        write(f"mmlu/{topic}_test.csv", rows)
    out = run({"mmlu": {"path": "mmlu", "limit": 10}})
    assert {name: (row["items"], row["usable"]) for name, row in summary(out).items()} == {
        "mmlu_anatomy": (10, 30),
        "mmlu_virology": (10, 30),
    }
    smaller = {item.id for item in read_items(run({"mmlu": {"path": "mmlu", "limit": 4}}))}
    assert smaller < {item.id for item in read_items(out)}


def test_a_benchmark_on_the_hub_is_read_from_there(
    run: Any, write: Any, medqa: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's client is tested in `tests/core`; here a folder stands for the repository."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "test.jsonl").write_text(json.dumps(medqa(1)) + "\n")
    (repository / "train.jsonl").write_text(json.dumps(medqa(2)) + "\n")
    write("mmlu/anatomy_test.csv", ANATOMY)
    named = "owner/name@0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("med42lib.store.address.dataset_address", {named: str(repository)}.__getitem__)
    out = run({"medqa": {"path": ".", "layout": "huggingface", "hub": named}, "mmlu": {"path": "mmlu"}})
    assert [(item.benchmark, item.question) for item in read_items(out)] == [
        ("medqa", "Question 1?"),
        ("mmlu_anatomy", "What?"),
        ("mmlu_anatomy", "Which?"),
    ]
    assert {name: row["hub"] for name, row in summary(out).items()} == {"medqa": named, "mmlu_anatomy": None}
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".hub")] == []


def test_equal_data_give_equal_bytes(run: Any, write: Any, medqa: Any) -> None:
    write("medqa.jsonl", [medqa(n) for n in range(9)])
    one, other = run(MEDQA), run(MEDQA)
    for name in ("items.jsonl", "rejects.jsonl", "summary.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_too_many_rejects_fail_naming_the_benchmark_and_an_example(run: Any, write: Any, medqa: Any) -> None:
    write("medqa.jsonl", [medqa(1), medqa(2, question=" ")])
    with pytest.raises(DataError, match=r"medqa: 1 of 2 records were rejected") as error:
        run(MEDQA)
    assert "1 × question is blank, first at medqa.jsonl:2" in str(error.value)


def test_a_missing_file_an_empty_one_and_a_broken_line_are_told_apart(run: Any, write: Any, medqa: Any) -> None:
    write("other.jsonl", "")
    with pytest.raises(DataError, match=r"has no 'medqa.jsonl'; it has other.jsonl"):
        run(MEDQA)
    write("medqa.jsonl", "")
    with pytest.raises(DataError, match="medqa: its files hold no records"):
        run(MEDQA)
    good = json.dumps(medqa(1))
    write("medqa.jsonl", f"{good}\n{good[:20]}\n{good}\n")
    out = run(MEDQA, max_rejected_share=0.5)
    assert len(list(read_items(out))) == 2
    assert json.loads((out / "rejects.jsonl").read_text())["line"] == 2


def test_the_real_items_answer_as_the_publishers_say(run: Any, real_data: Path) -> None:
    """The first record of each, looked up by eye in the publishers' files; PubMedQA's majority answer is yes."""
    include = {
        "medmcqa": {"path": "medmcqa_val/dev.json"},
        "medqa": {"path": "medqa_test/phrases_no_exclude_test.jsonl"},
        "pubmedqa": {"path": "pubmedqa_test/test_set.json"},
    }
    items = list(read_items(run(include, folder=real_data / "eval")))
    first = {item.benchmark: item.options[item.gold] for item in reversed(items)}
    assert first["medmcqa"] == "Impulse through myelinated fibers is slower than non-myelinated fibers"
    assert first["medqa"] == "Tell the attending that he cannot fail to disclose this mistake"
    decisions = [item.options[item.gold] for item in items if item.benchmark == "pubmedqa"]
    assert [decisions.count(word) for word in ("yes", "no", "maybe")] == [276, 169, 55]


def test_both_real_layouts_of_mmlu_give_the_same_items(run: Any, real_data: Path) -> None:
    six = [
        "anatomy",
        "clinical_knowledge",
        "college_biology",
        "college_medicine",
        "medical_genetics",
        "professional_medicine",
    ]
    published = run({"mmlu": {"path": "eval/mmlu_clinical/test"}}, folder=real_data)
    reexported = run({"mmlu": {"path": "raw/mmlu/test_reexport", "topics": six}}, folder=real_data)
    asked = [[(i.id, i.question, i.options, i.gold) for i in read_items(out)] for out in (published, reexported)]
    assert asked[0] == asked[1]
    assert len(asked[0]) == 1089


def test_the_real_thousand_of_pubmedqa_give_the_same_500(run: Any, real_data: Path) -> None:
    test_set = run({"pubmedqa": {"path": "eval/pubmedqa_test/test_set.json"}}, folder=real_data)
    thousand = run({"pubmedqa": {"path": "raw/pubmedqa/ori_pqal.json"}}, folder=real_data)
    assert {i.id for i in read_items(test_set)} == {i.id for i in read_items(thousand)}
    assert summary(thousand)["pubmedqa"]["excluded"] == 500
