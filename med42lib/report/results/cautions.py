"""What a reader of the accuracies must know of single questions: which were cut, and which have two right options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from med42lib.formats.records import BenchmarkItem
from med42lib.report.results.scores import Answers


@dataclass(frozen=True, slots=True)
class Cautions:
    """Numbers of scored questions by benchmark; benchmarks and models without any are left out.

    `truncated`, by model too, are those whose beginning did not fit the model. `right_option_twice` are those of which
    two options or more say the same and are right.
    """

    truncated: Mapping[str, Mapping[str, int]]
    right_option_twice: Mapping[str, int]


def make_cautions(answers: Answers, items: Mapping[str, BenchmarkItem]) -> Cautions:
    """Count such questions among the scored ones."""
    truncated: dict[str, dict[str, int]] = {}
    for model, cut_N in answers.truncated.items():
        for benchmark, number in _by_benchmark(answers, cut_N).items():
            truncated.setdefault(benchmark, {})[model] = number
    twice_N = np.array([len(items[item_id].right) > 1 for item_id in answers.item_ids], dtype=np.bool_)
    return Cautions(truncated, _by_benchmark(answers, twice_N))


def _by_benchmark(answers: Answers, chosen_N: NDArray[np.bool_]) -> dict[str, int]:
    names, counts = np.unique(answers.benchmark[chosen_N], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
