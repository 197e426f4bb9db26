from typing import Any

from med42lib.benchmarks.items import as_items, asked_elsewhere
from med42lib.formats.records import BenchmarkItem, Origin
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.parsers import Record
from med42lib.readers.publishers.question import Question


def record(line: int, publisher_id: str = "", text: str = "Which?", gold: int = 1) -> Record[Question]:
    return Record("a.json", line, Question(publisher_id, text, ("a", "b"), gold, "Context."))


def ids(*records: Any) -> list[str]:
    return [item.id for item in as_items("medqa", records) if isinstance(item, BenchmarkItem)]


def test_an_item_has_everything_its_question_has_and_where_it_came_from() -> None:
    assert list(as_items("headqa", [record(3, "exam-7")])) == [
        BenchmarkItem("headqa/exam-7", "headqa", "Which?", "Context.", ("a", "b"), 1, Origin("exam-7", "a.json", 3))
    ]


def test_without_a_publishers_id_the_content_names_the_item() -> None:
    assert ids(record(1), record(2, text="What?")) == ids(record(8), record(9, text="What?"))
    assert ids(record(1)) == ids(record(1, gold=0)) == ["medqa/7a2f2cc5922b62b7"]
    assert ids(record(1)) != ids(record(1, text="What?"))


def test_exact_repeats_get_a_number_after_the_id() -> None:
    first, other, second, third = ids(record(1), record(2, text="What?"), record(3), record(4))
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert other not in (first, second, third)


def test_a_publishers_id_that_stands_twice_is_refused_the_second_time() -> None:
    first, second = as_items("headqa", [record(1, "exam-7"), record(2, "exam-7", text="What?")])
    assert isinstance(first, BenchmarkItem)
    assert isinstance(second, Reject)
    assert (second.line, second.reason, second.detail) == (2, "the publisher's id stands twice", "exam-7")


def test_rejects_pass_through() -> None:
    reject = BadRecord("blank").at("a.json", 1, "")
    assert list(as_items("medqa", [reject])) == [reject]


def test_questions_that_two_benchmarks_ask_are_counted_in_each_whatever_the_order_of_options() -> None:
    def item(benchmark: str, text: str, *options: str) -> BenchmarkItem:
        return BenchmarkItem(f"{benchmark}/{text}", benchmark, text, "", options, 0, Origin("", "f", 1))

    items = [
        item("one", "Which vein?", "a", "b"),
        item("one", "Which nerve?", "a", "b"),
        item("one", "Which nerve? ", "a", "b"),
        item("two", "which  vein?", "B", "a"),
        item("two", "Which nerve?", "a", "c"),
    ]
    assert asked_elsewhere(items) == {"one": 1, "two": 1}
