"""Questions to compare: each different text once, and who asks it.

`text` chooses what counts as the question: see `DecontaminateConfig.text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from med42lib.core.errors import DataError
from med42lib.decontaminate.embedding.config import TextKind
from med42lib.formats.dataset import EXAMPLES_FILE, read_columns
from med42lib.formats.prompt import question_and_options
from med42lib.formats.records import ITEMS_FILE, BenchmarkItem, read_items
from med42lib.store.artifacts import Source

EXAMPLE_COLUMNS: Mapping[TextKind, tuple[str, ...]] = {
    "question": ("id", "source", "question", "exchanges"),
    "request": ("id", "source", "exchanges"),
}
"""What `questions_of_examples` reads of a training example's row."""


@dataclass(slots=True)
class Questions:
    """Records that ask questions, and the different texts they ask.

    Three records, two texts; the second record is a conversation that asks both:

        ids          a   b   c         text_rows    (0,)   (0, 1)   (0,)
        texts        "What is fever?"   "What is a cough?"

    `groups` names each record's source or benchmark. All lists but `texts` are in the records' order; `texts`
    is in the order of first use.
    """

    ids: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    text_rows: list[tuple[int, ...]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def records_by_text(self, wanted: Iterable[int]) -> dict[int, list[int]]:
        """Map rows of `texts` to the rows of the records that ask them, in order."""
        records: dict[int, list[int]] = {row: [] for row in wanted}
        for record, rows in enumerate(self.text_rows):
            for row in rows:
                if row in records:
                    records[row].append(record)
        return records


def read_questions(dataset: Source, items: Source, *, text: TextKind) -> tuple[Questions, Questions]:
    """Read what the training examples of a data set and the evaluation items ask.

    Raises:
        DataError: If there are no examples or no items, or a question is blank.
    """
    trained = read_columns(dataset.path(EXAMPLES_FILE).parent, EXAMPLE_COLUMNS[text])
    rows = (row for table in trained for row in table.to_pylist())
    examples = questions_of_examples(rows, text=text, where=f"{dataset.address}/{EXAMPLES_FILE}")
    evaluated = read_items(items.path(ITEMS_FILE).parent)
    return examples, questions_of_items(evaluated, text=text, where=f"{items.address}/{ITEMS_FILE}")


def questions_of_examples(rows: Iterable[Mapping[str, Any]], *, text: TextKind, where: str) -> Questions:
    """Collect what training examples ask, in every turn; an example repeated word for word counts once.

    Args:
        rows: Of `formats.dataset`; at least their `EXAMPLE_COLUMNS`.
        text: What counts as the question.
        where: Goes into the messages.

    Raises:
        DataError: If there are none, or one is blank.
    """
    unique = {row["id"]: (row["source"], _example_texts(row, text)) for row in rows}
    return _collect(((name, *rest) for name, rest in unique.items()), where=where, what="training example")


def questions_of_items(items: Iterable[BenchmarkItem], *, text: TextKind, where: str) -> Questions:
    """Collect the questions of evaluation items.

    Raises:
        DataError: If there are none, or one is blank; `where` goes into the message.
    """
    records = ((item.id, item.benchmark, (_item_text(item, text),)) for item in items)
    return _collect(records, where=where, what="evaluation item")


def _example_texts(row: Mapping[str, Any], text: TextKind) -> tuple[str, ...]:
    first, *later = (exchange["prompter"] for exchange in row["exchanges"])
    return (row["question"] if text == "question" else first, *later)


def _item_text(item: BenchmarkItem, text: TextKind) -> str:
    if text == "question":
        return item.question
    return question_and_options(item)


def _collect(records: Iterable[tuple[str, str, Sequence[str]]], *, where: str, what: str) -> Questions:
    questions = Questions()
    rows: dict[str, int] = {}
    for name, group, texts in records:
        if not all(text.strip() for text in texts):
            raise DataError(f"{where}: the question of {what} {name!r} is blank, so it cannot be compared; fill it in")
        questions.ids.append(name)
        questions.groups.append(group)
        questions.text_rows.append(tuple([rows.setdefault(text, len(rows)) for text in dict.fromkeys(texts)]))
    if not rows:
        raise DataError(f"{where} holds no {what}; there is nothing to compare")
    questions.texts = list(rows)
    return questions
