"""MedQuAD: questions and answers from websites of the US National Institutes of Health.

    publisher   one XML file per page
        <Document source="NIDDK"><QAPairs><QAPair>
            <Question qid="0000001-1" qtype="causes">What causes Acromegaly ?</Question> <Answer>...</Answer>
    hub         lavita/MedQuAD, all 47,441 pairs, or keivalya/MedQuad-MedicalQnADataset, the 16,407 with an answer
        {"document_source": "NIDDK", "question_id": "0000001-1", "question": ..., "answer": ..., ...}
        {"qtype": "causes", "Question": ..., "Answer": ...}

The publisher removed the answers of three sites for copyright (31,034 of 47,441 pairs): those are excluded. An answer
missing elsewhere is a fault. The same question often has several answers, from different pages; all are kept. A file
whose XML is broken is one reject, and the others go on.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Any

from med42lib.assemble.conversations.templates import question_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, optional_text, text_field
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, each, xml_root

SITES_WITHOUT_ANSWERS = ("ADAM", "MPlusDrugs", "MPlusHerbsSupplements")
_ROOT_TAGS = {"Document", "DiseaseFile"}
_LINE_BREAKS = re.compile(r"[ \t]*\n\s*")


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read every XML file below `path`; a record's line is its number in the file."""
    for file in folder.files(path, "*.xml"):
        yield from each(_pairs(file), _conversation)


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the rows of either of the hub's copies at `path`."""
    return each(table_rows(folder, path), _row)


def _pairs(file: DataFile) -> Iterator[Record[dict[str, str | None]] | Reject]:
    try:
        root = xml_root(file)
        if root.tag not in _ROOT_TAGS:
            raise BadRecord("the file is not a MedQuAD document", f"its root is <{root.tag}>")
    except BadRecord as error:
        yield error.at(file.name, 1, file.read())
        return
    pairs = root.findall("QAPairs/QAPair")
    if not pairs:
        empty = ExcludedRecord("the document holds no questions")
        yield empty.at(file.name, 1, root.findtext("Focus", default=""))
    for number, pair in enumerate(pairs, start=1):
        yield Record(file.name, number, _fields(root, pair))


def _fields(root: ET.Element, pair: ET.Element) -> dict[str, str | None]:
    question = pair.find("Question")
    return {
        "source": root.get("source"),
        "qid": None if question is None else question.get("qid"),
        "Question": _text(question),
        "Answer": _text(pair.find("Answer")),
    }


def _text(element: ET.Element | None) -> str | None:
    return None if element is None else "".join(element.itertext())


def _row(value: Any) -> Conversation:
    row = mapping(value)
    if "Question" in row:
        return _conversation(row)
    fields = {"source": "document_source", "qid": "question_id", "Question": "question", "Answer": "answer"}
    return _conversation({ours: row[theirs] for ours, theirs in fields.items() if theirs in row})


def _conversation(fields: Mapping[str, Any]) -> Conversation:
    question = text_field(fields, "Question")
    if fields.get("source") in SITES_WITHOUT_ANSWERS and not optional_text(fields, "Answer"):
        raise ExcludedRecord("the publisher removed this site's answers for copyright")
    answer = _LINE_BREAKS.sub(_tidied, text_field(fields, "Answer"))
    return question_conversation(question, answer, publisher_id=text_field(fields, "qid") if "qid" in fields else "")


def _tidied(line_breaks: re.Match[str]) -> str:
    """Keep a paragraph's end and a line's end, without the pages' indentation."""
    return "\n\n" if line_breaks.group().count("\n") > 1 else "\n"


SOURCE = TrainingSource(
    name="medquad",
    title="MedQuAD",
    domain="medical",
    facts=PublisherFacts(
        licence="CC BY 4.0",
        attribution="Asma Ben Abacha and Dina Demner-Fushman; texts from websites of the US National Institutes of "
        "Health",
        citation="Ben Abacha and Demner-Fushman 2019, A Question-Entailment Approach to Question Answering, "
        "BMC Bioinformatics 20:511",
    ),
    publisher=SourceLayout("medquad/MedQuAD", read, records=_pairs),
    huggingface=SourceLayout("medquad_hf", read_hub, repository="lavita/MedQuAD"),
    num_paper=14_553,
    num_paper_origin="16,407 answered pairs × 0.887: 10 % set aside for validation, then about 1.4 % by a filter",
    tokens_per_row=579,  # measured on 2,960 rows
    left_out="pairs whose answers the publisher removed",
)
