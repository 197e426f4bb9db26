import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.scores import Normalise, Score, is_tied, predicted, read_scores, write_scores

SCORE = Score("medqa/1", "medqa", 1, 1, True, (-2.0, -1.0, -3.0), truncated=False)


def test_scores_are_written_one_line_each(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.jsonl", [SCORE, replace(SCORE, item_id="medqa/2")])
    lines = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [line["item_id"] for line in lines] == ["medqa/1", "medqa/2"]
    assert lines[0] == {
        "item_id": "medqa/1",
        "benchmark": "medqa",
        "gold": 1,
        "prediction": 1,
        "correct": True,
        "loglikelihoods": [-2.0, -1.0, -3.0],
        "truncated": False,
        "generated": None,
    }


def test_scores_are_read_back_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    scores = [SCORE, replace(SCORE, item_id="medqa/2", prediction=0, correct=False)]
    write_scores(path, scores)
    assert list(read_scores(path)) == [(f"{path}:1", scores[0]), (f"{path}:2", scores[1])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": 1}, r"scores\.jsonl:1: 'correct' is 1, expected true or false; run evaluate again"),
        ({"gold": None}, r"scores\.jsonl:1 has no gold; run evaluate again"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    values = {
        name: value for name, value in {**asdict(SCORE), **change}.items() if change.get(name, "kept") is not None
    }
    (tmp_path / "scores.jsonl").write_text(json.dumps(values))
    with pytest.raises(DataError, match=message):
        list(read_scores(tmp_path / "scores.jsonl"))


@pytest.mark.parametrize(
    ("answers", "loglikelihoods", "normalise", "tied"),
    [
        ("ABCD", (-2.0, -1.0, -1.0, -3.0), "none", True),
        ("ABCD", (-1.0, -2.0, -2.0, -3.0), "none", False),
        (("fever", "ache", "cough"), (-5.0, -4.0, -6.0), "characters", True),
        (("fever", "ache", "cough"), (-5.0, -4.0, -6.0), "none", False),
        (("zinc", "iron", "zinc"), (-1.0, -2.0, -1.0), "bytes", False),
    ],
)
def test_answers_tie_where_another_text_is_as_likely_as_the_first(
    answers: Sequence[str], loglikelihoods: Sequence[float], normalise: Normalise, tied: bool
) -> None:
    assert is_tied(answers, loglikelihoods, normalise) == tied
    compared = predicted(answers, loglikelihoods, normalise)
    assert compared == predicted(answers[: compared + 1], loglikelihoods[: compared + 1], normalise)
