"""What the fuzzer found, each as the smallest input that showed it, and a short run of the fuzzer's own parts.

`test_findings_stay_fixed` names the target; the same fault in another source has the same cause.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from med42lib.assemble.conversations.explanations import told_explanation
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.cleaning import clean
from med42lib.readers.files import DataFile
from med42lib.readers.parsers import each, json_lines
from tests.assemble.good_rows import FOUR, GOOD, OPTIONS, STACK, TURNS, headqa_document, niv2_document
from tests.fuzz.mutations import any_bytes, as_parquet, mutated
from tests.fuzz.targets import Finding, Target, run, targets

TARGETS = {target.name: target for target in targets()}
USMLE = {"no": 1, "question": "Which?", "options": OPTIONS, "answer": "B"}
LONG = "9" * 5000
HIDDEN = "\u200b"


def line(row: Any) -> bytes:
    return json.dumps(row).encode() + b"\n"


def niv2(**changes: Any) -> bytes:
    document = json.loads(niv2_document([GOOD["niv2", "publisher"].row]))
    return json.dumps({**document, **changes}).encode()


INVISIBLE: list[tuple[str, bytes]] = [
    ("medical_flashcards-huggingface", line({"input": "What?", "output": HIDDEN})),
    ("openorca_t0-publisher", line({"id": "t0.1", "question": "\x00", "response": "It."})),
    ("opengpt-publisher", f"text,raw_data_id\n{TURNS.replace('What is X?', HIDDEN)},1\n".encode()),
    ("stackexchange-huggingface", line({**STACK, "question": "<p>&#8203;</p>"})),
    ("mmlu-publisher", f"{HIDDEN},one,two,three,four,B\n".encode()),
    ("benchmark-mmlu-publisher-anatomy_test.csv", b"Which?,one,\xef\xbb\xbf,three,four,B\n"),
    ("benchmark-medmcqa-publisher-dev.json", line({"id": "x", "question": "Which?", "cop": 2, **FOUR, "opc": HIDDEN})),
    ("benchmark-usmle-publisher-x.jsonl", line({**USMLE, "options": {**OPTIONS, "D": "\x00"}})),
    ("health_advice-publisher", b"label,pmid,sentence\n1,123,\x7f\n"),
]
NUMBERS: list[tuple[str, bytes]] = [
    ("medmcqa-publisher", line({"id": "x", "question": "Which?", "cop": LONG, **FOUR})),
    ("headqa-publisher", headqa_document([{**GOOD["headqa", "publisher"].row, "ra": LONG}]).encode()),
    ("benchmark-usmle-publisher-step1.json", line([{**USMLE, "no": LONG}])),
]


@pytest.mark.parametrize(("target", "content"), [*INVISIBLE, *NUMBERS])
def test_an_invisible_text_or_an_endless_number_is_one_reject(tmp_path: Path, target: str, content: bytes) -> None:
    assert run(TARGETS[target], tmp_path, content) == 1
    with pytest.raises(Finding, match="would be used"):
        run(refusing(TARGETS[target]), tmp_path, TARGETS[target].seed)
    run(refusing(TARGETS[target]), tmp_path, content)


def refusing(target: Target) -> Target:
    """Make every record that is used a finding."""

    def read(folder: Any, path: str) -> Any:
        for result in target.read(folder, path):
            if not isinstance(result, Reject):
                raise Finding(f"{result} would be used")
            yield result

    return Target(target.name, target.file, target.seed, read, target.beside)


def test_a_list_of_images_with_an_endless_number_is_refused(tmp_path: Path) -> None:
    target = TARGETS["benchmark-usmle-publisher-question_with_images.json"]
    assert run(target, tmp_path, line({"step1": [LONG]})) == -1


@pytest.mark.parametrize("licence", ["\ud800", 7, [None], {"a": 1}])
def test_a_licence_that_is_no_text_is_refused(tmp_path: Path, licence: Any) -> None:
    assert run(TARGETS["niv2-publisher"], tmp_path, niv2(**{"Instance License": [licence]})) == -1
    assert run(TARGETS["niv2-publisher"], tmp_path, niv2()) == 1


@pytest.mark.parametrize("depth", [200, 1000, 1020])
def test_a_record_nested_as_deep_as_json_may_be_is_a_reject(tmp_path: Path, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    for target, field in (("medical_flashcards-huggingface", b"input"), ("stackexchange-publisher", b"answers")):
        assert run(refusing(TARGETS[target]), tmp_path, b'{"%s": %s}\n' % (field, nested)) == 1


def test_a_record_too_deep_to_be_shown_is_a_reject_all_the_same(tmp_path: Path) -> None:
    def build(value: Any) -> str:
        raise BadRecord("no")

    (tmp_path / "x").write_bytes(b"[" * 1023 + b"]" * 1023)
    (reject,) = each(json_lines(DataFile("x", tmp_path / "x")), build)
    assert isinstance(reject, Reject)
    assert reject.reason == "no"


def test_an_explanation_that_repeats_itself_takes_no_hours() -> None:
    for text in ("answer " + "correct " * 50_000, "option a " + "right " * 50_000):
        assert told_explanation(text, ("one", "two"), 0, letters_shown=True) == text


def test_a_long_text_of_marks_takes_no_hours() -> None:
    assert clean("a" + "\u0301\u0323" * 500_000) == clean("a" + "\u0301\u0323" * 15)
    text = "e\u0323\u0301 " * 10_000
    assert clean(text) == "\u1eb9\u0301 " * 9_999 + "\u1eb9\u0301"


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_reads_its_seed_and_survives_some_mutations(tmp_path: Path, name: str) -> None:
    target = TARGETS[name]
    assert run(target, tmp_path, target.seed) >= 0
    random = Random(name)
    for kind, file_name in enumerate(target.file_names):
        content = target.seed
        if file_name.endswith(".parquet"):
            content = as_parquet([json.loads(row) for row in content.splitlines()])
        for _ in range(5):
            content = mutated(content, random, lambda part: any_bytes(part, random))
            run(target, tmp_path / str(kind), content, kind)
