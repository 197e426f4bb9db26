import json
from collections.abc import Iterator
from typing import Any

import pytest

from med42lib.formats.rejects import ExcludedRecord, Reject
from med42lib.readers.fields import mapping, text_field
from med42lib.readers.parsers import Record, each
from med42lib.readers.unread import UnreadFields


def read(*rows: Any) -> Iterator[Record[str] | Reject]:
    """Read the question alone, through two steps as most readers do."""

    def question(value: Any) -> str:
        row = mapping(value)
        if row.get("split") == "test":
            raise ExcludedRecord("it is a test question")
        return text_field(row, "question")

    records = [Record("a.jsonl", line, row) for line, row in enumerate(rows, start=1)]
    return each(each(records, question), str.upper)


def unread_of(*rows: Any) -> dict[str, int]:
    unread = UnreadFields()
    list(unread.counted(read(*rows)))
    return unread.counts()


def test_fields_with_text_that_nobody_asked_for_are_counted_by_name() -> None:
    assert unread_of(
        {"question": "Which?", "split": "train", "topic": "Heart", "facts": ["He smokes."], "number": 7},
        {"question": "What?", "topic": "Lung", "facts": [], "number": "12"},
        {"question": "Who?", "topic": "", "meta": {"author": {"name": "A."}}},
    ) == {"facts": 1, "meta": 1, "topic": 2}


@pytest.mark.parametrize("name", ["context", "CONTEXTS", "Passage", "abstract", "exp", "turns", "messages", "image"])
@pytest.mark.parametrize("value", ["A man.", ["A man."], {"text": "A man."}, [{"role": "user", "content": "A man."}]])
def test_text_that_the_question_needs_is_never_dropped(name: str, value: Any) -> None:
    (reject,) = read({"question": "Which is it?", name: value})
    assert isinstance(reject, Reject)
    reason = f"this source's reader would drop the text in {name!r}; of your own data, say it in `fields` or `ignore`"
    assert (reject.kind, reject.reason) == ("rejected", reason)
    assert "A man." in reject.detail


@pytest.mark.parametrize("value", [None, "", " ", [], {}, 7, ["", None]])
def test_such_a_field_without_text_is_nothing(value: Any) -> None:
    (record,) = read({"question": "Which?", "context": value})
    assert isinstance(record, Record)
    assert record.unread == ()


def test_what_is_set_aside_anyway_keeps_its_own_reason() -> None:
    (reject,) = read({"question": "Which?", "split": "test", "context": "A man."})
    assert isinstance(reject, Reject)
    assert reject.reason == "it is a test question"


def test_names_of_a_stranger_are_few_short_and_can_be_written() -> None:
    many = {f"field {number}": "text" for number in range(500)}
    counts = unread_of({"question": "Which?", "\ud800": "text", "x" * 1000: "text", **many})
    assert len(counts) == 101
    assert counts["further fields"] == 402
    assert max(map(len, counts)) == 100
    assert json.dumps(counts, ensure_ascii=False).encode()


def test_what_is_read_inside_a_field_does_not_count_apart() -> None:
    def build(value: Any) -> str:
        return text_field(mapping(mapping(value)["context"]), "contexts")

    (record,) = each([Record("a", 1, {"context": {"contexts": "Text.", "labels": "Text."}})], build)
    assert isinstance(record, Record)
    assert record.unread == ()
