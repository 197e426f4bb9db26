"""Any benchmark, by its name and settings: a publisher's, or one of the user's own.

ward_exam: {format: multiple_choice, path: exam.jsonl, licence: "of the hospital, not to be passed on"}
"""

from __future__ import annotations

from dataclasses import replace

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import AnyQuestions, Family, Questions, load_family
from med42lib.benchmarks.lm_eval.task import read_tasks
from med42lib.formats.rejects import ExcludedRecord
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.files import DataFolder
from med42lib.readers.own.fields import FieldNames
from med42lib.readers.own.multiple_choice import OwnQuestion, noted, own_questions
from med42lib.readers.own.tables import own_files
from med42lib.readers.parsers import each

_SPLITS = ("test",)


def family_of(name: str, settings: BenchmarkConfig) -> Family:
    """Give the benchmark of a name that the settings were checked with."""
    if settings.format is None:
        return load_family(name)

    def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, AnyQuestions]:
        return {name: read_tasks(folder, settings) if settings.format == "lm_eval" else _questions(folder, settings)}

    facts = PublisherFacts(licence=settings.licence or "", attribution="", citation="")
    return Family(name=name, title=name, facts=facts, read=read)


def _questions(folder: DataFolder, settings: BenchmarkConfig) -> Questions:
    names = FieldNames.of("multiple_choice", settings.fields, settings.ignore)
    files = own_files(folder, settings.path, _SPLITS)
    questions = own_questions(files, names, answers=settings.answers, group=settings.group, notes=folder.notes)
    chosen = noted(each(questions, lambda own: _of_topics(own, settings.topics)), folder.notes)
    return each(chosen, lambda own: replace(own.question, subject=own.subject, group=own.group))


def _of_topics(own: OwnQuestion, topics: tuple[str, ...]) -> OwnQuestion:
    if topics and own.subject not in topics:
        raise ExcludedRecord("the question is of another topic", own.subject)
    return own
