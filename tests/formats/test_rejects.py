import json

import pyarrow as pa
import pytest

from med42lib.core.errors import DataError
from med42lib.core.excerpts import QUOTE_VARIABLE
from med42lib.formats.rejects import RECORD_CHARACTERS, BadRecord, ExcludedRecord, Reject, Tally, record_text


def test_a_batch_counts_as_all_its_rows() -> None:
    tally = Tally("source", print)
    batch = pa.record_batch({"n": [1, 2, 3]})
    assert list(tally.keep(["one", batch])) == ["one", batch]
    assert (tally.num_kept, tally.num_read) == (4, 4)


def rejects(num: int, reason: str, *, line: int = 1) -> list[Reject]:
    return [BadRecord(reason, f"n = {n}").at("a.json", line + n, {"n": n}) for n in range(num)]


def test_usable_records_pass_and_the_others_are_written_with_file_line_and_reason() -> None:
    written: list[str] = []
    tally = Tally("headqa", written.append)
    aside = [
        BadRecord("no answer").at("a.json", 3, {"q": "é"}),
        ExcludedRecord("an image").at("a.json", 4, "text"),
    ]
    assert list(tally.keep(["good", *aside, "also good"])) == ["good", "also good"]
    assert [json.loads(line) for line in written] == [
        {
            "source": "headqa",
            "file": "a.json",
            "line": 3,
            "kind": "rejected",
            "reason": "no answer",
            "detail": "",
            "record": '{"q": "é"}',
        },
        {
            "source": "headqa",
            "file": "a.json",
            "line": 4,
            "kind": "excluded",
            "reason": "an image",
            "detail": "",
            "record": "text",
        },
    ]
    assert tally.counts() == {
        "read": 4,
        "rejected": 1,
        "rejected_by_reason": {"no answer": 1},
        "excluded": 1,
        "excluded_by_reason": {"an image": 1},
    }


def test_too_many_rejects_fail_with_the_three_commonest_reasons_and_an_example_of_each() -> None:
    tally = Tally("headqa")
    stream = [
        "good",
        *rejects(1, "rare"),
        *rejects(4, "first", line=10),
        *rejects(2, "third"),
        *rejects(3, "second"),
    ]
    list(tally.keep(stream))
    with pytest.raises(DataError) as error:
        tally.check(0.5)
    message = str(error.value)
    assert "headqa: 10 of 11 records were rejected (90.9%), more than max_rejected_share = 50.0%" in message
    assert [line.strip().split(",")[0] for line in message.splitlines()[1:4]] == [
        "4 × first",
        "3 × second",
        "2 × third",
    ]
    assert "a.json:10 (n = 0) '{\"n\": 0}'" in message
    assert "rare" not in message


def test_an_error_names_places_and_reasons_alone_where_records_are_not_to_be_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(QUOTE_VARIABLE, "0")
    written: list[str] = []
    tally = Tally("ward", written.append)
    list(tally.keep([BadRecord("no answer", "HIV positive").at("w.jsonl", 3, {"note": "HIV positive"})]))
    with pytest.raises(DataError, match=r"1 × no answer, first at w\.jsonl:3\n") as caught:
        tally.check(0.01)
    assert "HIV" not in str(caught.value)
    assert "HIV" in written[0], "the store has it all the same"


def test_the_limit_itself_is_allowed_and_excluded_records_do_not_count_towards_it() -> None:
    tally = Tally("headqa")
    list(tally.keep(["good", *rejects(1, "broken"), *[ExcludedRecord("an image").at("a", n, "") for n in range(8)]]))
    tally.check(0.1)
    with pytest.raises(DataError, match="1 of 10"):
        tally.check(0.09)


def test_a_source_without_records_and_one_without_usable_records_fail() -> None:
    with pytest.raises(DataError, match="hold no records"):
        Tally("headqa").check(1.0)
    tally = Tally("headqa")
    list(tally.keep([ExcludedRecord("an image").at("a.json", 1, "")]))
    with pytest.raises(DataError, match="none of its 1 records can be used\n  1 × an image"):
        tally.check(1.0)


@pytest.mark.parametrize("record", ["x" * 9000, b"\xff" * 9000, ["y" * 9000], {"half a pair": "\ud800"}, {"set": {1}}])
def test_any_record_is_shown_as_short_text_that_can_be_written(record: object) -> None:
    text = record_text(record)
    assert text
    assert len(text) <= RECORD_CHARACTERS + 10
    text.encode()
