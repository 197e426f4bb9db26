"""OpenGPT of CogStack: questions, tasks and conversations that GPT-3.5 and GPT-4 wrote from pages of NHS.uk.

    publisher   every prepared_generated_data_for_*.csv below the path:
                text,raw_data_id
                "<|user|> What is bronchiolitis? <|eos|> <|ai|> It is ... <|eos|> <|eod|>",1
    hub         the same columns as Parquet or JSON; the publisher has no data set there

The markers go; the turns of a conversation stay turns. A row whose turns do not alternate from user to ai, or whose
last turn is cut off or never answered, is a reject. `raw_data_id` numbers the text that a row was written from, so that
many rows share it.

The publisher's three full files hold 24,665 + 2,354 + 4,688 = 31,707 rows, from which Table A1's 66,026 does not
follow: the paper may have cut conversations into turns, or used further files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.cleaning import is_blank
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, text_field
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, csv_records, each

FILES = "prepared_generated_data_for_*.csv*"
_ROLES = ("<|user|>", "<|ai|>")
_END_OF_TURN, _END_OF_TEXT = "<|eos|>", "<|eod|>"


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the CSV file at `path`, or all prepared ones below it."""
    for file in [folder.file(path)] if folder.has_file(path) else folder.files(path, FILES):
        yield from each(csv_records(file, ["text", "raw_data_id"]), _conversation)


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the same rows as Parquet or JSON at `path`."""
    return each(table_rows(folder, path), _conversation)


def _conversation(value: Any) -> Conversation:
    row = mapping(value)
    said = _turns(text_field(row, "text"))
    exchanges = tuple([Exchange(asked, answer) for asked, answer in zip(said[::2], said[1::2], strict=True)])
    raw_data_id = row.get("raw_data_id")
    return Conversation("" if raw_data_id is None else str(raw_data_id).strip(), exchanges, said[0])


def _turns(text: str) -> list[str]:
    """Take what user and ai say in turn, from the user's first words to the ai's last.

    Raises:
        BadRecord: If they do not alternate, or a turn is blank or cut.
    """
    *turns, rest = text.removesuffix(_END_OF_TEXT).split(_END_OF_TURN)
    if rest.strip():
        raise BadRecord("the text is cut: its last turn has no end", rest.strip())
    said = [_said(turn.strip(), _ROLES[number % 2]) for number, turn in enumerate(turns)]
    if not said or len(said) % 2:
        raise BadRecord("the text is cut: its last turn has no answer", f"{len(said)} turns")
    return said


def _said(turn: str, role: str) -> str:
    if not turn.startswith(role):
        raise BadRecord("the turns do not alternate from user to ai", turn)
    said = turn[len(role) :].strip()
    if is_blank(said):
        raise BadRecord("a turn is blank", turn)
    if "<|" in said and any(marker in said for marker in (*_ROLES, _END_OF_TEXT)):
        raise BadRecord("a marker stands inside a turn", said)
    return said


SOURCE = TrainingSource(
    name="opengpt",
    title="OpenGPT",
    domain="medical",
    facts=PublisherFacts(
        licence="Apache-2.0 (repository); Open Government Licence (text of NHS.uk); terms of OpenAI (its models' "
        "output)",
        attribution="CogStack; contains public sector information of NHS.uk under the Open Government Licence",
        citation="CogStack 2023, OpenGPT: a framework for creating grounded instruction-based datasets",
    ),
    publisher=SourceLayout("opengpt", read, records=csv_records),
    huggingface=SourceLayout("opengpt_hf", read_hub),
    num_paper=66_026,
    num_paper_origin="unexplained: the publisher's three files hold 24,665 + 2,354 + 4,688 = 31,707 rows",
    tokens_per_row=195,  # measured on 306 rows
)
