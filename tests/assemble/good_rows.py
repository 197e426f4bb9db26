"""One good row of every training source in each of its layouts, and how the publisher would write rows to a file.

Tests of bad input break these rows and files; the fuzzer starts from them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args
from xml.sax.saxutils import escape, quoteattr

from med42lib.assemble.source import LayoutName, load_source

Row = Mapping[str, Any]
Key = tuple[str, LayoutName]


def json_lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def csv_table(rows: Sequence[Row]) -> str:
    """Write rows as CSV with the columns that any of them has; null is an empty cell."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    return _csv([columns, *cells])


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _csv(cells: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(cells)
    return text.getvalue()


def mmlu_cells(rows: Sequence[Row]) -> str:
    return _csv([[_cell(value) for value in row.values()] for row in rows])


def headqa_document(rows: Sequence[Row]) -> str:
    return json.dumps({"exams": {"exam": {"name": "exam", "data": list(rows)}}})


def pubmedqa_document(rows: Sequence[Row]) -> str:
    return json.dumps({str(number): row for number, row in enumerate(rows, start=100)})


def niv2_document(rows: Sequence[Row]) -> str:
    return json.dumps({"Definition": ["Answer."], "Instances": list(rows), "Instance License": ["MIT"]})


def medquad_page(rows: Sequence[Row]) -> str:
    pairs = "".join(
        f"<QAPair><Question{_attribute('qid', row)}>{escape(_cell(row.get('Question')))}</Question>"
        f"{_element('Answer', row)}</QAPair>\n"
        for row in rows
    )
    return f'<Document id="1" source="NIDDK"><Focus>X</Focus>\n<QAPairs>\n{pairs}</QAPairs></Document>'


def mediqa_set(rows: Sequence[Row]) -> str:
    questions = "".join(
        f'<Question QID="1">{_element("QuestionText", row)}<AnswerList><Answer{_attribute("AID", row)}'
        f"{_attribute('ReferenceScore', row)}>{_element('AnswerText', row)}</Answer></AnswerList></Question>\n"
        for row in rows
    )
    return f"<MEDIQA2019-Task3-QA-TrainingSet1>\n{questions}</MEDIQA2019-Task3-QA-TrainingSet1>"


def _attribute(name: str, row: Row) -> str:
    return "" if row.get(name) is None else f" {name}={quoteattr(str(row[name]))}"


def _element(name: str, row: Row) -> str:
    return "" if row.get(name) is None else f"<{name}>{escape(str(row[name]))}</{name}>"


@dataclass(frozen=True)
class Good:
    """The main file of one layout: its name, one good row, and how rows become its text.

    `question` is the field that holds the question, or the first text there is. `beside` are further files that the
    reader needs, `include` the parts to read.
    """

    name: str
    row: Row
    question: str
    write: Callable[[Sequence[Row]], str] = json_lines
    beside: Mapping[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()


def read_path(name: str, layout_name: LayoutName, file: str) -> str:
    """Say at which path the reader is to look for a file: the usual one, unless the file is not below it."""
    usual = load_source(name).layout(layout_name).path
    return usual if file.startswith(f"{usual}/") else file


OPTIONS = {"A": "one", "B": "two", "C": "three", "D": "four"}
ANSWERS = [{"aid": number, "atext": text} for number, text in enumerate(OPTIONS.values(), start=1)]
FOUR = {"opa": "one", "opb": "two", "opc": "three", "opd": "four", "exp": "Ans. is 'b' i.e., two. It is so."}
MEADOW = {"instruction": "Answer.", "input": "What is X?", "output": "It is Y."}
ORCA = {"system_prompt": "You help.", "question": "What is X?", "response": "It is Y."}
TASK = "task591_sciq_answer_generation"
TURNS = "<|user|> What is X? <|eos|> <|ai|> It is Y. <|eos|> <|eod|>"
MEDQA = {"question": "Which?", "options": OPTIONS, "answer_idx": "B", "answer": "two"}
PUBMEDQA = {"QUESTION": "Is it?", "CONTEXTS": ["It is."], "LONG_ANSWER": "It is so.", "final_decision": "yes"}
MEDQUAD_COPY = {"document_source": "NIDDK", "question_id": "1-1", "question": "What is X ?", "answer": "It is Y."}
PAGE = "https://biology.stackexchange.com"
STACK = {
    "qid": 12,
    "question": "<p>Why <b>X</b>?</p>",
    "answers": [
        {"answer_id": 34, "author": "A.", "pm_score": 3, "selected": True, "text": "<p>Because.</p>"},
        {"answer_id": 35, "author": "B.", "pm_score": 1, "selected": False, "text": "<ol><li>So.</ol>"},
    ],
    "metadata": [f"{PAGE}/questions/12", PAGE, f"{PAGE}/users/7/"],
}
IDS = '{"999": "no"}'

GOOD: dict[Key, Good] = {
    ("cord19", "publisher"): Good(
        "cord19/metadata.csv",
        {"cord_uid": "ug7v899j", "title": "On X", "abstract": "X, and why.", "license": "cc-by"},
        "abstract",
        csv_table,
    ),
    ("headqa", "publisher"): Good(
        "headqa/HEAD_EN/train_HEAD_EN.json",
        {"qid": "7", "qtext": "Which?", "ra": "2", "answers": ANSWERS, "image": ""},
        "qtext",
        headqa_document,
    ),
    ("headqa", "huggingface"): Good(
        "headqa_hf/en/train.jsonl",
        {"name": "exam", "qid": 7, "qtext": "Which?", "ra": 2, "answers": ANSWERS, "image": None},
        "qtext",
    ),
    ("health_advice", "publisher"): Good(
        "pubmed_health_advice/annotations_x.csv",
        {"label": "1", "pmid": "123", "sentence": "Consider rest."},
        "sentence",
        csv_table,
    ),
    ("medmcqa", "publisher"): Good(
        "medmcqa/train.json", {"id": "x", "question": "Which?", "cop": 2, **FOUR}, "question"
    ),
    ("medmcqa", "huggingface"): Good(
        "medmcqa_hf/train.jsonl", {"id": "x", "question": "Which?", "cop": 1, **FOUR}, "question"
    ),
    ("medqa", "publisher"): Good("medqa/questions/US/4_options/phrases_no_exclude_train.jsonl", MEDQA, "question"),
    ("medqa", "huggingface"): Good("medqa_hf/train.jsonl", MEDQA, "question"),
    ("mediqa", "publisher"): Good(
        "mediqa/MEDIQA2019/MEDIQA2019-Task3-QA-TrainingSet1.xml",
        {"AID": "1_Answer1", "ReferenceScore": "4", "QuestionText": "What is X?", "AnswerText": "It is Y."},
        "QuestionText",
        mediqa_set,
    ),
    ("medquad", "publisher"): Good(
        "medquad/MedQuAD/1.xml",
        {"qid": "1-1", "Question": "What is X ?", "Answer": "It is Y."},
        "Question",
        medquad_page,
    ),
    ("medquad", "huggingface"): Good("medquad_hf/train.jsonl", MEDQUAD_COPY, "question"),
    ("mmlu", "publisher"): Good(
        "mmlu/dev/anatomy_dev.csv",
        {"question": "Which?", **OPTIONS, "answer": "B"},
        "question",
        mmlu_cells,
        include=("anatomy",),
    ),
    ("mmlu", "huggingface"): Good(
        "mmlu_hf/anatomy/validation.jsonl",
        {"question": "Which?", "subject": "anatomy", "choices": list(OPTIONS.values()), "answer": 1},
        "question",
        include=("anatomy",),
    ),
    ("niv2", "publisher"): Good(
        f"niv2/tasks/{TASK}.json",
        {"id": "task591-1", "input": "What?", "output": ["atoms"]},
        "input",
        niv2_document,
        include=(TASK,),
    ),
    ("niv2", "huggingface"): Good(
        f"niv2/{TASK}_train.jsonl",
        {"task_name": TASK, "id": "task591-1", "definition": "Answer.", "inputs": "What?", "targets": "atoms"},
        "inputs",
        include=(TASK,),
    ),
    ("opengpt", "publisher"): Good(
        "opengpt/prepared_generated_data_for_x.csv", {"text": TURNS, "raw_data_id": "1"}, "text", csv_table
    ),
    ("opengpt", "huggingface"): Good("opengpt/train.jsonl", {"text": TURNS, "raw_data_id": 1}, "text"),
    ("pubmed_causal", "publisher"): Good(
        "pubmed_causal/annotated_pubmed.csv", {"sentence": "X causes Y.", "label": "1"}, "sentence", csv_table
    ),
    ("pubmedqa", "publisher"): Good(
        "pubmedqa/ori_pqal.json",
        PUBMEDQA,
        "QUESTION",
        pubmedqa_document,
        beside={"pubmedqa/test_ground_truth.json": IDS},
    ),
    ("pubmedqa", "huggingface"): Good(
        "pubmedqa_hf/pqa_labeled/train.jsonl",
        {"pubid": 7, "question": "Is it?", "context": {"contexts": ["It is."]}, "final_decision": "yes"},
        "question",
        beside={"pubmedqa_hf/pqa_labeled/test_ground_truth.json": IDS},
    ),
}

_MEADOWS = {"cord19": "cord19_hf", "health_advice": "pubmed_health_advice", "mediqa": "mediqa"}
GOOD |= {
    (name, "huggingface"): Good(f"{folder}/train.jsonl", MEADOW, "input")
    for name, folder in {**_MEADOWS, "pubmed_causal": "pubmed_causal", "medical_flashcards": "flashcards"}.items()
}
GOOD["medical_flashcards", "publisher"] = Good("medical_flashcards/cards.jsonl", MEADOW, "input")
for _layout in get_args(LayoutName):
    GOOD["stackexchange", _layout] = Good("stackexchange/train.jsonl", STACK, "question")
    for _name in ("t0", "flan", "cot"):
        GOOD[f"openorca_{_name}", _layout] = Good("openorca/x.jsonl", {"id": f"{_name}.1", **ORCA}, "question")
