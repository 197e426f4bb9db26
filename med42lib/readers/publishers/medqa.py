"""MedQA (Jin et al. 2021): US medical licensing questions, with four or five options, in five layouts.

    publisher    JSON lines
        {"question": ..., "options": {"A": ..., "B": ..., ...}, "answer_idx": "B", "answer": "<text of B>", ...}
    hub          the same columns; where a table holds rows of five options too, those of four have a null E
    bigbio       the same columns; "options": [{"key": "A", "value": ...}, ...]
    MediQ        (Li et al. 2024) the same columns, but `question` is the last sentence alone, and before it comes
        "context": ["A 21-year-old ...", "A culture of ...", ...]
    hub, "-hf"   {"id": ..., "sent1": <question>, "sent2": "", "ending0": ..., ..., "ending3": ..., "label": 1}

The answer stands twice in all but the last, as letter and as text; a record in which they disagree is refused. `label`
counts from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, optional_text, text_field, text_value
from med42lib.readers.files import DataFile
from med42lib.readers.hf_layout import Rows
from med42lib.readers.parsers import Record, each, json_lines
from med42lib.readers.publishers.question import (
    Question,
    checked_options,
    gold_of_class_label,
    gold_of_letter,
    lettered,
    option_text,
)

FACTS = PublisherFacts(
    licence="MIT (the questions were collected from preparation sites)",
    attribution="Di Jin, Eileen Pan, Nassim Oufattole, Wei-Hung Weng, Hanyi Fang and Peter Szolovits",
    citation="Jin et al. 2021, What Disease Does This Patient Have? A Large-Scale Open Domain Question Answering "
    "Dataset from Medical Exams, Applied Sciences 11(14):6421",
)

_ENDINGS = ("ending0", "ending1", "ending2", "ending3")


def read_medqa(file: DataFile) -> Iterator[Record[Question] | Reject]:
    """Read every question of the file.

    Raises:
        DataError: If the file is not JSON lines.
    """
    return each(json_lines(file), _published)


def medqa_rows_of_hub(rows: Rows) -> Iterator[Record[Question] | Reject]:
    """Read the hub's rows, in either of its layouts."""
    return each(rows, _on_hub)


def _published(value: Any) -> Question:
    row = mapping(value)
    return _question(row, _by_letter(row.get("options")))


def _on_hub(value: Any) -> Question:
    row = mapping(value)
    if "sent1" in row:
        return _sentence_and_endings(row)
    options = _by_letter(row.get("options"))
    if options.get("E", "") is None:
        options = {letter: option for letter, option in options.items() if letter != "E"}
    return _question(row, options)


def _by_letter(options: object) -> Mapping[str, Any]:
    """Take options under their letters, or as bigbio's list of keys and values."""
    if isinstance(options, list) and all(isinstance(option, dict) and "key" in option for option in options):
        letters = [text_value(option["key"], "an option's key") for option in options]
        if len(set(letters)) == len(letters):
            options = {letter: option.get("value") for letter, option in zip(letters, options, strict=True)}
    if not isinstance(options, dict):
        raise BadRecord("options are neither under their letters nor a list of key and value", repr(options))
    return options


def _sentence_and_endings(row: Mapping[str, Any]) -> Question:
    options = checked_options([row.get(key) for key in _ENDINGS])
    gold = gold_of_class_label(row.get("label"), len(options), field="label")
    text = f"{text_field(row, 'sent1')} {optional_text(row, 'sent2')}".rstrip()
    return Question(optional_text(row, "id"), text, options, gold)


def _question(row: Mapping[str, Any], by_letter: Mapping[str, Any]) -> Question:
    options = checked_options(lettered(by_letter))
    gold = gold_of_letter(row.get("answer_idx"), len(options), field="answer_idx")
    if option_text(text_field(row, "answer")) != options[gold]:
        raise BadRecord("answer and answer_idx disagree", f"{row['answer']!r} is not option {row['answer_idx']}")
    return Question("", _whole_question(row), options, gold)


def _whole_question(row: Mapping[str, Any]) -> str:
    """Put a vignette that stands apart before its question."""
    vignette = row.get("context") or []
    sentences = [vignette] if isinstance(vignette, str) else vignette
    if not isinstance(sentences, list):
        raise BadRecord("context is neither text nor a list of sentences", repr(vignette))
    return " ".join([*(text_value(sentence, "context") for sentence in sentences), text_field(row, "question")])
