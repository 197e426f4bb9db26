import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.assemble.sources.medquad import read
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source


def document(*pairs: str, source: str = "NIDDK", root: str = "Document") -> str:
    return f'<{root} id="1" source="{source}"><Focus>X</Focus><QAPairs>{"".join(pairs)}</QAPairs></{root}>'


def pair(answer: str, number: int = 1, question: str = "What is X ?") -> str:
    return (
        f'<QAPair pid="{number}"><Question qid="1-{number}" qtype="information">{question}</Question>'
        f"<Answer>{answer}</Answer></QAPair>"
    )


def test_a_question_with_two_answers_gives_two_conversations(write: Any, conversations: Any) -> None:
    write("medquad/MedQuAD/5_N/1.xml", document(pair("One &amp; all."), pair("Two.", 2)))
    assert conversations("medquad") == [
        Conversation("1-1", (Exchange("What is X ?", "One & all."),), "What is X ?"),
        Conversation("1-2", (Exchange("What is X ?", "Two."),), "What is X ?"),
    ]


def test_the_pages_indentation_goes_and_the_paragraphs_stay(write: Any, conversations: Any) -> None:
    write("medquad/MedQuAD/1.xml", document(pair("\n  One.\n                \nTwo:\n\t- a  \n\t- b\n ")))
    assert conversations("medquad")[0].exchanges[0].assistant == "One.\n\nTwo:\n- a\n- b"


def test_both_root_elements_of_the_release_are_read(write: Any, conversations: Any) -> None:
    write("medquad/MedQuAD/9_CDC/1.xml", document(pair("One."), root="DiseaseFile"))
    assert len(conversations("medquad")) == 1


def test_answers_that_the_publisher_removed_are_excluded_and_others_missing_are_rejected(
    write: Any, conversations: Any
) -> None:
    write("medquad/MedQuAD/10_A/1.xml", document(pair(""), source="ADAM"))
    write("medquad/MedQuAD/2_G/1.xml", document(pair(" "), pair("One.", 2), source="GARD"))
    write("medquad/MedQuAD/3_E/1.xml", document())
    assert conversations("medquad")[:2] == [
        ("excluded", "the publisher removed this site's answers for copyright"),
        ("rejected", "Answer is blank"),
    ]
    assert conversations("medquad")[3] == ("excluded", "the document holds no questions")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<Document><QAPairs></Document>", "the file is not well-formed XML"),
        ("<html/>", "the file is not a MedQuAD document"),
        ('<!DOCTYPE a [<!ENTITY x "ha">]><Document>&x;</Document>', "the XML file declares a document type"),
        (document("<QAPair><Answer>One.</Answer></QAPair>"), "Question is missing"),
        (document("<QAPair><Question>Q?</Question><Answer>One.</Answer></QAPair>"), "qid is missing"),
        (document('<QAPair><Question qid="1">Q?</Question></QAPair>'), "Answer is missing"),
    ],
)
def test_a_broken_file_or_pair_is_a_reject_and_the_others_go_on(
    write: Any, conversations: Any, content: str, reason: str
) -> None:
    write("medquad/MedQuAD/1.xml", content)
    write("medquad/MedQuAD/2.xml", document(pair("One.")))
    first, second = conversations("medquad")
    assert first == ("rejected", reason)
    assert isinstance(second, Conversation)


BILLION_LAUGHS = '<!DOCTYPE a [<!ENTITY l0 "ha">' + "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)
)


@pytest.mark.parametrize(
    "beginning",
    [
        f"{BILLION_LAUGHS}]>",
        '<!DOCTYPE a [<!ENTITY l9 SYSTEM "SECRET">]>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "SECRET"> %p; <!ENTITY l9 "x">]>',
        '<!DOCTYPE a SYSTEM "SECRET">',
    ],
    ids=["billion laughs", "external entity", "parameter entity", "external document type"],
)
def test_entities_neither_grow_nor_read_other_files(
    write: Any, conversations: Any, data: Path, monkeypatch: pytest.MonkeyPatch, beginning: str
) -> None:
    secret = data / "secret.txt"
    secret.write_text("secret")
    text = beginning.replace("SECRET", secret.as_uri()) + document(pair("&l9;"))
    write("medquad/MedQuAD/1.xml", text)
    assert conversations("medquad") == [("rejected", "the XML file declares a document type")]


def test_a_folder_without_documents_fails(write: Any, conversations: Any) -> None:
    write("medquad/MedQuAD/readme.txt", "")
    with pytest.raises(DataError, match=r"has no files \*\.xml"):
        conversations("medquad")


WITH_IDS = {"document_source": "NIDDK", "question_id": "1-1", "question": "What is X ?", "answer": "One.\n   Two."}
ANSWERED = {"qtype": "causes", "Question": "What is X ?", "Answer": "One.\n   Two."}


@pytest.mark.parametrize(("row", "publisher_id"), [(WITH_IDS, "1-1"), (ANSWERED, "")])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_both_copies_on_the_hub_are_read(
    write: Any, conversations: Any, row: Any, publisher_id: str, suffix: str
) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row]), stream)
    write(f"medquad_hf/train.{suffix}", {"parquet": stream.getvalue(), "jsonl": json.dumps(row)}[suffix])
    expected = Conversation(publisher_id, (Exchange("What is X ?", "One.\nTwo."),), "What is X ?")
    assert conversations("medquad", layout="huggingface") == [expected]


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ({**WITH_IDS, "document_source": "ADAM", "answer": None}, "excluded"),
        ({**WITH_IDS, "document_source": ["ADAM"], "answer": None}, "rejected"),
        ({**WITH_IDS, "answer": ""}, "rejected"),
        ({**WITH_IDS, "question": None}, "rejected"),
        ({**ANSWERED, "Answer": 5}, "rejected"),
        ({}, "rejected"),
        ([], "rejected"),
    ],
)
def test_rows_of_the_hub_without_question_or_answer_are_set_aside(
    write: Any, conversations: Any, row: Any, outcome: str
) -> None:
    write("medquad_hf/rows.json", [row, WITH_IDS])
    first, second = conversations("medquad", layout="huggingface")
    assert first[0] == outcome
    assert isinstance(second, Conversation)


def test_every_answered_pair_of_the_real_files_is_kept(real_data: Path) -> None:
    folder = DataFolder(Source(str(real_data / "raw/medquad/MedQuAD")))
    # The five sites that the data folder holds: pairs with an answer, then what is set aside. Site 10 is the first 60
    # documents of the one whose answers the publisher removed; all other answers are there. Six pages of NIDDK have
    # no question.
    expected = {
        "1_CancerGov_QA": {"kept": 729},
        "5_NIDDK_QA": {"kept": 1_192, "the document holds no questions": 6},
        "7_SeniorHealth_QA": {"kept": 769},
        "9_CDC_QA": {"kept": 270},
        "10_MPlus_ADAM_QA": {"the publisher removed this site's answers for copyright": 226},
    }
    found = {
        site: Counter(getattr(record, "reason", "kept") for record in read(folder, site, ReadOptions("letters")))
        for site in expected
    }
    assert found == expected
