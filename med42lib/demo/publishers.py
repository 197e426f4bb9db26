"""Writers of the publishers' file formats, as far as the demo needs them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A multiple-choice question; `gold` is the 0-based position of the right option."""

    text: str
    options: tuple[str, ...]
    gold: int


def write_headqa(path: Path, exam: str, questions: Sequence[DemoQuestion]) -> None:
    """Write HeadQA's JSON: one exam, answers numbered from 1."""
    data = [
        {
            "qid": str(number),
            "qtext": question.text,
            "ra": str(question.gold + 1),
            "answers": [{"aid": aid, "atext": text} for aid, text in enumerate(question.options, start=1)],
            "image": "",
        }
        for number, question in enumerate(questions, start=1)
    ]
    exams = {exam: {"name": exam, "year": "2013", "category": "demo", "data": data}}
    _write(path, json.dumps({"version": "1.0", "language": "en", "exams": exams}, indent=1) + "\n")


def write_flashcards(path: Path, cards: Iterable[tuple[str, str]]) -> None:
    """Write medAlpaca's JSON list of instruction, input and output."""
    rows = [
        {"input": question, "output": answer, "instruction": "Answer this question truthfully"}
        for question, answer in cards
    ]
    _write(path, "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def write_medquad(folder: Path, number: int, focus: str, pairs: Sequence[tuple[str, str, str]], *, source: str) -> None:
    """Write one MedQuAD document: the pairs are (question type, question, answer), the answer perhaps empty."""
    document = f"{number:07}"
    qa = "\n".join(
        f'\t<QAPair pid="{pid}">\n'
        f'\t\t\t<Question qid="{document}-{pid}" qtype="{kind}">{escape(question)}</Question>\n'
        f"\t\t\t<Answer>{escape(answer)}</Answer>\n\t</QAPair>"
        for pid, (kind, question, answer) in enumerate(pairs, start=1)
    )
    _write(
        folder / f"{document}.xml",
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document id="{document}" source="{source}" url="https://demo.invalid/{document}">\n'
        f"<Focus>{escape(focus)}</Focus>\n<QAPairs>\n{qa}\n</QAPairs>\n</Document>\n",
    )


def write_medqa(path: Path, questions: Iterable[DemoQuestion]) -> None:
    """Write MedQA's JSON lines: options by letter, and the answer as text and as letter."""
    rows = [
        {
            "question": question.text,
            "answer": question.options[question.gold],
            "options": dict(zip(ascii_uppercase, question.options, strict=False)),
            "meta_info": "demo",
            "answer_idx": ascii_uppercase[question.gold],
            "metamap_phrases": [],
        }
        for question in questions
    ]
    _write(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_mmlu(path: Path, questions: Iterable[DemoQuestion]) -> None:
    """Write MMLU's CSV without a header: question, four options, the answer's letter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([q.text, *q.options, ascii_uppercase[q.gold]] for q in questions)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
