"""Any training source, by its name and settings: a publisher's, or one of the user's own.

ward: {format: conversations, path: ward.jsonl, target: all, licence: "of the hospital, not to be passed on"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from med42lib.assemble.config import SOURCES, SourceConfig
from med42lib.assemble.conversations.templates import choice_conversation
from med42lib.assemble.own.conversations import conversation_of
from med42lib.assemble.own.instruction import instruction_conversations
from med42lib.assemble.source import (
    Conversation,
    Conversations,
    ReadOptions,
    SourceLayout,
    TrainingSource,
    load_source,
)
from med42lib.core.printable import counted
from med42lib.formats.rejects import Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping
from med42lib.readers.files import DataFolder
from med42lib.readers.own.fields import FieldNames
from med42lib.readers.own.multiple_choice import OwnQuestion, noted, own_questions
from med42lib.readers.own.tables import own_files, own_rows, rows_of
from med42lib.readers.parsers import Record, each

SPLITS = ("train",)
_PERHAPS_NOTHING = frozenset(("n/a", "na", "none", "null"))
_TOKENS_PER_ROW = 150
"""A guess, for `plan`, where the files are elsewhere; here they are measured."""


def source_of(name: str, settings: SourceConfig) -> TrainingSource:
    """Give the source of a name that the settings were checked with."""
    if settings.format is None:
        return load_source(name)
    layout = SourceLayout(".", _reader(settings), hub_path=".", records=own_rows)
    return TrainingSource(
        name=name,
        title=name,
        domain=settings.domain,
        facts=PublisherFacts(licence=settings.licence or "", attribution="", citation=""),
        publisher=layout,
        huggingface=layout,
        num_paper=0,
        num_paper_origin="",
        tokens_per_row=_TOKENS_PER_ROW,
    )


def module_of(name: str, settings: SourceConfig) -> str:
    """Name the module that reads a source."""
    return SOURCES.module(name) if settings.format is None else __name__


def _reader(settings: SourceConfig) -> Callable[[DataFolder, str, ReadOptions], Conversations]:
    assert settings.format is not None, "a publisher's source has a reader of its own"
    names = FieldNames.of(settings.format, settings.fields, settings.ignore)
    if settings.format == "multiple_choice":
        return _reader_of_questions(settings, names)

    def read(folder: DataFolder, path: str, options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
        files = own_files(folder, path, SPLITS)
        if settings.format == "instruction":
            return _noted(instruction_conversations(files, names, settings.group, options.first_rows), folder.notes)
        rows = rows_of(files, names.ignored, options.first_rows)
        return _noted(each(rows, lambda row: conversation_of(mapping(row), names, settings.group)), folder.notes)

    return read


def _noted(conversations: Conversations, notes: list[str]) -> Iterator[Record[Conversation] | Reject]:
    """Pass conversations on, and note at the end in how many the last answer may stand for none."""
    number, first = 0, ""
    for record in conversations:
        if isinstance(record, Record) and record.value.exchanges[-1].assistant.lower() in _PERHAPS_NOTHING:
            number += 1
            first = first or f"{record.file}:{record.line}"
        yield record
    if number:
        what = counted(number, "answer")
        notes.append(f"{what} may stand for none, first at {first}; taught all the same: leave such rows out if so")


def _reader_of_questions(
    settings: SourceConfig, names: FieldNames
) -> Callable[[DataFolder, str, ReadOptions], Conversations]:
    def read(folder: DataFolder, path: str, options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
        files = own_files(folder, path, SPLITS)
        questions = own_questions(
            files,
            names,
            answers=settings.answers,
            group=settings.group,
            first_rows=options.first_rows,
            notes=folder.notes,
        )
        return each(noted(questions, folder.notes), lambda question: _conversation(question, options))

    return read


def _conversation(own: OwnQuestion, options: ReadOptions) -> Conversation:
    return choice_conversation(own.question, options, group=own.group)
