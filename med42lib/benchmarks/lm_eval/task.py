r"""A task of lm-eval of the user's own, read from its YAML as lm-eval 0.4.13 reads it, without running any code of it.

    ward_exam: {format: lm_eval, path: tasks/ward.yaml, licence: "of the ward"}

    task: ward_exam                                    test_split: test
    dataset_path: json                                 output_type: multiple_choice
    dataset_kwargs: {data_files: {test: ward.jsonl}}   doc_to_text: "{{stem}}\nAnswer:"
    metric_list: [{metric: acc_norm}]                  doc_to_choice: options
                                                       doc_to_target: "{{key}}"

A template is rendered in Jinja's sandbox, since Jinja can reach into Python. What would need code (`!function`), the
hub, or examples drawn at random is refused by name; so is a setting that is not known here, since nobody could say what
it changes. `files` finds the tasks of a group or a folder, `rows` the rows of a task; `generation` knows
`generate_until`.
"""

from __future__ import annotations

import ast
import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import AnyQuestions, OpenQuestion
from med42lib.benchmarks.lm_eval.files import Code, TaskFile, code_in, find_tasks
from med42lib.benchmarks.lm_eval.generation import (
    METRIC,
    handed_to_lm_eval,
    is_generated,
    left_out,
    metric_entries,
    problems_of_generation,
    right_answers,
)
from med42lib.benchmarks.lm_eval.rows import asked_files, field_names, problems_of_rows, shown_files
from med42lib.core.errors import DataError
from med42lib.formats.records import Asked, Generation
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.formats.scores import METRIC_OF, Normalise
from med42lib.readers.fields import mapping
from med42lib.readers.files import DataFolder
from med42lib.readers.own.tables import rows_of
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.question import Question

_MOST_OPTIONS = 26
_NORMALISE_OF: Mapping[str, Normalise] = {metric: normalise for normalise, metric in METRIC_OF.items()}
_READ = (
    *("task", "dataset_path", "dataset_kwargs", "test_split", "validation_split", "output_type", "num_fewshot"),
    *("doc_to_text", "doc_to_choice", "doc_to_target", "target_delimiter", "description", "metric_list"),
    *("should_decontaminate", "doc_to_decontamination_query", "fewshot_split", "fewshot_delimiter", "fewshot_config"),
    *("generation_kwargs", "repeats"),
)
_WITHOUT_EFFECT = ("task_alias", "tag", "metadata", "training_split")


def read_tasks(folder: DataFolder, settings: BenchmarkConfig) -> AnyQuestions:
    """Read the questions of a task as lm-eval asks them; of several tasks, each is the subject of its questions.

    Raises:
        DataError: If a YAML is broken, a task cannot be scored here, or several are scored in different ways; all
            reasons are named together.
    """
    tasks = find_tasks(folder, settings.path)
    found = {task.path: list(_problems(task.settings)) for task in tasks}
    if problems := [f"{path} cannot be scored: {'; '.join(of_one)}" for path, of_one in found.items() if of_one]:
        raise DataError("\n  ".join(problems))
    _check_scored_alike(tasks)
    read = [_read_task(folder, task, subject=task.title if len(tasks) > 1 else "") for task in tasks]
    return itertools.chain.from_iterable(read)


def _read_task(folder: DataFolder, file: TaskFile, *, subject: str) -> AnyQuestions:
    path, task = file.path, file.settings
    folder.notes += [f"{path}: {what}" for what in (left_out if is_generated(task) else _left_out)(task)]
    asked, shown = asked_files(folder, file), shown_files(folder, file)
    template = _Generated if is_generated(task) else _Chosen
    asks = template(path, task, subject, field_names([*asked, *shown]))
    num_examples = task.get("num_fewshot") or 0
    asks.show(itertools.islice(rows_of(shown), num_examples), num_examples)
    return each(rows_of(asked), lambda value: asks.question(asks.whole(value)))


def _left_out(task: Mapping[str, Any]) -> Iterator[str]:
    """Name the metrics that the task asks lm-eval to compute besides."""
    for metric in _metrics(task):
        if metric not in _NORMALISE_OF:
            yield f"the metric {metric!r} is not computed; it is not right or wrong"


def _check_scored_alike(tasks: Sequence[TaskFile]) -> None:
    """Make sure that the questions of several tasks can be one benchmark."""
    first, *others = tasks
    for task in others:
        ways, firsts = _scoring(task.settings), _scoring(first.settings)
        if different := [name for name in firsts if ways.get(name) != firsts[name]]:
            raise DataError(
                f"{task.path} has another {' and another '.join(different)} than {first.path}, so that the two cannot "
                "be one benchmark: name the file of each as a benchmark of its own"
            )


def _scoring(task: Mapping[str, Any]) -> dict[str, object]:
    """Give what must be the same for all questions of a benchmark."""
    common = {"output_type": is_generated(task), "num_fewshot": task.get("num_fewshot") or 0}
    if is_generated(task):
        return {**common, "generation_kwargs": None, "filter_list": None, **handed_to_lm_eval(task)}
    return {**common, "target_delimiter": task.get("target_delimiter", " "), "metric_list": _normalise(task)}


def _problems(task: Mapping[str, Any]) -> Iterator[str]:
    """Say why a task cannot be scored here, as lm-eval would score it."""
    if isinstance(task.get("task"), list):
        yield "task lists several tasks, as a group does: name the group (`group`), or name the file of each task"
    deciding = [entry for entry in _entries(task) if str(entry.get("metric")) in (METRIC, *_NORMALISE_OF)]
    for name, value in {**task, "metric_list": deciding}.items():  # of other metrics nothing is computed
        if code := next(code_in(value), None):
            yield (
                f"{name} is code ({code}), and no code of a task is run: write it as a template, or "
                "prepare the rows so that it is not needed"
            )
        elif value and name not in (*_READ, *_WITHOUT_EFFECT, *(["filter_list"] if is_generated(task) else [])):
            yield f"{name} is not supported: leave it out, or prepare the rows so that it is not needed"
    yield from _problems_of_scoring(task)
    yield from problems_of_rows(task)


def _problems_of_scoring(task: Mapping[str, Any]) -> Iterator[str]:
    needed: dict[str, Any] = {"doc_to_text": str, "doc_to_target": str | int}
    if is_generated(task):
        yield from problems_of_generation(task)
    elif task.get("output_type") == "multiple_choice":
        needed["doc_to_choice"] = str | list | dict
        if not any(metric in _NORMALISE_OF for metric in _metrics(task)):
            yield f"metric_list has none of {', '.join(_NORMALISE_OF)}, which say of each item whether it is right"
    else:
        yield (
            f"output_type {task.get('output_type')}: only multiple_choice and generate_until say of each item whether "
            "it is right"
        )
    for name, kinds in needed.items():
        if not isinstance(task.get(name), kinds | Code):
            yield f"{name} is missing, or neither a field's name nor a template"


def _entries(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    return metric_entries(task, "acc", "acc_norm")


def _metrics(task: Mapping[str, Any]) -> list[str]:
    return [str(entry.get("metric")) for entry in _entries(task)]


def _normalise(task: Mapping[str, Any]) -> Normalise:
    return next(_NORMALISE_OF[name] for name in _metrics(task) if name in _NORMALISE_OF)


class _Template(ABC):
    """What a task makes of a row: the prompt, and what is answered."""

    def __init__(self, path: str, task: Mapping[str, Any], subject: str, names: Sequence[str]) -> None:
        self._path, self._task, self._subject, self._names = path, task, subject, names
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, keep_trailing_newline=True, finalize=_written
        )
        self._environment.filters["regex_replace"] = _regex_replace
        self._compiled = cache(self._environment.from_string)
        self._delimiter = str(task.get("target_delimiter", " "))
        self._examples, self._num_examples = "", 0

    def show(self, rows: Iterable[Record[Any] | Reject], number: int) -> None:
        """Write examples with their answers before every question.

        Raises:
            DataError: If there are fewer than `number`, or one is broken.
        """
        between = str(self._task.get("fewshot_delimiter", "\n\n"))
        for shown in each(rows, lambda value: self.example(self.whole(value))):
            if isinstance(shown, Reject):
                raise DataError(f"{self._path}: the example {shown.example} is broken: {shown.reason}")
            self._examples += f"{shown.value}{between}"
            self._num_examples += 1
        if self._num_examples < number:
            raise DataError(f"{self._path}: num_fewshot is {number}, but there are {self._num_examples} examples")

    def whole(self, value: object) -> dict[str, Any]:
        """Take every field of a record, and as None those that only other rows have, as lm-eval gets them."""
        row = mapping(value)
        return {name: row.get(name) for name in self._names}

    def example(self, row: dict[str, Any]) -> str:
        """Render a row with its answer."""
        text, (answer, *_) = self.text(row), self.answers(row)
        return f"{text}{self._delimiter}{answer}"

    @abstractmethod
    def answers(self, row: dict[str, Any]) -> tuple[str, ...]:
        """Give the right answers of a row, that of an example first."""

    @abstractmethod
    def question(self, row: dict[str, Any]) -> Question | OpenQuestion:
        """Render a row."""

    def text(self, row: dict[str, Any]) -> str:
        """Render what a row asks."""
        if (template := self._task["doc_to_text"]) not in row and "{" not in template:
            raise BadRecord("doc_to_text is no field of the row, and no template", template)
        text = self.field("doc_to_text", row)
        if not isinstance(text, str) or not text.strip() or text.isdigit():
            raise BadRecord("doc_to_text gives no question", repr(text))
        return text

    def prompt(self, row: dict[str, Any]) -> str:
        """Render all that the model reads."""
        description = self.field("description", row) if self._task.get("description") else ""
        return f"{description}{self._examples}{self.text(row)}"

    def subject(self, row: dict[str, Any]) -> str:
        """Give what a row is about: the task among several, else what the row says."""
        subject = self._subject or row.get("subject")
        return subject if isinstance(subject, str) else ""

    def compared(self, row: dict[str, Any]) -> str:
        """Give what decontamination compares: the task's own query, if it has one, else the whole question."""
        if not (self._task.get("should_decontaminate") and self._task.get("doc_to_decontamination_query")):
            return self.text(row)
        query = self.field("doc_to_decontamination_query", row)
        if not isinstance(query, str) or not query.strip():
            raise BadRecord("doc_to_decontamination_query gives no text", repr(query))
        return query

    def field(self, name: str, row: dict[str, Any]) -> object:
        """Give the field of a row that a setting names, or else what its template makes of the row."""
        value = str(self._task[name])
        return row[value] if value in row else self.render(name, value, row)

    def render(self, name: str, template: str, row: dict[str, Any]) -> str:
        try:
            return str(self._compiled(template).render(**row))
        except TemplateSyntaxError as error:
            raise DataError(f"{self._path}: {name} is neither a field nor a template: {error}") from None
        except SecurityError as error:
            raise DataError(f"{self._path}: {name} reaches beyond the row: {error}") from None
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise BadRecord(f"{name} cannot be rendered", str(error)) from None


class _Chosen(_Template):
    """A task with options, one of which is right."""

    def question(self, row: dict[str, Any]) -> Question:
        """Render a row."""
        options = _options(self._choices(row))
        return Question(
            publisher_id="",
            text=self.compared(row),
            options=options,
            gold=_gold(self._target(row), options),
            subject=self.subject(row),
            asked=Asked(self.prompt(row), self._delimiter, _normalise(self._task), self._num_examples),
        )

    def answers(self, row: dict[str, Any]) -> tuple[str, ...]:
        """Give the right option of a row."""
        options = _options(self._choices(row))
        return (options[_gold(self._target(row), options)],)

    def _choices(self, row: dict[str, Any]) -> object:
        choices = self._task["doc_to_choice"]
        if isinstance(choices, dict):
            return list(choices.values())
        if isinstance(choices, list) or choices in row:
            return row[choices] if isinstance(choices, str) else choices
        return _literal(self.render("doc_to_choice", choices, row))

    def _target(self, row: dict[str, Any]) -> object:
        target = self._task["doc_to_target"]
        if isinstance(target, int):
            return target
        said = self.field("doc_to_target", row)
        if target in row or not isinstance(said, str):
            return said
        return _literal(said) if said.isdigit() or (said[:1], said[-1:]) == ("[", "]") else said


class _Generated(_Template):
    """A task whose answers the model writes."""

    def question(self, row: dict[str, Any]) -> OpenQuestion:
        """Render a row."""
        settings = handed_to_lm_eval(self._task)
        generation = Generation(self.prompt(row), self.answers(row), settings, self._num_examples)
        return OpenQuestion(self.compared(row), generation, self.subject(row))

    def answers(self, row: dict[str, Any]) -> tuple[str, ...]:
        """Give all right answers of a row."""
        target = self._task["doc_to_target"]
        if isinstance(target, int):
            return right_answers(target, is_rendered=False)
        return right_answers(self.field("doc_to_target", row), is_rendered=target not in row)


def _written(value: object) -> object:
    """Refuse to write None: lm-eval would ask it as a word."""
    if value is None:
        raise UndefinedError("a field that it writes is null or missing")
    return value


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, string, count=count)  # templates name the parameters as lm-eval does


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
