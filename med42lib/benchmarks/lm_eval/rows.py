"""The rows that a task of lm-eval names: what is asked, from where its examples are, and which fields they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from med42lib.benchmarks.lm_eval.files import TaskFile, beside
from med42lib.core.errors import DataError
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import table_files
from med42lib.readers.own.tables import rows_of
from med42lib.readers.parsers import Record

_SUFFIXES = {"json": (".jsonl", ".json", ".jsonl.gz", ".json.gz"), "parquet": (".parquet",)}
_EXAMPLES = frozenset(("sampler", "split"))
"""What `fewshot_config` may say."""


def problems_of_rows(task: Mapping[str, Any]) -> Iterator[str]:
    """Say why the rows that a task names could not be read, or its examples not be taken."""
    if str(task.get("dataset_path")) not in _SUFFIXES:
        yield f"dataset_path {task.get('dataset_path')}: the data must be files beside the task; set json or parquet"
    kwargs = task.get("dataset_kwargs")
    if not isinstance(kwargs, dict) or set(kwargs) != {"data_files"}:
        yield "dataset_kwargs must have data_files and nothing else"
    elif _split(task) not in _data_files(task):
        yield f"dataset_kwargs.data_files has no split {_split(task)}, which test_split or validation_split names"
    elif (number := task.get("num_fewshot")) and not isinstance(number, int):
        yield f"num_fewshot {number} is no whole number"
    elif number:
        yield from _problems_of_examples(task)


def _problems_of_examples(task: Mapping[str, Any]) -> Iterator[str]:
    how = _how_examples_are_taken(task)
    if how.get("sampler") != "first_n":
        yield f"num_fewshot {task['num_fewshot']} of random examples: set fewshot_config.sampler to first_n, or 0"
    elif unknown := set(map(str, how)) - _EXAMPLES:
        yield f"fewshot_config.{min(unknown)} is not supported: leave it out"
    if (split := _split_of_examples(task)) not in _data_files(task) or split == _split(task):
        yield f"fewshot_split {split} must be one of data_files, and not what is asked"


def asked_files(folder: DataFolder, task: TaskFile) -> list[DataFile]:
    """Open the files whose rows are asked."""
    return _files(folder, task, _split(task.settings))


def shown_files(folder: DataFolder, task: TaskFile) -> list[DataFile]:
    """Open the files whose first rows are examples; none if the task has no examples."""
    return _files(folder, task, _split_of_examples(task.settings)) if task.settings.get("num_fewshot") else []


def field_names(files: Sequence[DataFile]) -> tuple[str, ...]:
    """Name the fields that any row has; the rows are read once more for it, and none is kept."""
    rows = (row.value for row in rows_of(files) if isinstance(row, Record) and isinstance(row.value, dict))
    return tuple(dict.fromkeys(name for row in rows for name in row))


def _split(task: Mapping[str, Any]) -> str:
    return str(task.get("test_split") or task.get("validation_split"))


def _how_examples_are_taken(task: Mapping[str, Any]) -> dict[str, Any]:
    how = task.get("fewshot_config")
    return how if isinstance(how, dict) else {}


def _split_of_examples(task: Mapping[str, Any]) -> str:
    return str(_how_examples_are_taken(task).get("split") or task.get("fewshot_split"))


def _data_files(task: Mapping[str, Any]) -> dict[str, Any]:
    named = task["dataset_kwargs"]["data_files"]
    return named if isinstance(named, dict) else {"train": named}


def _files(folder: DataFolder, task: TaskFile, split: str) -> list[DataFile]:
    named = _data_files(task.settings)[split]
    places = [beside(task.path, name) for name in (named if isinstance(named, list) else [named])]
    files = [file for place in places for file in table_files(folder, place)]
    endings = _SUFFIXES[task.settings["dataset_path"]]
    for file in files:
        if not file.name.lower().endswith(endings):
            raise DataError(
                f"{task.path}: {file.name} does not end in {' or '.join(endings)}, as its dataset_path asks"
            )
    return files
