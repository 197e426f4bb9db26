from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.assemble.sources.mediqa import SOURCE
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import Tally
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source

FOLDER = "mediqa/MEDIQA2019"
TRAINING = f"{FOLDER}/MEDIQA2019-Task3-QA-TrainingSet1-LiveQAMed.xml"


def answer(number: int, score: str | None = "4", text: str = "It is Y.") -> str:
    rated = "" if score is None else f' ReferenceScore="{score}"'
    return f'<Answer AID="1_Answer{number}" SystemRank="{number}"{rated}><AnswerText>{text}</AnswerText></Answer>'


def document(*answers: str, question: str = "What is X?", root: str = "MEDIQA2019-Task3-QA-TrainingSet1") -> str:
    asked = f'<Question QID="1"><QuestionText>{question}</QuestionText><AnswerList>{"".join(answers)}</AnswerList>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{asked}</Question></{root}>'


def test_answers_rated_3_or_4_are_used_and_the_others_left_out(write: Any, conversations: Any) -> None:
    write(TRAINING, document(answer(1, "1"), answer(2, "2"), answer(3, "3", "One &amp; all."), answer(4, "4")))
    excluded = ("excluded", "the answer is rated as wrong, or only related to the question")
    assert conversations("mediqa") == [
        excluded,
        excluded,
        Conversation("1_Answer3", (Exchange("What is X?", "One & all."),), "What is X?"),
        Conversation("1_Answer4", (Exchange("What is X?", "It is Y."),), "What is X?"),
    ]


@pytest.mark.parametrize("name", ["TestSet", "TestSet-wLabels"])
def test_the_test_set_is_not_even_opened(write: Any, conversations: Any, name: str) -> None:
    write(f"{FOLDER}/MEDIQA2019-Task3-QA-{name}.xml", "<broken")
    with pytest.raises(DataError, match=r"no files \*-TrainingSet"):
        conversations("mediqa")
    write(TRAINING, document(answer(1)))
    write(f"{FOLDER}/MEDIQA2019-Task3-QA-ValidationSet.xml", document(answer(2)))
    assert [conversation.publisher_id for conversation in conversations("mediqa")] == ["1_Answer1", "1_Answer2"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (document(answer(1, None)), "ReferenceScore is missing"),
        (document(answer(1, "")), "ReferenceScore is blank"),
        (document(answer(1, "5")), "the answer's score is not 1 to 4"),
        (document(answer(1, "3.0")), "the answer's score is not 1 to 4"),
        (document(answer(1, "4", " ")), "AnswerText is blank"),
        (document("<Answer AID='1' ReferenceScore='4'/>"), "AnswerText is missing"),
        (document("<Answer ReferenceScore='4'><AnswerText>Y</AnswerText></Answer>"), "AID is missing"),
        (document(answer(1), question=""), "QuestionText is blank"),
        (document(answer(1))[:-5], "the file is not well-formed XML"),
        ("<Document><QAPairs/></Document>", "the file is not a MEDIQA 2019 document"),
    ],
)
def test_a_broken_answer_or_file_is_a_reject_and_the_rest_goes_on(
    write: Any, conversations: Any, broken: str, reason: str
) -> None:
    write(TRAINING, broken)
    write(f"{FOLDER}/MEDIQA2019-Task3-QA-TrainingSet2-Alexa.xml", document(answer(1)))
    first, second = conversations("mediqa")
    assert first == ("rejected", reason)
    assert isinstance(second, Conversation)


@pytest.mark.parametrize("name", ["medical_meadow_mediqa.json", "train/0000.parquet"])
def test_in_the_hubs_rows_the_instruction_is_the_question(write: Any, conversations: Any, name: str) -> None:
    row = {"instruction": "What is X?", "input": "X was seen. X is Y.", "output": "It is Y."}
    write(f"mediqa/{name}", [row, {**row, "instruction": None, "input": "What is Z?"}, {**row, "output": None}])
    assert conversations("mediqa", layout="huggingface") == [
        Conversation("", (Exchange("X was seen. X is Y.\nWhat is X?", "It is Y."),), "What is X?"),
        Conversation("", (Exchange("What is Z?", "It is Y."),), "What is Z?"),
        ("rejected", "output is missing"),
    ]


def test_the_real_files_give_the_stated_counts(real_data: Path) -> None:
    """Answers rated 4 and 3: 91 + 138 in training set 1, 256 + 149 in set 2, 59 + 35 in the validation set.

    The three sets have 839 + 862 + 234 answers to 233 questions. For 34 of these no answer is good enough, and two of
    the others ask the same.
    """
    tally = Tally("mediqa")
    folder = DataFolder(Source(str(real_data / "raw")))
    kept = list(tally.keep(SOURCE.publisher.read(folder, SOURCE.publisher.path, ReadOptions("letters"))))
    assert (tally.num_read, len(kept), tally.counts()["rejected"]) == (1_935, 728, 0)
    assert tally.counts()["excluded"] == 1_207
    assert len({record.value.question for record in kept}) == 233 - 34 - 1
    assert not any("TestSet" in name for name in folder.opened)
