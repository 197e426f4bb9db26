from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.assemble.sources.pubmed_causal import SOURCE, WORDINGS
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import Tally
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source

PATH = "pubmed_causal/annotated_pubmed.csv"


def test_every_label_is_verbalised_and_the_question_is_the_bare_sentence(write: Any, conversations: Any) -> None:
    write(PATH, 'sentence,label\n"A, and ""B"".",0\nC causes D.,1\nE may cause F.,2\nG goes with H.,3\n')
    found = conversations("pubmed_causal")
    assert [conversation.question for conversation in found] == [
        'A, and "B".',
        "C causes D.",
        "E may cause F.",
        "G goes with H.",
    ]
    for label, conversation in zip("0123", found, strict=True):
        (exchange,) = conversation.exchanges
        assert conversation.question in exchange.prompter
        assert exchange.assistant in WORDINGS.answers[label]


def test_press_releases_are_not_read(write: Any, conversations: Any) -> None:
    write(PATH, "sentence,label\nOne.,0\n")
    write("pubmed_causal/annotated_eureka.csv", "sentId,sentence,label\n1,Two.,0\n")
    assert [conversation.question for conversation in conversations("pubmed_causal")] == ["One."]


def test_a_sentence_with_two_labels_is_left_out(write: Any, conversations: Any) -> None:
    write(PATH, "sentence,label\nOne.,0\nTwo.,3\nOne.,2\n")
    excluded = ("excluded", "the sentence has different labels")
    first, second, third = conversations("pubmed_causal")
    assert (first, third) == (excluded, excluded)
    assert second.question == "Two."


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("One.,4", "the label is not 0, 1, 2 or 3"),
        ("One.,causal", "the label is not 0, 1, 2 or 3"),
        ("One.,", "the sentence has no label"),
        (" ,1", "sentence is blank"),
        ("One.,1,2", "the row has another number of cells than the header"),
    ],
)
def test_a_broken_row_is_a_reject_and_the_rest_goes_on(write: Any, conversations: Any, row: str, reason: str) -> None:
    write(PATH, f"sentence,label\n{row}\nTwo.,0\n")
    first, second = conversations("pubmed_causal")
    assert first == ("rejected", reason)
    assert isinstance(second, Conversation)


def test_a_stray_quote_or_a_missing_column_fails(write: Any, conversations: Any) -> None:
    write(PATH, 'sentence,label\n"One.,0\nTwo.,0\n')
    with pytest.raises(DataError, match="never closed"):
        conversations("pubmed_causal")
    write(PATH, "text,label\nOne.,0\n")
    with pytest.raises(DataError, match="has no column sentence"):
        conversations("pubmed_causal")


@pytest.mark.parametrize("name", ["medical_meadow_pubmed_causal.json", "train.jsonl", "train/0000.parquet"])
def test_the_hubs_rows_keep_their_own_words(write: Any, conversations: Any, name: str) -> None:
    write(
        f"pubmed_causal/{name}", [{"instruction": "What does it claim?", "input": "C causes D.", "output": "A cause."}]
    )
    (conversation,) = conversations("pubmed_causal", layout="huggingface")
    assert conversation == Conversation("", (Exchange("What does it claim?\nC causes D.", "A cause."),), "C causes D.")


def test_the_real_file_gives_the_stated_counts(real_data: Path) -> None:
    """3,061 rows, of which 7 repeat a sentence; one of those has another label, so its two rows are left out.

    The 3,059 that stay hold 3,053 sentences, one fewer if case is overlooked.
    """
    tally = Tally("pubmed_causal")
    folder = DataFolder(Source(str(real_data / "raw")))
    kept = list(tally.keep(SOURCE.publisher.read(folder, SOURCE.publisher.path, ReadOptions("letters"))))
    assert (len(kept), tally.counts()["rejected"]) == (3_059, 0)
    assert tally.excluded == {"the sentence has different labels": 2}
    assert len({record.value.question for record in kept}) == 3_053
