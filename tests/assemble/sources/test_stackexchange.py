import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.assemble.sources.stackexchange import read
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source

ROOT = "stackexchange/data"
BIOLOGY = f"{ROOT}/biology.stackexchange.com/data.jsonl"


def answer(number: int = 1, **changes: Any) -> dict[str, Any]:
    made = {"answer_id": number, "author": "A. Nonymous", "author_id": 7, "author_profile": "https://x/users/7"}
    return {**made, "pm_score": 0, "selected": False, "text": f"<p>Answer {number}</p>", **changes}


def row(qid: int = 5, site: str = "biology", **changes: Any) -> dict[str, Any]:
    home = f"https://{site}.stackexchange.com"
    urls = [f"{home}/questions/{qid}", home, f"{home}/users/9/"]
    made = {"qid": qid, "question": "<p>Why is $a_1 &lt; b$?</p>", "answers": [answer()], "date": "2012/1/1"}
    return {**made, "metadata": urls, **changes}


def lines(*rows: Any) -> str:
    return "".join(json.dumps(one) + "\n" for one in rows)


def parquet(*rows: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), stream)
    return stream.getvalue()


@pytest.mark.parametrize("layout", ["publisher", "huggingface"])
def test_html_becomes_text_and_the_author_and_the_page_are_named(write: Any, conversations: Any, layout: str) -> None:
    write(f"{ROOT}/biology.stackexchange.com/train-00000-of-00001.parquet", parquet(row()))
    assert conversations("stackexchange", layout=layout) == [
        Conversation(
            "5",
            (Exchange("Why is $a_1 < b$?", "Answer 1"),),
            "Why is $a_1 < b$?",
            licence="CC BY-SA 4.0; A. Nonymous, https://biology.stackexchange.com/questions/5",
        )
    ]


@pytest.mark.parametrize(
    ("answers", "best"),
    [
        ([answer(1, pm_score=9), answer(2, selected=True, pm_score=-1)], 2),
        ([answer(1, pm_score=1), answer(2, pm_score=3), answer(3, pm_score=2)], 2),
        ([answer(30, pm_score=2), answer(4, pm_score=2)], 4),
    ],
)
def test_the_selected_answer_is_taken_then_the_best_voted_then_the_oldest(
    write: Any, conversations: Any, answers: list[Any], best: int
) -> None:
    write(BIOLOGY, lines(row(answers=answers), row(answers=answers[::-1])))
    assert [conversation.exchanges[0].assistant for conversation in conversations("stackexchange")] == [
        f"Answer {best}"
    ] * 2


def test_only_the_papers_sites_are_read_under_either_of_their_names_and_no_meta_site(
    write: Any, conversations: Any
) -> None:
    sites = ["biology", "biology.meta", "chess", "cogsci", "health", "medicalsciences", "psychology"]
    for number, site in enumerate(sites):
        write(f"{ROOT}/{site}.stackexchange.com/a.jsonl", lines(row(number, site)))
    assert [conversation.publisher_id for conversation in conversations("stackexchange")] == ["0", "3", "4", "5", "6"]
    assert [conversation.publisher_id for conversation in conversations("stackexchange", include=("chess",))] == ["2"]
    assert [conversation.publisher_id for conversation in conversations("stackexchange", include=("psychology",))] == [
        "3",
        "6",
    ]
    with pytest.raises(DataError, match=r"has none of the sites biology\.meta"):
        conversations("stackexchange", include=("biology.meta",))


def test_the_files_of_other_sites_are_not_opened(write: Any, data: Path) -> None:
    write(BIOLOGY, lines(row()))
    write(f"{ROOT}/chess.stackexchange.com/a.parquet", b"broken")
    folder = DataFolder(Source(str(data)))
    assert len(list(read(folder, "stackexchange", ReadOptions("letters")))) == 1
    assert folder.opened == [BIOLOGY]


def test_a_row_of_another_site_than_its_folder_is_rejected_and_a_renamed_site_is_not(
    write: Any, conversations: Any
) -> None:
    write(f"{ROOT}/psychology.stackexchange.com/a.jsonl", lines(row(1, "cogsci"), row(2, "chess")))
    renamed, other = conversations("stackexchange")
    assert isinstance(renamed, Conversation)
    assert other == ("rejected", "the record's URL is of another site than its folder")


def test_without_urls_the_folder_says_the_site_and_the_page(write: Any, conversations: Any) -> None:
    write(BIOLOGY, lines(row(metadata=None, answers=[answer(author=None)])))
    (conversation,) = conversations("stackexchange")
    assert conversation.licence == "CC BY-SA 4.0; https://biology.stackexchange.com/questions/5"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question": None}, "question is missing"),
        ({"question": "  "}, "question is blank"),
        ({"question": "<p><!-- x --></p>"}, "question is HTML without any text"),
        ({"qid": None}, "qid is missing"),
        ({"answers": []}, "the question has no list of answers"),
        ({"answers": "none"}, "the question has no list of answers"),
        ({"answers": ["none"]}, "the record is not a JSON object"),
        ({"answers": [answer(text=None)]}, "text is missing"),
        ({"answers": [answer(text=5)]}, "text is not text"),
        ({"answers": [answer(), answer(pm_score="3")]}, "an answer has no selected, pm_score and answer_id"),
        ({"answers": [answer(selected=None)]}, "an answer has no selected, pm_score and answer_id"),
    ],
)
def test_a_broken_record_is_a_reject_and_the_rest_goes_on(
    write: Any, conversations: Any, changes: dict[str, Any], reason: str
) -> None:
    write(BIOLOGY, lines(row(**changes), row()) + "[1]\n{")
    first, second, *others = conversations("stackexchange")
    assert first == ("rejected", reason)
    assert isinstance(second, Conversation)
    assert others == [("rejected", "the record is not a JSON object"), ("rejected", "the line is not valid JSON")]


def pair(qid: int, site: str = "biology") -> dict[str, Any]:
    made = row(qid, site, question="Why *x*?\n\n```\na <b>\n```", response_j="Better: `x`.", response_k="Worse.")
    del made["answers"]
    return made


def test_of_a_pair_the_better_answer_is_taken_as_it_stands(write: Any, conversations: Any) -> None:
    write("paired/data/finetune/train-0.parquet", parquet(pair(1), pair(2, "chess"), pair(3, "biology.meta")))
    (conversation,) = conversations("stackexchange", layout="huggingface", path="paired")
    assert conversation.exchanges == (Exchange("Why *x*?\n\n```\na <b>\n```", "Better: `x`."),)
    assert conversation.licence == "CC BY-SA 4.0; https://biology.stackexchange.com/questions/1"
    found = conversations("stackexchange", layout="huggingface", path="paired", include=("any",))
    assert [conversation.publisher_id for conversation in found] == ["1", "2"]


def test_the_real_pairs_show_no_site_so_they_are_read_only_if_asked_for(real_data: Path) -> None:
    folder = DataFolder(Source(str(real_data / "raw/stackexchange")))
    path = "stack_exchange_paired_tiny.json"
    refused = list(read(folder, path, ReadOptions("letters")))
    assert {getattr(reject, "reason", "") for reject in refused} == {"the record does not show which site it is from"}
    found = [
        record.value
        for record in read(folder, path, ReadOptions("letters", include=("any",)))
        if isinstance(record, Record)
    ]
    # 25 pairs of 8 questions, all from Stack Overflow; different pairs of a question often share the better answer.
    assert (len(refused), len(found)) == (25, 25)
    assert len({conversation.question for conversation in found}) == 8
    assert {conversation.licence for conversation in found} == {""}


@pytest.mark.parametrize(
    "beginning",
    ['<!DOCTYPE a [<!ENTITY l SYSTEM "file:///etc/hostname">]>', '<!DOCTYPE a [<!ENTITY l "ha"><!ENTITY m "&l;&l;">]>'],
    ids=["external entity", "entity of entities"],
)
def test_entities_of_the_author_stay_as_they_were_written(write: Any, conversations: Any, beginning: str) -> None:
    write(BIOLOGY, lines(row(question=f"{beginning}<p>Why &l; &m;?</p>")))
    (conversation,) = conversations("stackexchange")
    assert conversation.question.endswith("Why &l; &m;?")
