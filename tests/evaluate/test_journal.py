from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.evaluate.answers import Answered, Request
from med42lib.evaluate.journal import read_answers, write_answers

REQUESTS = [Request((1, 2), (3,)), Request((1, 2), (4, 5)), Request((6,), (7,))]


def test_answers_are_read_back_to_the_bit_by_the_numbers_of_their_requests(tmp_path: Path) -> None:
    answers = {REQUESTS[2]: Answered(-1 / 3, True), REQUESTS[0]: Answered(-1e-17, False)}
    write_answers(tmp_path / "answers.jsonl", answers, REQUESTS)
    assert read_answers(tmp_path / "answers.jsonl", REQUESTS) == answers
    assert (tmp_path / "answers.jsonl").read_text().splitlines() == [
        "[0, -1e-17, false]",
        "[2, -0.3333333333333333, true]",
    ]


@pytest.mark.parametrize("line", ["[0, -1.0]", "[3, -1.0, true]", "[-1, -1.0, true]", "{}", "[0, -1.0, tr"])
def test_a_line_that_is_no_answer_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(f"[1, -1.0, true]\n{line}\n")
    with pytest.raises(DataError, match=r"answers\.jsonl:2 is no answer .*; run evaluate again"):
        read_answers(path, REQUESTS)
