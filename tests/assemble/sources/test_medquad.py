from typing import Any

import pytest

from med42lib.assemble.source import Draft
from med42lib.core.errors import DataError
from med42lib.core.records import Exchange


def document(*pairs: str, source: str = "NIDDK", root: str = "Document") -> str:
    return f'<{root} id="1" source="{source}"><Focus>X</Focus><QAPairs>{"".join(pairs)}</QAPairs></{root}>'


def pair(answer: str, number: int = 1, question: str = "What is X ?") -> str:
    return (
        f'<QAPair pid="{number}"><Question qid="1-{number}" qtype="information">{question}</Question>'
        f"<Answer>{answer}</Answer></QAPair>"
    )


def test_a_question_with_two_answers_gives_two_conversations(write: Any, drafts: Any) -> None:
    write("medquad/MedQuAD/5_N/1.xml", document(pair("One &amp; all."), pair("Two.", 2)))
    assert drafts("medquad") == [
        Draft("1-1", (Exchange("What is X ?", "One & all."),), "What is X ?"),
        Draft("1-2", (Exchange("What is X ?", "Two."),), "What is X ?"),
    ]


def test_the_pages_indentation_goes_and_the_paragraphs_stay(write: Any, drafts: Any) -> None:
    write("medquad/MedQuAD/1.xml", document(pair("\n  One.\n                \nTwo:\n\t- a  \n\t- b\n ")))
    assert drafts("medquad")[0].exchanges[0].assistant == "One.\n\nTwo:\n- a\n- b"


def test_both_root_elements_of_the_release_are_read(write: Any, drafts: Any) -> None:
    write("medquad/MedQuAD/9_CDC/1.xml", document(pair("One."), root="DiseaseFile"))
    assert len(drafts("medquad")) == 1


def test_answers_that_the_publisher_removed_are_excluded_and_others_missing_are_rejected(
    write: Any, drafts: Any
) -> None:
    write("medquad/MedQuAD/10_A/1.xml", document(pair(""), source="ADAM"))
    write("medquad/MedQuAD/2_G/1.xml", document(pair(" "), pair("One.", 2), source="GARD"))
    write("medquad/MedQuAD/3_E/1.xml", document())
    assert drafts("medquad")[:2] == [
        ("excluded", "the publisher removed this site's answers for copyright"),
        ("rejected", "Answer is blank"),
    ]
    assert drafts("medquad")[3] == ("excluded", "the document holds no questions")


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
    write: Any, drafts: Any, content: str, reason: str
) -> None:
    write("medquad/MedQuAD/1.xml", content)
    write("medquad/MedQuAD/2.xml", document(pair("One.")))
    first, second = drafts("medquad")
    assert first == ("rejected", reason)
    assert isinstance(second, Draft)


def test_a_folder_without_documents_fails(write: Any, drafts: Any) -> None:
    write("medquad/MedQuAD/readme.txt", "")
    with pytest.raises(DataError, match=r"has no files \*\.xml"):
        drafts("medquad")
