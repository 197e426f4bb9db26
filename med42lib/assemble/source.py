"""What a training source is: who made it, where it lies, and how its records become conversations."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from med42lib.core.prompt import DEFAULT_SYSTEM
from med42lib.core.reading import DataFolder, Record
from med42lib.core.records import Example, Exchange, Origin
from med42lib.core.rejects import Reject


@dataclass(frozen=True, slots=True)
class Draft:
    """One record as a conversation, before the source's own facts are added.

    `question` is the bare question, without instructions, context or options.
    """

    publisher_id: str
    exchanges: tuple[Exchange, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Form:
    """How conversations are written.

    `multiple_choice` says whether options are shown and answered by letter, or answered by their text alone;
    `explanations` whether the publisher's explanation follows the answer.
    """

    multiple_choice: Literal["letters", "texts"]
    explanations: bool


Reader = Callable[[DataFolder, str, Form], Iterator[Record[Draft] | Reject]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSource:
    """A training source. Each module in `sources` declares one as `SOURCE`.

    `path` is where the publisher's release usually lies below the data folder; `read(folder, path, form)` gives every
    record, as a draft or as a reject.
    """

    name: str
    title: str
    licence: str
    attribution: str
    citation: str
    path: str
    read: Reader
    system: str = DEFAULT_SYSTEM

    def example(self, record: Record[Draft], licence: str) -> Example:
        """Add the source's own facts to a draft."""
        draft = record.value
        return Example(
            source=self.name,
            licence=licence,
            system=self.system,
            exchanges=draft.exchanges,
            question=draft.question,
            origin=Origin(draft.publisher_id, record.file, record.line),
        )


def load_source(name: str) -> TrainingSource:
    """Import the source of a known name."""
    module = importlib.import_module(f"med42lib.assemble.sources.{name}")
    source: TrainingSource = module.SOURCE
    return source
