import csv
import io
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.assemble.sources.health_advice import SOURCE, WORDINGS
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import Tally
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source

PATH = "pubmed_health_advice/annotations_discussion.csv"


def table(*rows: tuple[str, str]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(
        [("label", "pmid", "sentence", "rel_loc"), *((label, "123", text, "0.1") for label, text in rows)]
    )
    return stream.getvalue()


def test_every_label_is_verbalised_and_the_question_is_the_bare_sentence(write: Any, conversations: Any) -> None:
    write(PATH, table(("0", "We saw {it}. "), ("1", "Consider, perhaps, rest."), ("2", "Rest!")))
    found = conversations("health_advice")
    assert [conversation.question for conversation in found] == ["We saw {it}.", "Consider, perhaps, rest.", "Rest!"]
    for label, conversation in zip("012", found, strict=True):
        (exchange,) = conversation.exchanges
        assert conversation.publisher_id == "123"
        assert conversation.question in exchange.prompter
        assert exchange.assistant in WORDINGS.answers[label]


def test_wordings_are_chosen_by_the_sentence_and_all_are_used(write: Any, conversations: Any) -> None:
    write(PATH, table(*(("0", f"Sentence {number}.") for number in range(60))))
    exchanges = [conversation.exchanges[0] for conversation in conversations("health_advice")]
    assert {exchange.assistant for exchange in exchanges} == set(WORDINGS.answers["0"])
    used = {
        wording
        for wording in WORDINGS.questions
        for n, e in enumerate(exchanges)
        if e.prompter == wording.format(sentence=f"Sentence {n}.")
    }
    assert used == set(WORDINGS.questions)
    write(PATH, table(*(("0", f"Sentence {number}.") for number in reversed(range(60)))))
    assert [conversation.exchanges[0] for conversation in conversations("health_advice")] == exchanges[::-1]


def test_all_tables_of_the_folder_are_read(write: Any, conversations: Any) -> None:
    write(PATH, table(("0", "One.")))
    write("pubmed_health_advice/annotations_structured_abstract.csv", table(("2", "Two.")))
    write("pubmed_health_advice/notes.csv", "nothing")
    assert [conversation.question for conversation in conversations("health_advice")] == ["One.", "Two."]


def test_a_sentence_labelled_differently_in_two_files_is_left_out(write: Any, conversations: Any) -> None:
    write(PATH, table(("0", "Rest helps."), ("1", "Eat.")))
    write("pubmed_health_advice/annotations_structured_abstract.csv", table(("1", "Rest helps.")))
    excluded = ("excluded", "the sentence has different labels")
    first, second, third = conversations("health_advice")
    assert (first, third) == (excluded, excluded)
    assert second.question == "Eat."


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
    write: Any, conversations: Any, label: str, sentence: str, reason: str
) -> None:
    write(PATH, table((label, sentence), ("0", "Two.")))
    first, second = conversations("health_advice")
    assert first == ("rejected", reason)
    assert isinstance(second, Conversation)


def test_a_missing_column_fails(write: Any, conversations: Any) -> None:
    write(PATH, "label,text\n0,One.\n")
    with pytest.raises(DataError, match="has no column pmid, sentence"):
        conversations("health_advice")


@pytest.mark.parametrize("name", ["medical_meadow_health_advice.json", "data/train-00000-of-00001.parquet"])
def test_the_hubs_rows_keep_their_own_words(write: Any, conversations: Any, name: str) -> None:
    rows = [{"instruction": "How strong?", "input": "Rest!", "output": "This is a strong advice"}]
    write(f"pubmed_health_advice/{name}", [*rows, {**rows[0], "input": "Go.", "output": None}])
    first, second = conversations("health_advice", layout="huggingface")
    assert first == Conversation("", (Exchange("How strong?\nRest!", "This is a strong advice"),), "Rest!")
    assert second == ("rejected", "output is missing")


def test_the_real_files_give_the_stated_counts(real_data: Path) -> None:
    """5,982 + 3,932 + 934 rows; 18 repeat a sentence, and of those two have another label than its first.

    Both sentences are left out, with all four rows. One of the pairs differs by a space at the end, so that an exact
    comparison finds 17 repeats and one pair.
    """
    tally = Tally("health_advice")
    folder = DataFolder(Source(str(real_data / "raw")))
    kept = list(tally.keep(SOURCE.publisher.read(folder, SOURCE.publisher.path, ReadOptions("letters"))))
    assert (len(kept), tally.counts()["rejected"]) == (10_844, 0)
    assert tally.excluded == {"the sentence has different labels": 4}
    assert len({record.value.question for record in kept}) == 10_828
