"""The files that a task of lm-eval names, and the fields of their rows."""

from pathlib import Path
from typing import Any

from med42lib.benchmarks.lm_eval.files import TaskFile
from med42lib.benchmarks.lm_eval.rows import asked_files, field_names, shown_files
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source

FILES = {"test": ["a.jsonl", "b.jsonl"], "dev": "dev.jsonl"}
TASK = {"dataset_path": "json", "dataset_kwargs": {"data_files": FILES}, "test_split": "test", "fewshot_split": "dev"}


def test_fields_are_those_of_any_row_that_is_one(data: Path, write: Any) -> None:
    write("a.jsonl", b'{"stem": 1}\n{"stem": 2, "case": 3}\n["no", "row"]\n{"broken": \n')
    write("b.jsonl", [{"note": 4, "stem": None}])
    folder = DataFolder(Source(str(data)))
    assert field_names([folder.file("a.jsonl"), folder.file("b.jsonl")]) == ("stem", "case", "note")


def test_what_is_asked_and_what_is_shown_lie_in_the_files_of_their_splits(data: Path, write: Any) -> None:
    for name in ("a", "b", "dev"):
        write(f"tasks/{name}.jsonl", [{"stem": name}])
    folder = DataFolder(Source(str(data)))
    task = TaskFile("tasks/ward.yaml", TASK)
    assert [file.name for file in asked_files(folder, task)] == ["tasks/a.jsonl", "tasks/b.jsonl"]
    assert shown_files(folder, task) == []
    with_examples = TaskFile("tasks/ward.yaml", {**TASK, "num_fewshot": 2})
    assert [file.name for file in shown_files(folder, with_examples)] == ["tasks/dev.jsonl"]
