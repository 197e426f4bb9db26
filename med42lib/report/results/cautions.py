"""What a reader must know of single questions: which were cut, of which answers tie, which have two right options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med42lib.formats.records import BenchmarkItem
from med42lib.formats.scores import is_tied
from med42lib.report.results.scores import Answers


@dataclass(frozen=True, slots=True)
class Cautions:
    """Numbers of scored questions by benchmark; benchmarks and trainings without any are left out.

    `truncated`, by training too, are those whose beginning did not fit the model, and `tied` those of which several
    answers were the likeliest, so that the first of them counts. `right_option_twice` are those of which two options or
    more say the same and are right.
    """

    truncated: Mapping[str, Mapping[str, int]]
    tied: Mapping[str, Mapping[str, int]]
    right_option_twice: Mapping[str, int]


def make_cautions(
    answers: Answers, items: Mapping[str, BenchmarkItem], scoring: Mapping[str, Mapping[str, Any]]
) -> Cautions:
    """Count such questions among the scored ones; `scoring` says of each benchmark how answers are compared."""
    scored = [items[item_id] for item_id in answers.item_ids]
    tied = {training: _tied(scored, numbers, scoring) for training, numbers in answers.loglikelihoods.items()}
    twice_N = np.array([len(item.right) > 1 for item in scored], dtype=np.bool_)
    truncated = _by_training(answers, answers.truncated)
    return Cautions(truncated, _by_training(answers, tied), _by_benchmark(answers, twice_N))


def _tied(
    items: Sequence[BenchmarkItem],
    loglikelihoods: Sequence[tuple[float, ...]],
    scoring: Mapping[str, Mapping[str, Any]],
) -> NDArray[np.bool_]:
    by_texts = {benchmark: how["normalise"] for benchmark, how in scoring.items() if how.get("scoring") == "texts"}
    found = [
        bool(numbers) and is_tied(item.options, numbers, by_texts.get(item.benchmark, "none"))
        for item, numbers in zip(items, loglikelihoods, strict=True)
    ]
    return np.array(found, dtype=np.bool_)


def _by_training(answers: Answers, chosen: Mapping[str, NDArray[np.bool_]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for training, chosen_N in chosen.items():
        for benchmark, number in _by_benchmark(answers, chosen_N).items():
            found.setdefault(benchmark, {})[training] = number
    return found


def _by_benchmark(answers: Answers, chosen_N: NDArray[np.bool_]) -> dict[str, int]:
    names, counts = np.unique(answers.benchmark[chosen_N], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
