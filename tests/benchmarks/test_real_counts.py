"""The publishers' own files give the paper's questions that can be asked, each under the id that it has for good.

A digest is of all ids of a benchmark, sorted. One that changes cuts every score, flag and report made before from
the questions they are about; it may only change together with a note in the changelog.
"""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.formats.records import BenchmarkItem, read_items

PATHS = {
    "headqa": "headqa_en_test/test_HEAD_EN.json",
    "medmcqa": "medmcqa_val/dev.json",
    "medqa": "medqa_test/phrases_no_exclude_test.jsonl",
    "mmlu": "mmlu_clinical/test",
    "pubmedqa": "pubmedqa_test/test_set.json",
}

# Table A2 of the paper has the same counts with the questions that cannot be asked: HeadQA's 67 about images; 27 of
# MedMCQA and 10 of MedQA about figures that no file has, and one of MedMCQA whose options all say the same.
COUNTS_AND_DIGESTS = {
    "headqa": (2742 - 67, "ae9e73e3c0361cae06d494eeb3fe89b53877c64fe5227a7ec5e613fa91c2ff6c"),
    "medmcqa": (4183 - 28, "9998ca3efaad540c6093de38715506f3607143b0e44edbdd4ffad486c6effb65"),
    "medqa": (1273 - 10, "908bf4b91ea92fe749c91af86446b9bdeab308da0c63f70c83ef0aa04edc8a22"),
    "mmlu_anatomy": (135, "9898774ac3d55148cc2158e04ec836a80a79f7ac76c308cf23e6edee240586fb"),
    "mmlu_clinical_knowledge": (265, "1f607518e6394a717b83f6cda6108ad6ad5b4808927e9e4b7e8e9526263db3ec"),
    "mmlu_college_biology": (144, "0ce20a654b6d347e278427e886df76176e9955e53bae15cb32599408637302b5"),
    "mmlu_college_medicine": (173, "0094a9daffed5e9bda9bba444052998d541d0b7a0c871d84398afe55b12f9d81"),
    "mmlu_medical_genetics": (100, "08c6e1d3a7e4d1d13bca72dfa3080f2b0e767669038900eefa0b0ca86bc8b129"),
    "mmlu_professional_medicine": (272, "644e59a02a8c64f5f25ce90bda501b1a1220fe30b1ffe2eea82d78ab45eb9aea"),
    "pubmedqa": (500, "3de0fec55a694f4284858b615f8c92d55d59a32058daa21b92a765b18a6ab4c0"),
}


def counts_and_digests(items: list[BenchmarkItem]) -> dict[str, tuple[int, str]]:
    ids: dict[str, list[str]] = defaultdict(list)
    for item in items:
        ids[item.benchmark].append(item.id)
    return {name: (len(of), hashlib.sha256("\n".join(sorted(of)).encode()).hexdigest()) for name, of in ids.items()}


def asked(items: list[BenchmarkItem]) -> dict[str, tuple[str, str, tuple[str, ...], int]]:
    return {item.id: (item.question, item.context, item.options, item.gold) for item in items}


@pytest.fixture
def real_run(run: Any, real_data: Path) -> Path:
    """The stage's output on the publishers' files as they are."""
    out: Path = run({name: {"path": path} for name, path in PATHS.items()}, folder=real_data / "eval")
    return out


def test_counts_and_ids_are_those_they_have_always_been(real_run: Path) -> None:
    items = list(read_items(real_run))
    found = counts_and_digests(items)
    assert found == COUNTS_AND_DIGESTS
    assert sum(count for name, (count, _) in found.items() if name.startswith("mmlu_")) == 1089
    assert len(items) == len({item.id for item in items}) == 9720 - 38


def test_headqas_questions_and_those_about_images_both_show(
    run: Any, real_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="med42"):
        out = run({"headqa": {"path": PATHS["headqa"]}}, folder=real_data / "eval")
    assert caplog.messages[0] == ("headqa: 2,675 items of 2,742 questions; 67 excluded: the question is about an image")
    row = json.loads((out / "summary.json").read_text())["headqa"]
    assert (row["read"], row["items"]) == (2742, 2675)
    assert row["excluded_by_reason"] == {"the question is about an image": 67}


def test_questions_about_figures_and_right_options_that_stand_twice_are_counted(real_run: Path) -> None:
    summary = json.loads((real_run / "summary.json").read_text())
    assert {name: row["excluded_by_reason"] for name, row in summary.items() if name.startswith("med")} == {
        "medmcqa": {"all options say the same": 1, "the question is about a figure that is not there": 27},
        "medqa": {"the question is about a figure that is not there": 10},
    }
    assert {name: row["right_option_twice"] for name, row in summary.items() if row["right_option_twice"]} == {
        "medmcqa": 3
    }


def test_78_questions_of_mmlu_stand_in_two_of_its_topics(real_run: Path) -> None:
    """So its 1,089 questions are 1,011 different ones, and the topics of its average are not independent."""
    summary = json.loads((real_run / "summary.json").read_text())
    assert {
        name: row["asked_by_another_benchmark"] for name, row in summary.items() if "asked_by_another_benchmark" in row
    } == {
        "mmlu_clinical_knowledge": 78,
        "mmlu_college_medicine": 78,
    }


def shuffled_lines(text: str, order: random.Random) -> str:
    lines = text.splitlines()
    order.shuffle(lines)
    return "".join(line + "\n" for line in lines)


def shuffled_exams(text: str, order: random.Random) -> str:
    document = json.loads(text)
    for exam in document["exams"].values():
        order.shuffle(exam["data"])
    exams = list(document["exams"].items())
    order.shuffle(exams)
    return json.dumps({**document, "exams": dict(exams)})


def shuffled_keys(text: str, order: random.Random) -> str:
    rows = list(json.loads(text).items())
    order.shuffle(rows)
    return json.dumps(dict(rows))


SHUFFLE: dict[str, Callable[[str, random.Random], str]] = {
    "headqa": shuffled_exams,
    "medmcqa": shuffled_lines,
    "medqa": shuffled_lines,
    "pubmedqa": shuffled_keys,
}


@pytest.mark.parametrize("name", SHUFFLE)
def test_the_order_of_records_changes_neither_ids_nor_questions_nor_what_a_limit_keeps(
    run: Any, write: Any, real_data: Path, name: str
) -> None:
    text = (real_data / "eval" / PATHS[name]).read_text(encoding="utf-8")
    write("shuffled.json", SHUFFLE[name](text, random.Random(42)))
    for limit in ("all", 50):
        published = run({name: {"path": PATHS[name], "limit": limit}}, folder=real_data / "eval")
        shuffled = run({name: {"path": "shuffled.json", "limit": limit}})
        there, here = (list(read_items(out)) for out in (published, shuffled))
        assert [item.id for item in there] != [item.id for item in here]
        assert asked(there) == asked(here)
