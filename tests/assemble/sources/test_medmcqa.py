import json
from typing import Any

import pytest

from med42lib.assemble.source import Conversation
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange

PUBLISHER, HUB = "medmcqa/train.json", "medmcqa_hf/data/train-00000-of-00001.parquet"
SHOWN = "Which prevents scurvy?\nA. Vitamin A\nB. Niacin\nC. Vitamin C\nD. All"


def row(**changes: Any) -> dict[str, Any]:
    options = {"opa": "Vitamin A", "opb": "Niacin", "opc": "Vitamin C", "opd": "All"}
    question = {"id": "e9ad821a", "question": "Which prevents scurvy?", **options, "cop": 3, "choice_type": "multi"}
    return {**question, "exp": "Ans. is 'c' i.e., Vitamin C", "subject_name": "Medicine", "topic_name": None, **changes}


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_publishers_lines_and_the_hubs_rows_give_the_same_conversations(write: Any, conversations: Any) -> None:
    write(PUBLISHER, lines(row(), row(cop=1, exp=None)))
    write(HUB, [row(cop=2), row(cop=0, exp=None)])
    write("medmcqa_hf/data/validation-00000-of-00001.parquet", [row(id="validation")])
    write("medmcqa_hf/data/test-00000-of-00001.parquet", [row(id="test", cop=-1)])
    assert conversations("medmcqa") == [
        Conversation(
            "e9ad821a", (Exchange(SHOWN, "C. Vitamin C\nThe answer is C. Vitamin C"),), "Which prevents scurvy?"
        ),
        Conversation("e9ad821a", (Exchange(SHOWN, "A. Vitamin A"),), "Which prevents scurvy?"),
    ]
    assert conversations("medmcqa", layout="huggingface") == conversations("medmcqa")


def test_as_texts_no_letter_is_shown_or_named(write: Any, conversations: Any) -> None:
    write(PUBLISHER, lines(row(), row(exp="Option A is retinol.")))
    assert [conversation.exchanges for conversation in conversations("medmcqa", multiple_choice="texts")] == [
        (Exchange("Which prevents scurvy?", "Vitamin C\nVitamin C"),),
        (Exchange("Which prevents scurvy?", "Vitamin C"),),
    ]


def test_an_explanation_of_another_answer_is_left_out_and_none_is_shown_where_not_wanted(
    write: Any, conversations: Any
) -> None:
    write(PUBLISHER, lines(row(exp="Ans. B: Niacin"), row()))
    assert conversations("medmcqa")[0].exchanges[0].assistant == "C. Vitamin C"
    assert conversations("medmcqa", explanations=False)[1].exchanges[0].assistant == "C. Vitamin C"


@pytest.mark.parametrize(
    ("layout", "path", "cop"), [("publisher", PUBLISHER, 0), ("huggingface", "medmcqa_hf/train.jsonl", 4)]
)
def test_one_layout_read_as_the_other_shows_in_its_rejects(
    write: Any, conversations: Any, layout: str, path: str, cop: int
) -> None:
    write(path, lines(row(cop=cop), row(cop=1), row(cop="x"), row(opa=" ")))
    kinds = [
        conversation if isinstance(conversation, tuple) else "kept"
        for conversation in conversations("medmcqa", layout=layout)
    ]
    assert kinds[0][0] == kinds[2][0] == "rejected"
    assert kinds[1] == "kept"
    assert kinds[3] == ("rejected", "an option is blank")


@pytest.mark.parametrize("name", ["dev.json", "test.json"])
def test_what_benchmarks_score_is_refused(write: Any, conversations: Any, name: str) -> None:
    write(f"medmcqa/{name}", lines(row()))
    for layout in ("publisher", "huggingface"):
        with pytest.raises(DataError, match="which benchmarks score: it is never trained on"):
            conversations("medmcqa", path=f"medmcqa/{name}", layout=layout)
