import csv
import gzip
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.assemble.sources.opengpt import read
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source

PATH = "opengpt/prepared_generated_data_for_nhs.csv"
SINGLE = "<|user|> What is X? <|eos|> <|ai|> It is Y,\n\nsaid he. <|eos|> <|eod|>"
MULTI = "<|user|> Hi. <|eos|> <|ai|> Hello! <|eos|> <|user|> I cough. <|eos|> <|ai|> Rest. <|eos|> <|eod|>"


def table(*texts: str, header: str = "text") -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([(header, "raw_data_id"), *((text, "17") for text in texts)])
    return stream.getvalue()


def test_the_markers_go_and_the_turns_of_a_conversation_stay(write: Any, conversations: Any) -> None:
    write(PATH, table(SINGLE, MULTI))
    assert conversations("opengpt") == [
        Conversation("17", (Exchange("What is X?", "It is Y,\n\nsaid he."),), "What is X?"),
        Conversation("17", (Exchange("Hi.", "Hello!"), Exchange("I cough.", "Rest.")), "Hi."),
    ]


def test_all_prepared_files_are_read_and_no_others(write: Any, conversations: Any) -> None:
    write("opengpt/a/prepared_generated_data_for_a.csv", table(SINGLE))
    write("opengpt/b/prepared_generated_data_for_b.csv.gz", gzip.compress(table(MULTI).encode()))
    write("opengpt/b/raw_generated_data_for_b.csv", "id,raw_output\n")
    assert [len(conversation.exchanges) for conversation in conversations("opengpt")] == [1, 2]
    write("elsewhere.csv", table(SINGLE))
    assert len(conversations("opengpt", path="elsewhere.csv")) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<|user|> Q <|eos|> <|user|> Q <|eos|>", "the turns do not alternate from user to ai"),
        ("<|ai|> A <|eos|> <|user|> Q <|eos|> <|eod|>", "the turns do not alternate from user to ai"),
        ("Q <|eos|> A <|eos|>", "the turns do not alternate from user to ai"),
        ("<|user|> Q <|eos|> <|ai|> A and the", "the text is cut: its last turn has no end"),
        ("no markers", "the text is cut: its last turn has no end"),
        ("<|user|> Q <|eos|> <|eod|>", "the text is cut: its last turn has no answer"),
        (f"{MULTI.removesuffix('<|eod|>')} <|user|> Q <|eos|> <|eod|>", "the text is cut: its last turn has no answer"),
        ("<|eod|>", "the text is cut: its last turn has no answer"),
        ("<|user|>  <|eos|> <|ai|> A <|eos|> <|eod|>", "a turn is blank"),
        ("<|user|> Q <|ai|> A <|eos|> <|ai|> B <|eos|>", "a marker stands inside a turn"),
        (f"{SINGLE} {SINGLE}", "the turns do not alternate from user to ai"),
        (" ", "text is blank"),
    ],
)
def test_a_broken_conversation_is_a_reject_and_the_rest_goes_on(
    write: Any, conversations: Any, text: str, reason: str
) -> None:
    write(PATH, table(text, SINGLE))
    first, second = conversations("opengpt")
    assert first == ("rejected", reason)
    assert isinstance(second, Conversation)


def test_the_end_of_text_may_be_missing_and_other_marks_are_text(write: Any, conversations: Any) -> None:
    write(PATH, table("<|user|>a <|b|>?<|eos|><|ai|>c|d<|eos|>"))
    assert conversations("opengpt")[0].exchanges == (Exchange("a <|b|>?", "c|d"),)


def test_a_missing_column_fails(write: Any, conversations: Any) -> None:
    write(PATH, table(SINGLE, header="texts"))
    with pytest.raises(DataError, match="has no column text"):
        conversations("opengpt")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_the_same_rows_are_read_from_tables(write: Any, conversations: Any, suffix: str) -> None:
    rows = [{"text": SINGLE, "raw_data_id": 17}, {"text": None, "raw_data_id": None}]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    content = {"parquet": stream.getvalue(), "jsonl": "\n".join(map(json.dumps, rows))}
    write(f"opengpt_hf/rows.{suffix}", content[suffix])
    assert conversations("opengpt", layout="huggingface") == [
        Conversation("17", (Exchange("What is X?", "It is Y,\n\nsaid he."),), "What is X?"),
        ("rejected", "text is missing"),
    ]


def test_the_real_example_project_is_read_whole(real_data: Path) -> None:
    folder = DataFolder(Source(str(real_data / "raw")))
    conversations = [
        record.value for record in read(folder, "opengpt", ReadOptions("letters")) if isinstance(record, Record)
    ]
    # 306 rows, none broken: 275 questions, and 31 conversations of 4 to 8 questions each.
    assert Counter(len(conversation.exchanges) for conversation in conversations) == {
        1: 275,
        4: 2,
        5: 7,
        6: 8,
        7: 8,
        8: 6,
    }
    assert not any(
        "<|" in said
        for conversation in conversations
        for e in conversation.exchanges
        for said in (e.prompter, e.assistant)
    )
    assert folder.opened == ["opengpt/example_project_data/prepared_generated_data_for_example_project.csv"]
