from dataclasses import replace
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.records import (
    BenchmarkItem,
    Example,
    Exchange,
    Generation,
    Origin,
    asked_of_several_contexts,
    content_hash,
    read_items,
    write_items,
)

ORIGIN = Origin("q1", "a.json", 3)


def example(answer: str = "B", file: str = "a.json") -> Example:
    return Example("headqa", "MIT", "sys", (Exchange("Q?", answer),), "Q?", Origin("q1", file, 3))


def item(number: int = 0) -> BenchmarkItem:
    return BenchmarkItem(f"medqa/{number}", "medqa", "What?", "", ("a", "b", "ß"), 2, ORIGIN)


def test_an_examples_id_names_its_content_not_its_place() -> None:
    assert example().id == example(file="b.json").id
    assert example().id != example(answer="C").id
    assert example().id.startswith("headqa/")


def test_the_hash_keeps_neighbouring_texts_apart() -> None:
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash("ab", "c") == content_hash("ab", "c")
    assert len(content_hash("x", length=12)) == 12


def test_items_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert write_items(tmp_path, [item(1), item(2)]) == 2
    assert list(read_items(tmp_path)) == [item(1), item(2)]


def test_an_item_whose_answer_is_written_comes_back_and_has_right_answers_without_options(tmp_path: Path) -> None:
    how = Generation("Which?\nA:", ("B", "A"), {"filter_list": [{"name": "x"}]}, 2)
    written = replace(item(1), options=(), gold=None, generation=how)
    write_items(tmp_path, [written])
    assert list(read_items(tmp_path)) == [written]
    assert (written.right, written.right_answers, written.has_bare_letters) == ((), ("B", "A"), True)
    assert not replace(written, generation=replace(how, answers=("Iron",))).has_bare_letters
    assert item(1).right_answers == ("ß",)


def test_two_items_of_one_id_are_refused(tmp_path: Path) -> None:
    write_items(tmp_path, [item(1), item(2), item(1)])
    with pytest.raises(DataError, match=r"items.jsonl:3: two benchmark items have the id 'medqa/1'"):
        list(read_items(tmp_path))


def test_a_broken_item_line_is_named(tmp_path: Path) -> None:
    write_items(tmp_path, [item(1)])
    with (tmp_path / "items.jsonl").open("a") as stream:
        stream.write('{"id": "x"\n')
    with pytest.raises(DataError, match=r"items.jsonl:2: not a benchmark item"):
        list(read_items(tmp_path))


def test_a_question_is_of_several_contexts_where_another_item_asks_it_of_another_one() -> None:
    def asking(number: int, question: str, context: str) -> BenchmarkItem:
        return replace(item(number), question=question, context=context)

    several = [asking(0, "Is it pneumonia?", "Clear lungs."), asking(1, "is it  pneumonia?", "An opacity.")]
    others = [asking(2, "Is it gout?", "A toe."), asking(3, "Is it gout?", "a  toe."), asking(4, "Is it gout?", "")]
    assert asked_of_several_contexts([*several, *others]) == {"medqa/0", "medqa/1"}
