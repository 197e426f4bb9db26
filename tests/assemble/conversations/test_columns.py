from dataclasses import replace

import pyarrow as pa
import pytest

from med42lib.assemble.conversations import columns as conversations
from med42lib.assemble.conversations.columns import CONVERSATIONS, batches, examples, in_order_of_lines
from med42lib.assemble.source import Conversation, TrainingSource, load_source
from med42lib.formats.dataset import SCHEMA, example_of
from med42lib.formats.prompt import DEFAULT_SYSTEM
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.readers.parsers import Record
from tests.assemble.small_sources import one_by_one

DRAFT = Conversation("id 1", (Exchange("Why?", "So."),), "Why?")
TALK = Conversation("id 2", (Exchange("Context. Why?", "So."), Exchange("And?", "That.")), "Why?", system="Be kind.")


def records(*those: Conversation) -> list[Record[Conversation]]:
    return [Record("a.json", number, conversation) for number, conversation in enumerate(those, start=1)]


@pytest.fixture
def source() -> TrainingSource:
    medqa = load_source("medqa")
    return replace(medqa, name="cards", facts=replace(medqa.facts, licence="the source's"))


def made(source: TrainingSource, *those: Conversation, licence: str | None = None) -> list[Example]:
    rows = [row for batch in batches(records(*those)) for row in examples(batch, source, licence).to_pylist()]
    return [example_of(row) for row in rows]


def test_conversations_come_back_from_columns_as_they_were() -> None:
    given = records(DRAFT, TALK, replace(TALK, licence="mine", system=""), replace(DRAFT, question="else"))
    [batch] = batches(given)
    assert batch.schema == CONVERSATIONS
    assert list(one_by_one(iter([batch]))) == given


def test_an_example_has_the_conversations_texts_and_the_sources_facts(source: TrainingSource) -> None:
    first, second = made(source, DRAFT, TALK)
    origin = Origin("id 1", "a.json", 1)
    assert first == Example("cards", "the source's", DEFAULT_SYSTEM, DRAFT.exchanges, "Why?", origin)
    assert second == Example("cards", "the source's", "Be kind.", TALK.exchanges, "Why?", Origin("id 2", "a.json", 2))


def test_its_id_is_that_of_what_it_says(source: TrainingSource) -> None:
    [batch] = batches(records(DRAFT, TALK))
    columns = examples(batch, source, None)
    assert columns.schema == SCHEMA
    assert columns["id"].to_pylist() == [example.id for example in made(source, DRAFT, TALK)]


def test_all_its_texts_are_cleaned_and_what_the_publisher_calls_it_is_not(source: TrainingSource) -> None:
    raw = Conversation(
        " i\u200bd ", (Exchange(" e\u0301\r\n", "a\x00b"), Exchange("\tc ", "d\u00ad")), "q\v1", system=" s\n"
    )
    [example] = made(source, raw)
    assert example.exchanges == (Exchange("é", "ab"), Exchange("c", "d"))
    assert (example.question, example.system, example.origin.publisher_id) == ("q\n1", "s", " i\u200bd ")


def test_a_question_that_is_the_prompter_stays_so_when_it_is_cleaned(source: TrainingSource) -> None:
    [example] = made(source, Conversation("", (Exchange(" Why?\r", "So."),), " Why?\r"))
    assert example.question == example.exchanges[0].prompter == "Why?"


@pytest.mark.parametrize(
    ("of_settings", "licences"), [(None, ["the record's", "the source's"]), ("mine", ["mine"] * 2)]
)
def test_the_settings_licence_wins_then_the_records_then_the_sources(
    source: TrainingSource, of_settings: str | None, licences: list[str]
) -> None:
    found = made(source, replace(DRAFT, licence="the record's"), DRAFT, licence=of_settings)
    assert [example.licence for example in found] == licences


def test_no_more_is_gathered_than_a_batch_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "ROWS_PER_BATCH", 3)
    assert [len(batch) for batch in batches(records(*[DRAFT] * 7))] == [3, 3, 1]
    monkeypatch.setattr(conversations, "CHARACTERS_PER_BATCH", len("Why?So.Why?") + 1)
    assert [len(batch) for batch in batches(records(*[DRAFT] * 5))] == [2, 2, 1]
    assert [len(batch) for batch in batches(records(*[replace(DRAFT, system="s")] * 3))] == [1, 1, 1]
    assert [len(batch) for batch in batches(records(*[replace(DRAFT, question="A longer one?")] * 3))] == [1, 1, 1]


@pytest.mark.parametrize(("share", "sizes"), [(1.0, [7]), (0.01, [1] * 7), (0.5, [3, 3, 1])])
def test_a_readers_batch_is_cut_where_it_is_large(
    monkeypatch: pytest.MonkeyPatch, share: float, sizes: list[int]
) -> None:
    given = records(*(replace(DRAFT, publisher_id=f"{number:050}") for number in range(7)))
    [whole] = batches(given)
    monkeypatch.setattr(conversations, "BYTES_PER_BATCH", int(share * whole.nbytes))
    portions = list(batches([whole]))
    assert [len(batch) for batch in portions] == sizes
    assert list(one_by_one(iter(portions))) == given
    assert [len(batch["exchanges"].values) for batch in portions] == sizes, "a slice would hold the others' texts too"
    assert list(batches([whole.slice(0, 0)])) == []


def test_single_conversations_take_their_place_among_a_batch_by_their_lines() -> None:
    all_records = records(*(replace(DRAFT, publisher_id=str(number)) for number in range(5)))
    [batch] = batches(all_records[::2])
    assert list(one_by_one(iter([in_order_of_lines(batch, all_records[1::2])]))) == all_records
    assert in_order_of_lines(batch, []) is batch


def test_columns_that_a_reader_gives_keep_their_place_among_single_conversations() -> None:
    [columns] = batches(records(TALK))
    single = records(DRAFT)
    given = [*single, columns, columns, *single, *single]
    assert [batch["publisher_id"].to_pylist() for batch in batches(given)] == [
        ["id 1"],
        ["id 2"],
        ["id 2"],
        ["id 1", "id 1"],
    ]
    assert list(batches([])) == []


def test_rows_of_part_of_a_batch_become_their_own_examples(source: TrainingSource) -> None:
    [batch] = batches(records(DRAFT, TALK, replace(DRAFT, exchanges=(Exchange("x", "y"),), question="x")))
    whole = examples(batch, source, None)
    for start in range(3):
        for part in (batch.take(pa.array([start])), batch.slice(start, 1)):
            assert examples(part, source, None).to_pylist() == whole.slice(start, 1).to_pylist()
