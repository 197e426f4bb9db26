import json
from typing import Any

from med42lib.formats.records import read_items


def test_json_lines_are_read_and_have_no_publishers_id(read: Any, write: Any, medqa: Any) -> None:
    write("test.jsonl", [medqa(1), medqa(2)])
    questions = read("medqa", "test.jsonl")["medqa"]
    assert [(q.publisher_id, q.options[q.gold]) for q in questions] == [("", "yes 1"), ("", "yes 2")]


def test_four_options_and_five_give_the_same_question_different_ids(run: Any, write: Any, medqa: Any) -> None:
    """A guess is worth more among four, so scores of the two must not be joined by accident."""
    four = {letter: f"option {letter}" for letter in "ABCD"}
    row = medqa(1, options=four, answer="option B")
    write("US/4_options/phrases_no_exclude_test.jsonl", [row])
    write("US/test.jsonl", [{**row, "options": {**four, "E": "option E"}}])
    paths = ("US/4_options/phrases_no_exclude_test.jsonl", "US/test.jsonl")
    (of_four, of_five) = (run({"medqa": {"path": path}}) for path in paths)
    (item,), (other,) = (list(read_items(out)) for out in (of_four, of_five))
    assert (item.question, item.gold) == (other.question, other.gold)
    assert (len(item.options), len(other.options)) == (4, 5)
    assert item.id != other.id
    summary = json.loads((of_five / "summary.json").read_text())["medqa"]
    assert summary["items_by_num_options"] == {"5": 1}


def test_the_hubs_test_split_gives_the_same_ids_in_either_of_its_layouts(run: Any, write: Any, medqa: Any) -> None:
    options = {letter: f"option {letter}" for letter in "ABCD"}
    row = medqa(1, options=options, answer="option B")
    ending = {f"ending{n}": option for n, option in enumerate(options.values())}
    write("published.jsonl", [row])
    write("hub/phrases_no_exclude_test.jsonl", [row])
    write("hub/phrases_no_exclude_train.jsonl", [medqa(2)])
    write("hf/data/test.parquet", [{"id": "test-00000", "sent1": row["question"], "sent2": "", **ending, "label": 1}])
    published = list(read_items(run({"medqa": {"path": "published.jsonl"}})))
    for path in ("hub", "hf"):
        (item,) = read_items(run({"medqa": {"path": path, "layout": "huggingface"}}))
        assert (item.id, item.options, item.gold) == (published[0].id, tuple(options.values()), 1)
