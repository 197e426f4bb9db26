from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.core.errors import DataError
from med42lib.first_spec import write
from med42lib.first_spec.look import Found
from med42lib.first_spec.write import chunk_length, parts_of, spec_text


def found(path: str, shape: Any = "multiple_choice", rows: int = 60, **more: Any) -> Found:
    return Found(path, shape, rows=rows, usable=rows, **more)


def test_of_questions_the_file_that_is_called_a_test_set_is_asked_and_else_the_fewest() -> None:
    parts = parts_of([found("exam.csv", rows=90), found("more.csv"), found("chat.jsonl", "conversations")])
    assert [named.name for named in parts.benchmarks] == ["exam"]
    assert ([named.name for named in parts.sources], parts.only_guess) == (["more", "chat"], False)
    parts = parts_of([found("a.csv", rows=90), found("b.csv")])
    assert ([named.name for named in parts.benchmarks], parts.only_guess) == (["b"], True)


@pytest.mark.parametrize("name", ["test.jsonl", "exam_open.jsonl", "questions.jsonl"])
def test_a_test_set_of_other_rows_is_left_out_and_named(name: str) -> None:
    parts = parts_of([found("exam.csv"), found(name, "conversations"), found("train.jsonl", "conversations")])
    assert [named.found.path for named in parts.sources] == ["train.jsonl"]
    assert f"# {name} is not trained on, since it is called a test set" in text(parts)


def test_a_test_set_that_could_not_be_read_is_named_with_what_to_do() -> None:
    parts = parts_of([found("more.csv"), found("x.csv", rows=9), Found("exam.csv", why_not="its rows cannot be read")])
    assert "# exam.csv is called a test set and could not be read, so that it is not asked: mend it" in text(parts)
    assert "# No file that can be asked is called a test set; this one has the fewest questions." in text(parts)


def test_a_kind_of_file_that_is_not_read_is_no_test_set_whatever_it_is_called() -> None:
    kind = Found("*.exam", why_not="2 files of a kind that is not read", is_kind=True)
    assert parts_of([found("exam.csv"), found("chat.jsonl", "conversations"), kind]).left == []


def test_questions_that_are_trained_on_are_said_to_be_asked_nowhere() -> None:
    parts = parts_of([found("exam.csv"), found("more.csv")])
    assert [named.found.path for named in parts.sources] == ["more.csv"]
    assert "# more.csv is trained on, since it is not called a test set: its questions are not asked" in text(parts)


def test_files_of_which_too_many_rows_are_broken_are_said_to_stop_the_run() -> None:
    exam, chat = found("exam.csv", rejected=1), found("chat.jsonl", "conversations", rejected=6)
    parts = parts_of([exam, chat, found("more.csv", rejected=1), found("odd.csv", rejected=60, unsure="x")])
    said = [line for line in text(parts).splitlines() if "stops the run" in line]
    assert said == [
        "# chat.jsonl stops the run: 10.0% of its rows are broken, more than 2.0%; mend them, or raise "
        "assemble.max_rejected_share",
        "# exam.csv stops the run: 1.7% of its rows are broken, more than 1.0%; mend them, or raise "
        "benchmarks.max_rejected_share",
    ]


def test_an_id_that_questions_share_is_ignored_where_they_are_asked() -> None:
    parts = parts_of([found("exam.csv", repeated_ids=30), found("more.csv", repeated_ids=30)])
    spec = yaml.safe_load(text(parts))
    (asked,), (trained,) = spec["benchmarks"]["include"].values(), spec["assemble"]["sources"].values()
    assert (asked.get("ignore"), trained.get("ignore")) == (["id"], None)


def test_the_commands_of_the_heading_name_the_file_as_a_shell_takes_it() -> None:
    parts = parts_of([found("exam.csv"), found("chat.jsonl", "conversations")])
    assert "\n#   med42 plan 'My Ward.yaml'  " in text(parts, file="My Ward.yaml")
    assert yaml.safe_load(text(parts, file="a\nb.yaml"))["name"] == "ward"


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ([found("chat.jsonl", "conversations")], r"a run needs a test set(.|\n)*chat\.jsonl: 60 of 60 rows"),
        ([found("exam.csv")], "no file is left to train on"),
        ([Found("x.csv", why_not="it holds no rows")], r"x\.csv: not used: it holds no rows"),
    ],
)
def test_without_a_test_set_or_anything_to_train_on_there_is_no_spec(files: list[Found], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        parts_of(files)


def test_names_are_such_as_a_spec_may_have_and_differ() -> None:
    paths = ["medqa.csv", "7 Fälle.csv", "a/x.csv", "b/x.csv", "mmlu_ward.csv", "exam.csv"]
    parts = parts_of([found(path) for path in paths])
    assert [named.name for named in parts.sources] == ["source_medqa", "source_7_f_lle", "x", "x_2", "source_mmlu_ward"]


def test_the_chunks_are_no_longer_than_the_base_reads_and_short_for_few_data() -> None:
    assert chunk_length(10_000_000, 4096) == 2048
    assert chunk_length(10_000_000, 512) == 512
    assert chunk_length(12_000, 512) == 128
    assert chunk_length(12_000, None) == 128


def test_the_number_format_of_training_and_scoring_is_stated_with_that_of_other_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write, "usual_precision", lambda: "bfloat16")
    written = text(parts_of([found("exam.csv"), found("chat.jsonl", "conversations")]))
    spec = yaml.safe_load(written)
    assert [spec["train"]["lora"]["precision"], spec["evaluate"]["precision"]] == ["bfloat16", "bfloat16"]
    assert "V100: float16; no GPU: float32" in written


def text(parts: Any, folder: str = "ward", file: str = "ward.yaml") -> str:
    everything = [named.found for named in (*parts.sources, *parts.benchmarks)]
    return spec_text("ward", Path(file), folder, "base", parts, found=everything, length=128, notes=["a note"])


NAMES = [
    "a: b #c.csv",
    'q"u\n- x.csv',
    "no",
    "*.csv",
    "{x}.csv",
    "1:30",
    "12",
    "a, b",
    "é\u202e",
    "tag\U000e0001",
    " x" * 99,
]


@pytest.mark.parametrize("path", NAMES)
def test_whatever_files_and_fields_are_called_the_spec_reads_them_back(path: str) -> None:
    options = ('a"b', "c: d\n# e")
    exam = found(
        f"exam/{path}", fields={"question": path, "options": options}, group="p: 1", unsure="x\ny", unread=(path,)
    )
    parts = parts_of([exam, found(path, "instruction", group=path)])
    spec = yaml.safe_load(text(parts, folder=f"/data/{path}"))
    (asked,), (trained,) = spec["benchmarks"]["include"].values(), spec["assemble"]["sources"].values()
    assert (asked["path"], asked["fields"]) == (exam.path, {"question": path, "options": list(options)})
    assert (trained["path"], trained["group"]) == (path, path)
    assert spec["inputs"]["training_data"] == f"/data/{path}"
