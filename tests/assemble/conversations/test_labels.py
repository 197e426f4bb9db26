from collections.abc import Iterator
from typing import Any

import pytest

from med42lib.assemble.conversations.labels import Wordings, labelled_in_words, without_contradictions
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.medalpaca import MedAlpacaRow

WORDINGS = Wordings(
    questions=("Is it so?\n{sentence}", "{sentence}\nTrue?"), answers={"0": ("No.", "Never."), "1": ("Yes.", "Always.")}
)


def read(*rows: dict[str, str], **options: str) -> list[Any]:
    def label(row: dict[str, str]) -> Any:
        return WORDINGS.labelled(row, **options)

    records = each((Record("a.csv", line, row) for line, row in enumerate(rows, start=2)), label)
    return list(without_contradictions(records))


def row(sentence: str, label: str, **more: str) -> dict[str, str]:
    return {"sentence": sentence, "label": label, **more}


def test_a_label_is_put_into_words_chosen_by_the_sentence() -> None:
    found = [record.value for record in read(*(row(f"Sentence {n}.", str(n % 2)) for n in range(80)))]
    for number, conversation in enumerate(found):
        (exchange,) = conversation.exchanges
        assert conversation.question == f"Sentence {number}."
        assert exchange.prompter in [q.format(sentence=conversation.question) for q in WORDINGS.questions]
        assert exchange.assistant in WORDINGS.answers[str(number % 2)]
    assert {conversation.exchanges[0].assistant for conversation in found} == {"No.", "Never.", "Yes.", "Always."}
    assert found == [record.value for record in read(*(row(f"Sentence {n}.", str(n % 2)) for n in range(80)))]


def test_a_sentence_with_two_labels_is_left_out_with_both_and_nothing_else_is() -> None:
    rows = [row("Rest  helps.", "0"), row("Eat.", "1"), row("rest helps. ", "1"), row("Eat.", "1")]
    first, second, third, fourth = read(*rows)
    for record, line in ((first, 2), (third, 4)):
        assert (record.kind, record.reason, record.line) == ("excluded", "the sentence has different labels", line)
        assert record.detail == "0, 1"
    assert second.value == fourth.value


def test_a_broken_row_neither_counts_as_a_label_nor_moves_its_place() -> None:
    first, second = read(row("Rest.", "7"), row("Rest.", "0"))
    assert first == Reject("a.csv", 2, "rejected", "the label is not 0 or 1", "label = '7'", first.record)
    assert second.value.question == "Rest."


@pytest.mark.parametrize("sentence", ["100 % {sure}.", "{0}", "{sentence}"])
def test_braces_in_a_sentence_are_text(sentence: str) -> None:
    (record,) = read(row(sentence, "0"))
    assert sentence in record.value.exchanges[0].prompter


def test_the_publishers_id_is_kept_where_there_is_one() -> None:
    assert read(row("A.", "0", pmid=" 12 "), id_column="pmid")[0].value.publisher_id == "12"
    assert read(row("A.", "0"))[0].value.publisher_id == ""


def test_a_copy_in_words_is_kept_as_it_is_and_checked_alike() -> None:
    rows = [
        MedAlpacaRow("Classify.", "Rest.", "weak advice"),
        MedAlpacaRow("", "Eat.", "no advice"),
        MedAlpacaRow("Judge.", "REST.", "no advice"),
    ]

    def records() -> Iterator[Record[MedAlpacaRow] | Reject]:
        yield BadRecord("broken").at("a.json", 1, "")
        yield from (Record("a.json", number, row) for number, row in enumerate(rows, start=2))

    broken, first, second, third = without_contradictions(each(records(), labelled_in_words))
    assert isinstance(broken, Reject)
    assert isinstance(second, Record)
    assert second.value.exchanges == (Exchange("Eat.", "no advice"),)
    assert [r.kind for r in (first, third) if isinstance(r, Reject)] == ["excluded", "excluded"]
