from typing import Any

from tests.assemble.good_rows import json_lines


def test_json_lines_under_a_json_name_are_read_and_a_second_use_of_an_id_shows(read: Any, run: Any, write: Any) -> None:
    options = {"opa": "one", "opb": "two", "opc": "two", "opd": "four"}
    row = {"id": "45258d3d", "question": "Which?", "cop": 2, "exp": "Ans. is b", **options}
    write("dev.json", json_lines([row, {**row, "question": "What?"}]))
    first, _ = read("medmcqa", "dev.json")["medmcqa"]
    assert (first.publisher_id, first.options, first.gold) == ("45258d3d", ("one", "two", "two", "four"), 1)
    out = run({"medmcqa": {"path": "dev.json"}}, max_rejected_share=0.5)
    assert "the publisher's id stands twice" in (out / "rejects.jsonl").read_text()
    assert "Ans. is b" not in (out / "items.jsonl").read_text()


def test_the_hubs_validation_split_counts_answers_from_zero(read: Any, write: Any) -> None:
    options = {"opa": "one", "opb": "two", "opc": "three", "opd": "four"}
    row = {"id": "45258d3d", "question": "Which?", "cop": 0, "exp": None, **options}
    write("medmcqa/data/validation-00000-of-00001.parquet", [row, {**row, "cop": 3}])
    write("medmcqa/data/test-00000-of-00001.parquet", [{**row, "cop": -1}])
    write("medmcqa/data/train-00000-of-00001.parquet", [row])
    questions = read("medmcqa", "medmcqa", layout="huggingface")["medmcqa"]
    assert [question.options[question.gold] for question in questions] == ["one", "four"]
