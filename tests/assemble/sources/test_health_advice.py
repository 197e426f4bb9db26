import csv
import io
from typing import Any

import pytest

from med42lib.assemble.source import Draft
from med42lib.assemble.sources.health_advice import ANSWERS, QUESTIONS
from med42lib.core.errors import DataError

PATH = "pubmed_health_advice/annotations_discussion.csv"


def table(*rows: tuple[str, str]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(
        [("label", "pmid", "sentence", "rel_loc"), *((label, "123", text, "0.1") for label, text in rows)]
    )
    return stream.getvalue()


def test_every_label_is_verbalised_and_the_question_is_the_bare_sentence(write: Any, drafts: Any) -> None:
    write(PATH, table(("0", "We saw {it}. "), ("1", "Consider, perhaps, rest."), ("2", "Rest!")))
    found = drafts("health_advice")
    assert [draft.question for draft in found] == ["We saw {it}.", "Consider, perhaps, rest.", "Rest!"]
    for label, draft in zip("012", found, strict=True):
        (exchange,) = draft.exchanges
        assert draft.publisher_id == "123"
        assert draft.question in exchange.prompter
        assert exchange.assistant in ANSWERS[label]


def test_wordings_are_chosen_by_the_sentence_and_all_are_used(write: Any, drafts: Any) -> None:
    write(PATH, table(*(("0", f"Sentence {number}.") for number in range(60))))
    exchanges = [draft.exchanges[0] for draft in drafts("health_advice")]
    assert {exchange.assistant for exchange in exchanges} == set(ANSWERS["0"])
    used = {
        wording
        for wording in QUESTIONS
        for n, e in enumerate(exchanges)
        if e.prompter == wording.format(sentence=f"Sentence {n}.")
    }
    assert used == set(QUESTIONS)
    write(PATH, table(*(("0", f"Sentence {number}.") for number in reversed(range(60)))))
    assert [draft.exchanges[0] for draft in drafts("health_advice")] == exchanges[::-1]


def test_all_tables_of_the_folder_are_read(write: Any, drafts: Any) -> None:
    write(PATH, table(("0", "One.")))
    write("pubmed_health_advice/annotations_structured_abstract.csv", table(("2", "Two.")))
    write("pubmed_health_advice/notes.csv", "nothing")
    assert [draft.question for draft in drafts("health_advice")] == ["One.", "Two."]


@pytest.mark.parametrize(
    ("label", "sentence", "reason"),
    [
        ("3", "One.", "the label is not 0, 1 or 2"),
        ("1.0", "One.", "the label is not 0, 1 or 2"),
        ("", "One.", "the sentence has no label"),
        ("1", "  ", "sentence is blank"),
    ],
)
def test_a_broken_row_is_a_reject_and_the_rest_goes_on(
    write: Any, drafts: Any, label: str, sentence: str, reason: str
) -> None:
    write(PATH, table((label, sentence), ("0", "Two.")))
    first, second = drafts("health_advice")
    assert first == ("rejected", reason)
    assert isinstance(second, Draft)


def test_a_missing_column_fails(write: Any, drafts: Any) -> None:
    write(PATH, "label,text\n0,One.\n")
    with pytest.raises(DataError, match="has no column pmid, sentence"):
        drafts("health_advice")
