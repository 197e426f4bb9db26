from typing import Any


def test_json_lines_are_read_and_have_no_publishers_id(read: Any, write: Any, medqa: Any) -> None:
    write("test.jsonl", [medqa(1), medqa(2)])
    questions = read("medqa", "test.jsonl")["medqa"]
    assert [(q.publisher_id, q.options[q.gold]) for q in questions] == [("", "yes 1"), ("", "yes 2")]
