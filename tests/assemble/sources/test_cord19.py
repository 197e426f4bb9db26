import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.assemble.source import ReadOptions
from med42lib.assemble.sources.cord19 import WORDINGS, read
from med42lib.core.errors import DataError
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source

PATH = "cord19/metadata.csv"
HEADER = ["cord_uid", "sha", "source_x", "title", "doi", "license", "abstract", "publish_time", "url"]


def table(*papers: tuple[str, str, str, str], header: list[str] = HEADER) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(header)
    for uid, title, licence, abstract in papers:
        writer.writerow([uid, "", "PMC", title, "10.1/1", licence, abstract, "2020-03-01", ""])
    return stream.getvalue()


def test_a_title_is_asked_for_an_abstract_and_the_papers_licence_is_kept(write: Any, conversations: Any) -> None:
    write(PATH, table(("ug7v899j", "A, title", "cc-by", ' One.\n"Two". '), ("x", "T", "", "Three.")))
    first, second = conversations("cord19")
    (exchange,) = first.exchanges
    assert exchange.assistant == "A, title"
    assert exchange.prompter in [wording + 'One.\n"Two".' for wording in WORDINGS]
    assert (first.publisher_id, first.question) == ("ug7v899j", 'One.\n"Two".')
    assert first.licence == "cc-by; CORD-19 text and data mining licence: no onward transfer"
    assert second.licence == ""


def test_wordings_are_chosen_by_the_abstract_and_all_are_used(write: Any, conversations: Any) -> None:
    papers = [(str(number), "T", "", f"Abstract {number}.") for number in range(60)]
    write(PATH, table(*papers))
    prompters = [conversation.exchanges[0].prompter for conversation in conversations("cord19")]
    assert {prompter.partition("Abstract ")[0] for prompter in prompters} == set(WORDINGS)
    write(PATH, table(*papers[::-1]))
    assert [conversation.exchanges[0].prompter for conversation in conversations("cord19")] == prompters[::-1]


def test_papers_without_title_or_abstract_are_excluded_and_broken_rows_rejected(write: Any, conversations: Any) -> None:
    papers = [("1", " ", "", "A"), ("2", "T", "", ""), ("", "T", "", "A"), ("4", "T", "", "A"), ("4", "T", "", "A")]
    write(PATH, table(*papers) + 'short,row\n5,"x"y\n')
    *others, kept, again, short, stray = conversations("cord19")
    assert others == [
        ("excluded", "the paper has no title"),
        ("excluded", "the paper has no abstract"),
        ("rejected", "cord_uid is blank"),
    ]
    assert kept == again
    assert short == ("rejected", "the row has another number of cells than the header")
    assert stray == ("rejected", "the row is not valid CSV")


@pytest.mark.parametrize("sha", ["d1aafb70c066a2068b02786f8929fd9c900897fb", ""])
def test_a_release_before_cord_uid_is_read_with_the_papers_sha(write: Any, conversations: Any, sha: str) -> None:
    write(PATH, f"sha,source_x,title,doi,license,abstract\n{sha},PMC,A title,10.1/1,cc-by,An abstract.\n")
    (conversation,) = conversations("cord19")
    assert (conversation.publisher_id, conversation.exchanges[0].assistant) == (sha, "A title")


def test_a_missing_column_fails(write: Any, conversations: Any) -> None:
    write(PATH, table(header=["cord_uid", "title", "abstract"]))
    with pytest.raises(DataError, match="has no column license"):
        conversations("cord19")


def test_a_large_release_is_read_row_by_row(write: Any, data: Path) -> None:
    write(PATH, table(*[("1", "T", "", "A")] * 50_000).encode() + b"\xff")
    records = read(DataFolder(Source(str(data))), PATH, ReadOptions("letters"))
    assert isinstance(next(records), Record)
    with pytest.raises(DataError, match="is not UTF-8 text"):
        list(records)


ROW = {"instruction": "Please summerize the given abstract to a title", "input": "An abstract.", "output": "A title"}


@pytest.mark.parametrize("name", ["rows.parquet", "medical_meadow_cord19.json", "rows.jsonl"])
def test_the_hubs_misspelt_instruction_is_replaced_by_our_wordings(write: Any, conversations: Any, name: str) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([ROW]), stream)
    content: dict[str, Any] = {".parquet": stream.getvalue(), ".json": [ROW], ".jsonl": json.dumps(ROW)}
    write(f"cord19_hf/{name}", content[Path(name).suffix])
    (conversation,) = conversations("cord19", layout="huggingface")
    assert conversation.exchanges[0].prompter in [wording + "An abstract." for wording in WORDINGS]
    assert (conversation.exchanges[0].assistant, conversation.question, conversation.licence) == (
        "A title",
        "An abstract.",
        "",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": None}, "input is missing"),
        ({"input": " "}, "input is blank"),
        ({"output": ["T"]}, "output is not text"),
    ],
)
def test_a_broken_row_of_the_hub_is_a_reject(
    write: Any, conversations: Any, changes: dict[str, Any], reason: str
) -> None:
    write("cord19_hf/rows.json", [{**ROW, **changes}, ROW])
    first, second = conversations("cord19", layout="huggingface")
    assert first == ("rejected", reason)
    assert second.exchanges[0].assistant == "A title"
