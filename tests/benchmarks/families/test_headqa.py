from typing import Any


def test_the_questions_of_the_document_are_asked_and_those_about_images_left_out(read: Any, write: Any) -> None:
    answers = [{"aid": 1, "atext": "one"}, {"aid": 2, "atext": "two"}]
    row = {"qid": "7", "qtext": "Which?", "ra": "2", "answers": answers, "image": ""}
    write("test.json", {"exams": {"exam": {"data": [row, {**row, "qid": "8", "image": "x.png"}]}}})
    (asked, left_out) = read("headqa", "test.json")["headqa"]
    assert (asked.publisher_id, asked.options[asked.gold]) == ("exam-7", "two")
    assert left_out == ("excluded", "the question is about an image")


def test_the_hubs_test_split_gives_the_publishers_ids(read: Any, write: Any) -> None:
    answers = [{"aid": 1, "atext": "one"}, {"aid": 2, "atext": "two"}]
    row = {"name": "exam", "year": "2016", "qid": 7, "qtext": "Which?", "ra": 2, "answers": answers, "image": None}
    write("headqa/en/test-00000-of-00001.jsonl", [row, {**row, "qid": 8, "image": {"path": "x.png"}}])
    write("headqa/en/train-00000-of-00001.jsonl", [{**row, "qid": 9}])
    (asked, left_out) = read("headqa", "headqa/en", layout="huggingface")["headqa"]
    assert (asked.publisher_id, asked.options[asked.gold]) == ("exam-7", "two")
    assert left_out == ("excluded", "the question is about an image")
