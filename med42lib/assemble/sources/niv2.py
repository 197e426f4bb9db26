"""Niv2: tasks of Super-NaturalInstructions on science, healthcare and medicine, each an instruction with instances.

Publisher: one JSON document per task, `tasks/task591_sciq_answer_generation.json`; or a folder of that name, as some
copies have it, of which `train.json` is read and `dev.json` and `test.json` are not.

    {"Definition": ["Given a scientific question, generate ..."], "Instance License": ["CC BY-NC 3.0"],
     "Instances": [{"id": "task591-...", "input": "What ...?", "output": ["atoms", "an atom"]}], ...}

Hub: JSON lines, one file per task, one row per instance AND reference answer, without the licence; its `test` folder
is the collection's own held-out tasks and is not read, so that some of the 47 tasks are missing.

    {"task_name": "task591_...", "id": "task591-...", "definition": "Given ...", "inputs": "What ...?",
     "targets": "atoms"}

Older releases have one reference as text instead of a list.

Both give the same conversations: the first definition, the input, and of several references the one that the input's
hash chooses. Each instance has the licence of its task.

The paper does not list its 47 tasks, see `_niv2_tasks`. Tasks made of the benchmarks are excluded, instance by
instance, so that the manifest says what was removed; naming one in `include` is an error. Only `benchmark_tasks: true`
lets them in. The paper's 11,447 rows are 244 per task, but how they were drawn is not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import Any

from med42lib.assemble.conversations.templates import choose_wording, question_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.assemble.sources._niv2_tasks import Choice, benchmark_of, choose
from med42lib.core.errors import DataError
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, optional_text, text_field
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import SUFFIXES, file_rows, split_of, table_rows
from med42lib.readers.parsers import Record, each, json_document

_TASK_FILE = re.compile(r"(?:.*/)?(task\d+_[^/]+?)(?:/train)?\.json")
_HUB_FILE = re.compile(r"(?:.*/)?(task\d+_[^/]+)_train\.jsonl(?:\.gz)?")

Records = Iterator[Record[Conversation] | Reject]


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Records:
    """Read the chosen tasks' documents below `path`; a record's line is the instance's number in its document."""
    choice = choose(read_options)
    names = [path] if folder.has_file(path) else folder.names(path)
    found = [(match[1], name) for name in names if (match := _TASK_FILE.fullmatch(name)) and choice.reads(match[1])]
    folder.notes += choice.check_found({task for task, _ in found})
    for task, name in found:
        yield from _task(folder.file(name), task, choice)


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Records:
    """Read the chosen tasks' rows at `path`; rows that repeat an instance with another reference are one record."""
    choice = choose(read_options)
    found: set[str] = set()
    for file in _hub_files(folder, path, choice):
        chosen = (row for row in table_rows(folder, file) if _is_chosen(row, choice, found))
        yield from each(_instances(chosen), partial(_hub_conversation, choice))
    folder.notes += choice.check_found(found)


def _task(file: DataFile, task: str, choice: Choice) -> Records:
    document = _document(file)
    try:
        definition = _first_text(document, "Definition")
        licence = _licence(document.get("Instance License") or [])
    except BadRecord as error:
        raise DataError(f"{file.name}: {error}: not a task of Super-NaturalInstructions") from None
    return each(_numbered(file, document), partial(_conversation, choice, task, definition, licence))


def _task_records(file: DataFile) -> Iterator[Record[Any]]:
    return _numbered(file, _document(file))


def _document(file: DataFile) -> dict[str, Any]:
    document = json_document(file, expected="a task of Super-NaturalInstructions")
    if not isinstance(document, dict) or not isinstance(document.get("Instances"), list):
        raise DataError(f"{file.name} has no list of Instances: not a task of Super-NaturalInstructions")
    return document


def _numbered(file: DataFile, document: dict[str, Any]) -> Iterator[Record[Any]]:
    return (Record(file.name, number, row) for number, row in enumerate(document["Instances"], start=1))


def _first_text(document: dict[str, Any], key: str) -> str:
    texts = document.get(key)
    return text_field({key: texts[0] if isinstance(texts, list) and texts else texts}, key)


def _licence(licences: Any) -> str:
    key = "Instance License"
    return ", ".join(text_field({key: text}, key) for text in (licences if isinstance(licences, list) else [licences]))


def _conversation(choice: Choice, task: str, definition: str, licence: str, value: Any) -> Conversation:
    benchmark = "" if choice.benchmark_tasks else benchmark_of(task)
    if benchmark:
        raise ExcludedRecord(f"the task holds questions of a benchmark: {benchmark}", task)
    instance = mapping(value)
    given = text_field(instance, "input")
    answer = _reference(instance.get("output"), given)
    conversation = question_conversation(
        given, answer, publisher_id=optional_text(instance, "id"), instruction=definition
    )
    return Conversation(conversation.publisher_id, conversation.exchanges, conversation.question, licence=licence)


def _reference(output: Any, given: str) -> str:
    if isinstance(output, str):
        output = [output]
    if not isinstance(output, list) or not output:
        raise BadRecord("output is neither an answer nor a list of answers", repr(output))
    answers = [text_field({"output": answer}, "output") for answer in output]
    return answers[0] if len(answers) == 1 else choose_wording(answers, "reference", given)


def _hub_files(folder: DataFolder, path: str, choice: Choice) -> list[str]:
    """List the files to read: those named after a task only if it is chosen, so that the others stay closed."""
    if folder.has_file(path) or "*" in path:
        return [path]
    names = [name for name in folder.names(path) if name.endswith(SUFFIXES) and split_of(name, path) == "train"]
    tasks = {name: match[1] for name in names if (match := _HUB_FILE.fullmatch(name))}
    return [name for name in names if name not in tasks or choice.reads(tasks[name])] if names else [path]


def _hub_records(file: DataFile) -> Iterator[Record[Any] | Reject]:
    return _instances(file_rows(file))


def _is_chosen(row: Record[Any] | Reject, choice: Choice, found: set[str]) -> bool:
    """Say whether a row is of a chosen task, and note the task; a row without a task goes on, to be rejected."""
    task = row.value.get("task_name") if isinstance(row, Record) and isinstance(row.value, dict) else None
    if not isinstance(task, str):
        return True
    if choice.reads(task):
        found.add(task)
        return True
    return False


def _instances(rows: Iterator[Record[Any] | Reject]) -> Iterator[Record[Any] | Reject]:
    """Make the rows of one instance, which follow one another, into one with the list of their references."""
    for _, group in groupby(rows, _key):
        first, *others = group
        if isinstance(first, Record) and isinstance(first.value, dict):
            references = [row.value.get("targets") for row in (first, *others) if isinstance(row, Record)]
            yield Record(first.file, first.line, {**first.value, "targets": references})
        else:
            yield first


def _key(row: Record[Any] | Reject) -> tuple[object, ...]:
    """Name the instance that a row belongs to; a row without an id stands for itself."""
    value = row.value if isinstance(row, Record) else None
    if not isinstance(value, dict) or not value.get("id"):
        return (row.file, row.line)
    return (value.get("task_name"), value["id"], value.get("inputs"), value.get("definition"))


def _hub_conversation(choice: Choice, value: Any) -> Conversation:
    row = mapping(value)
    instance = {"id": row.get("id"), "input": row.get("inputs"), "output": row["targets"]}
    return _conversation(choice, text_field(row, "task_name"), text_field(row, "definition"), "", instance)


SOURCE = TrainingSource(
    name="niv2",
    title="Niv2 (Super-NaturalInstructions)",
    domain="medical",
    facts=PublisherFacts(
        licence="Apache-2.0 for the tasks; each task's instances have a licence of their own",
        attribution="The contributors of Super-NaturalInstructions and the authors of each task's data",
        citation="Wang et al. 2022, Super-NaturalInstructions: Generalization via Declarative Instructions on 1600+ "
        "NLP Tasks, EMNLP",
    ),
    settings=("include", "benchmark_tasks"),
    publisher=SourceLayout("niv2/tasks", read, records=_task_records),
    huggingface=SourceLayout(
        "niv2",
        read_hub,
        repository="Muennighoff/natural-instructions",
        hub_path="train",
        records=_hub_records,
    ),
    num_paper=11_447,
    num_paper_origin="unexplained: the paper does not list its 47 tasks, nor how many rows it took of each",
    tokens_per_row=119,  # measured on 1,338 rows of two tasks
    left_out="tasks made of the benchmarks (MMLU, HeadQA, PubMedQA, Medical Question Pairs)",
)
