r"""A task of lm-eval of the user's own, read from its YAML as lm-eval 0.4.13 reads it, without running any code of it.

    ward_exam: {format: lm_eval, path: tasks/ward.yaml, licence: "of the ward"}

    task: ward_exam                                    test_split: test
    dataset_path: json                                 output_type: multiple_choice
    dataset_kwargs: {data_files: {test: ward.jsonl}}   doc_to_text: "{{stem}}\nAnswer:"
    metric_list: [{metric: acc_norm}]                  doc_to_choice: options
                                                       doc_to_target: "{{key}}"

A template is rendered in Jinja's sandbox, since Jinja can reach into Python. What would need code (`!function`), the
hub, examples drawn at random or a text that the model writes is refused by name; so is a setting that is not known
here, since nobody could say what it changes.
"""

from __future__ import annotations

import ast
import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Questions
from med42lib.core.errors import DataError
from med42lib.formats.records import Asked
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.formats.scores import METRIC_OF, Normalise
from med42lib.readers.fields import mapping
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import table_files
from med42lib.readers.own.tables import rows_of
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.question import Question

_SUFFIXES = {"json": (".jsonl", ".json", ".jsonl.gz", ".json.gz"), "parquet": (".parquet",)}
_MOST_OPTIONS = 26
_NORMALISE_OF: Mapping[str, Normalise] = {metric: normalise for normalise, metric in METRIC_OF.items()}
_READ = (
    *("task", "dataset_path", "dataset_kwargs", "test_split", "validation_split", "output_type", "num_fewshot"),
    *("doc_to_text", "doc_to_choice", "doc_to_target", "target_delimiter", "description", "metric_list"),
    *("should_decontaminate", "doc_to_decontamination_query", "fewshot_split", "fewshot_delimiter", "fewshot_config"),
)
_WITHOUT_EFFECT = (*("task_alias", "tag", "metadata", "training_split", "generation_kwargs", "repeats"),)
"""Settings that change nothing in a multiple-choice task."""
_EXAMPLES = frozenset(("sampler", "split"))
"""What `fewshot_config` may say."""


@dataclass(frozen=True, slots=True)
class _Code:
    """A value that names a Python function."""

    name: str


class _Loader(yaml.SafeLoader):
    """Reads a task's YAML, in which a function is a name and nothing more."""


def _code(_: _Loader, node: yaml.Node) -> _Code:
    return _Code(str(node.value))


_Loader.add_constructor("!function", _code)


def read_task(folder: DataFolder, settings: BenchmarkConfig) -> Questions:
    """Read the questions of a task as lm-eval asks them.

    Raises:
        DataError: If the YAML is broken, or the task cannot be scored here; all reasons are named together.
    """
    task = _read_yaml(folder, settings.path)
    if problems := list(_problems(task)):
        raise DataError(f"{settings.path} cannot be scored: {'; '.join(problems)}")
    for metric in _metrics(task):
        if metric not in _NORMALISE_OF:
            folder.notes.append(f"{settings.path}: the metric {metric!r} is not computed; it is not right or wrong")
    asks = _Template(settings.path, task)
    if num_examples := task.get("num_fewshot"):
        shown = rows_of(_files(folder, settings.path, task, _split_of_examples(task)))
        asks.show(itertools.islice(shown, num_examples), num_examples)
    return each(rows_of(_files(folder, settings.path, task, _split(task))), lambda value: asks.question(_whole(value)))


def _whole(value: object) -> dict[str, Any]:
    """Take every field of a record: which of them are needed is for the task to say."""
    row = mapping(value)
    return {name: row[name] for name in row}


def _read_yaml(folder: DataFolder, path: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a task's settings, those of the files that it includes beneath its own."""
    if path in above:
        raise DataError(f"{path} includes itself, by way of {' and '.join(above[::-1])}")
    try:
        task = yaml.load(folder.file(path).text(), Loader=_Loader)
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not the YAML of a task: {error}") from None
    if not isinstance(task, dict):
        raise DataError(f"{path} is not the YAML of a task: it holds {type(task).__name__}, not settings by name")
    included = task.pop("include", [])
    found: dict[str, Any] = {}
    for other in included if isinstance(included, list) else [included]:
        found |= _read_yaml(folder, _beside(path, other), (*above, path))
    return found | task


def _beside(path: str, other: object) -> str:
    """Give the place in the data folder of a file that a task names from its own."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(other)))
    if place.startswith(("/", "..")) or "://" in str(other):
        raise DataError(f"{path} names {str(other)!r}, which lies outside the data folder; copy it beside the task")
    return place


def _problems(task: Mapping[str, Any]) -> Iterator[str]:
    """Say why a task cannot be scored here, as lm-eval would score it."""
    if isinstance(task.get("task"), list) or "group" in task:
        yield "it is a group of tasks: name the file of each as a benchmark of its own"
    for name, value in task.items():
        if isinstance(value, _Code):
            yield f"{name} is code (!function {value.name}), and no code of a task is run: write it as a template"
        elif value and name not in (*_READ, *_WITHOUT_EFFECT, "group"):
            yield f"{name} is not supported: leave it out, or prepare the rows so that it is not needed"
    yield from _problems_of_scoring(task)
    yield from _problems_of_data(task)


def _problems_of_scoring(task: Mapping[str, Any]) -> Iterator[str]:
    kind = task.get("output_type", "generate_until")
    if kind != "multiple_choice":
        yield f"output_type {kind}: only multiple_choice says of each item whether it is right, by its log-likelihoods"
    elif not any(metric in _NORMALISE_OF for metric in _metrics(task)):
        yield f"metric_list has none of {', '.join(_NORMALISE_OF)}, which say of each item whether it is right"
    for name, kinds in (("doc_to_text", str), ("doc_to_choice", str | list | dict), ("doc_to_target", str | int)):
        if not isinstance(task.get(name), kinds | _Code):
            yield f"{name} is missing, or neither a field's name nor a template"


def _problems_of_data(task: Mapping[str, Any]) -> Iterator[str]:
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


def _metrics(task: Mapping[str, Any]) -> list[str]:
    listed = task.get("metric_list") or [{"metric": "acc"}, {"metric": "acc_norm"}]  # lm-eval's default
    entries = listed if isinstance(listed, list) else [listed]
    return [str(entry.get("metric")) for entry in entries if isinstance(entry, dict)]


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


def _files(folder: DataFolder, path: str, task: Mapping[str, Any], split: str) -> list[DataFile]:
    named = _data_files(task)[split]
    places = [_beside(path, name) for name in (named if isinstance(named, list) else [named])]
    files = [file for place in places for file in table_files(folder, place)]
    endings = _SUFFIXES[task["dataset_path"]]
    for file in files:
        if not file.name.endswith(endings):
            raise DataError(f"{path}: {file.name} does not end in {' or '.join(endings)}, as its dataset_path asks")
    return files


class _Template:
    """What a task makes of a row: the prompt, the options, and which is right."""

    def __init__(self, path: str, task: Mapping[str, Any]) -> None:
        self._path, self._task = path, task
        self._environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        self._environment.filters["regex_replace"] = _regex_replace
        self._normalise = next(_NORMALISE_OF[name] for name in _metrics(task) if name in _NORMALISE_OF)
        self._delimiter = str(task.get("target_delimiter", " "))
        self._examples, self._num_examples = "", 0

    def show(self, rows: Iterable[Record[Any] | Reject], number: int) -> None:
        """Write examples with their answers before every question.

        Raises:
            DataError: If there are fewer than `number`, or one is broken.
        """
        between = str(self._task.get("fewshot_delimiter", "\n\n"))
        for asked in each(rows, lambda value: self._ask(_whole(value))):
            if isinstance(asked, Reject):
                raise DataError(f"{self._path}: the example {asked.example} is broken: {asked.reason}")
            text, options, gold = asked.value
            self._examples += f"{text}{self._delimiter}{options[gold]}{between}"
            self._num_examples += 1
        if self._num_examples < number:
            raise DataError(f"{self._path}: num_fewshot is {number}, but there are {self._num_examples} examples")

    def question(self, row: dict[str, Any]) -> Question:
        """Render a row."""
        text, options, gold = self._ask(row)
        description = self._field("description", row) if self._task.get("description") else ""
        prompt = f"{description}{self._examples}{text}"
        subject = row.get("subject")
        return Question(
            publisher_id="",
            text=self._compared(row, text),
            options=options,
            gold=gold,
            subject=subject if isinstance(subject, str) else "",
            asked=Asked(prompt, self._delimiter, self._normalise, self._num_examples),
        )

    def _ask(self, row: dict[str, Any]) -> tuple[str, tuple[str, ...], int]:
        if (template := self._task["doc_to_text"]) not in row and "{" not in template:
            raise BadRecord("doc_to_text is no field of the row, and no template", template)
        text = self._field("doc_to_text", row)
        if not isinstance(text, str) or not text.strip() or text.isdigit():
            raise BadRecord("doc_to_text gives no question", repr(text))
        options = _options(self._choices(row))
        return text, options, _gold(self._target(row), options)

    def _compared(self, row: dict[str, Any], text: str) -> str:
        """Give what decontamination compares: the task's own query, if it has one, else the whole question."""
        if not (self._task.get("should_decontaminate") and self._task.get("doc_to_decontamination_query")):
            return text
        query = self._field("doc_to_decontamination_query", row)
        if not isinstance(query, str) or not query.strip():
            raise BadRecord("doc_to_decontamination_query gives no text", repr(query))
        return query

    def _choices(self, row: dict[str, Any]) -> object:
        choices = self._task["doc_to_choice"]
        if isinstance(choices, dict):
            return list(choices.values())
        if isinstance(choices, list) or choices in row:
            return row[choices] if isinstance(choices, str) else choices
        return _literal(self._render("doc_to_choice", choices, row))

    def _target(self, row: dict[str, Any]) -> object:
        target = self._task["doc_to_target"]
        if isinstance(target, int):
            return target
        said = self._field("doc_to_target", row)
        if target in row or not isinstance(said, str):
            return said
        return _literal(said) if said.isdigit() or (said[:1], said[-1:]) == ("[", "]") else said

    def _field(self, name: str, row: dict[str, Any]) -> object:
        """Give the field of a row that a setting names, or else what its template makes of the row."""
        value = str(self._task[name])
        return row[value] if value in row else self._render(name, value, row)

    def _render(self, name: str, template: str, row: dict[str, Any]) -> str:
        try:
            return str(self._environment.from_string(template).render(**row))
        except TemplateSyntaxError as error:
            raise DataError(f"{self._path}: {name} is neither a field nor a template: {error}") from None
        except SecurityError as error:
            raise DataError(f"{self._path}: {name} reaches beyond the row: {error}") from None
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise BadRecord(f"{name} cannot be rendered", str(error)) from None


def _regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise BadRecord("a template's value cannot be read", text) from None


def _options(choices: object) -> tuple[str, ...]:
    """Take options as they are: they are scored letter for letter."""
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not 2 <= len(choices) <= _MOST_OPTIONS:
        raise BadRecord(f"doc_to_choice gives no list of 2 to {_MOST_OPTIONS} options", repr(choices))
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise BadRecord("an option is blank or not text", repr(choices))
    return tuple(choices)


def _gold(target: object, options: Sequence[str]) -> int:
    if isinstance(target, list) and len(target) == 1:
        (target,) = target
    if isinstance(target, list):
        raise BadRecord("several options are right, which is not supported", repr(target))
    position = options.index(target) if isinstance(target, str) and target in options else target
    if not isinstance(position, int) or not 0 <= position < len(options):
        raise BadRecord("the answer is outside the options", f"doc_to_target gives {target!r}")
    return int(position)
