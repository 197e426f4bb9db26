import json
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.core.records import read_items

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
        None,
        3,
        1,
        0,
    ]
    (reject,) = map(json.loads, (out / "rejects.jsonl").read_text().splitlines())
    assert (reject["source"], reject["file"], reject["line"]) == ("medqa", "medqa.jsonl", 2)
    assert reject["reason"] == "the answer is outside the options"


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


def test_the_real_files_give_the_papers_counts(run: Any, real_data: Path) -> None:
    """HeadQA has 2,742 questions; the 67 about images cannot be asked."""
    out = run(
        {
            "headqa": {"path": "headqa_en_test/test_HEAD_EN.json"},
            "medmcqa": {"path": "medmcqa_val/dev.json"},
            "medqa": {"path": "medqa_test/phrases_no_exclude_test.jsonl"},
            "mmlu": {"path": "mmlu_clinical/test"},
            "pubmedqa": {"path": "pubmedqa_test/test_set.json"},
        },
        folder=real_data / "eval",
    )
    counts = summary(out)
    assert {name: row["items"] for name, row in counts.items()} == {
        "headqa": 2742 - 67,
        "medmcqa": 4183,
        "medqa": 1273,
        "mmlu_anatomy": 135,
        "mmlu_clinical_knowledge": 265,
        "mmlu_college_biology": 144,
        "mmlu_college_medicine": 173,
        "mmlu_medical_genetics": 100,
        "mmlu_professional_medicine": 272,
        "pubmedqa": 500,
    }
    assert sum(row["items"] for name, row in counts.items() if name.startswith("mmlu_")) == 1089
    assert (counts["headqa"]["read"], counts["headqa"]["excluded"]) == (2742, 67)
    assert sum(row["rejected"] for row in counts.values()) == 0
    ids = [item.id for item in read_items(out)]
    assert len(ids) == len(set(ids)) == 9720


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
