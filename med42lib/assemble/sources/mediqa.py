"""MEDIQA: consumers' health questions, with answers that were found by a search engine and rated by hand.

Three things share the name. The paper's 1,950 come from medAlpaca's 2,208, which is MEDIQA-AnS (answers summarised from
a passage); the publisher's release read here is MEDIQA 2019, task 3. So the two layouts hold different records.

Publisher: XML, one file per set, 1,935 answers to 233 questions in the training and validation sets.

    <Question QID="1"><QuestionText>What is ...</QuestionText><AnswerList>
        <Answer AID="1_Answer1" SystemRank="1" ReferenceRank="2" ReferenceScore="4"><AnswerText>It is ...</AnswerText>

ReferenceScore says 4 excellent, 3 correct but incomplete, 2 related, 1 incorrect: only 3 and 4 are used (728 answers),
a question with several once for each. `TestSet.xml` and `TestSet-wLabels.xml` are the same held-out questions and are
not opened. Training set 1 holds the test questions of TREC LiveQA 2017, so LiveQA can be no benchmark after this.

Hub: medAlpaca's rows, in which the instruction is the question and the input the passage that the answer sums up.

    {"instruction": "What is ...?", "input": "A long passage ...", "output": "It is ..."}
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.conversations.templates import question_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.core.errors import DataError
from med42lib.formats.prompt import open_question
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import text_field
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.parsers import Record, each, xml_root
from med42lib.readers.publishers.medalpaca import MedAlpacaRow, read_medalpaca

_SETS = ("-TrainingSet", "-ValidationSet")
_SCORES = {"1": False, "2": False, "3": True, "4": True}

Fields = dict[str, str | None]


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the training and validation sets below `path`, or one file; a record's line is the answer's number in it."""
    for file in _files(folder, path):
        yield from each(_answers(file), _conversation)


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read medAlpaca's rows at `path`."""
    return each(read_medalpaca(folder, path), _summary_conversation)


def _files(folder: DataFolder, path: str) -> list[DataFile]:
    if folder.has_file(path):
        return [folder.file(path)]
    found = [name for name in folder.names(path) if name.endswith(".xml") and any(part in name for part in _SETS)]
    if not found:
        raise DataError(
            f"{folder.address}/{path} has no files *-TrainingSet*.xml or *-ValidationSet.xml; check the path"
        )
    return [folder.file(name) for name in found]


def _answers(file: DataFile) -> Iterator[Record[Fields] | Reject]:
    try:
        root = xml_root(file)
        questions = root.findall("Question")
        if not questions:
            raise BadRecord("the file is not a MEDIQA 2019 document", f"its root is <{root.tag}>, without <Question>")
    except BadRecord as error:
        yield error.at(file.name, 1, file.read())
        return
    number = 0
    for question in questions:
        for answer in question.findall("AnswerList/Answer"):
            number += 1
            texts = {"QuestionText": question.findtext("QuestionText"), "AnswerText": answer.findtext("AnswerText")}
            yield Record(file.name, number, {**answer.attrib, **texts})


def _conversation(fields: Fields) -> Conversation:
    score = text_field(fields, "ReferenceScore")
    if score not in _SCORES:
        raise BadRecord("the answer's score is not 1 to 4", f"ReferenceScore = {score!r}")
    question, answer = text_field(fields, "QuestionText"), text_field(fields, "AnswerText")
    if not _SCORES[score]:
        raise ExcludedRecord(
            "the answer is rated as wrong, or only related to the question", f"ReferenceScore = {score}"
        )
    return question_conversation(question, answer, publisher_id=text_field(fields, "AID"))


def _summary_conversation(row: MedAlpacaRow) -> Conversation:
    question = row.instruction or row.input
    passage = row.input if row.instruction else ""
    return Conversation("", (Exchange(open_question(question, context=passage), row.output),), question)


SOURCE = TrainingSource(
    name="mediqa",
    title="MediQA",
    domain="medical",
    facts=PublisherFacts(
        licence="not stated by the publisher",
        attribution="Asma Ben Abacha, Chaitanya Shivade and Dina Demner-Fushman, US National Library of Medicine; "
        "the answers are from public health websites",
        citation="Ben Abacha, Shivade and Demner-Fushman 2019, Overview of the MEDIQA 2019 Shared Task, ACL-BioNLP",
    ),
    publisher=SourceLayout("mediqa/MEDIQA2019", read, records=_answers),
    huggingface=SourceLayout("mediqa", read_hub, repository="medalpaca/medical_meadow_mediqa", hub_path="*.json"),
    num_paper=1_950,
    num_paper_origin="medAlpaca's 2,208 rows (MEDIQA-AnS) × 0.883: validation split and filter",
    tokens_per_row=1_077,  # measured on 728 rows
    left_out="answers rated 1 or 2 (1,207 of 1,935); the test set",
)
