r"""Sources of labelled sentences: a label becomes an answer in words, and no sentence is taught with two labels.

    label 1, "Consider rest."   →   "Classify this sentence ...\nConsider rest."  →  "It gives weak advice."

A label alone teaches no conversation, so question and answer are each worded in several ways, chosen by the sentence.
A sentence that occurs with different labels is left out with all its labels: which one is right is not ours to say.
To see that, a source is held whole; these have some ten thousand sentences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from med42lib.assemble.conversations.templates import choose_wording, question_conversation
from med42lib.assemble.source import Conversation
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.readers.fields import text_field
from med42lib.readers.parsers import Record
from med42lib.readers.publishers.medalpaca import MedAlpacaRow


@dataclass(frozen=True, slots=True)
class Labelled:
    """One sentence, its label, and the conversation made of both."""

    sentence: str
    label: str
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Wordings:
    """How a source's labels are put into words: several questions about `{sentence}`, several answers per label."""

    questions: tuple[str, ...]
    answers: Mapping[str, tuple[str, ...]]

    def labelled(self, row: Mapping[str, str], *, id_column: str = "") -> Labelled:
        """Put a publisher's row with the columns `sentence` and `label` into words.

        Raises:
            BadRecord: If the sentence is blank, or the label is not one of those known.
        """
        sentence = text_field(row, "sentence")
        label = row["label"].strip()
        if not label:
            raise BadRecord("the sentence has no label")
        if label not in self.answers:
            *others, last = self.answers
            raise BadRecord(f"the label is not {', '.join(others)} or {last}", f"label = {label!r}")
        prompter = choose_wording(self.questions, "question", sentence).format(sentence=sentence)
        answer = choose_wording(self.answers[label], "answer", sentence)
        publisher_id = row[id_column].strip() if id_column else ""
        return Labelled(sentence, label, Conversation(publisher_id, (Exchange(prompter, answer),), sentence))


def labelled_in_words(row: MedAlpacaRow) -> Labelled:
    """Take medAlpaca's copy of a row, whose label is already in words."""
    return Labelled(row.input, row.output, question_conversation(row.input, row.output, instruction=row.instruction))


def without_contradictions(records: Iterable[Record[Labelled] | Reject]) -> Iterator[Record[Conversation] | Reject]:
    """Leave out every sentence that has different labels; case and white space make no other sentence."""
    held = list(records)
    labels: dict[str, set[str]] = defaultdict(set)
    for record in held:
        if isinstance(record, Record):
            labels[_normal(record.value.sentence)].add(_normal(record.value.label))
    for record in held:
        if isinstance(record, Reject):
            yield record
            continue
        found = labels[_normal(record.value.sentence)]
        if len(found) == 1:
            yield record.with_value(record.value.conversation)
        else:
            contradiction = ExcludedRecord("the sentence has different labels", ", ".join(sorted(found)))
            yield contradiction.at(record.file, record.line, record.value.sentence)


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
