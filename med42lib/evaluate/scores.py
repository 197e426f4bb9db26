"""From log-likelihoods to one row per item and one summary per benchmark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from med42lib.core.errors import DataError
from med42lib.evaluate.prompts import Scoring
from med42lib.formats.records import BenchmarkItem
from med42lib.formats.scores import Normalise, Score, predicted


def score_item(
    item: BenchmarkItem,
    answers: Sequence[str],
    loglikelihoods: Sequence[float],
    *,
    normalise: Normalise,
    truncated: bool,
) -> Score:
    """Predict the option with the highest normalised log-likelihood; ties go to the earlier option.

    Right is any option that says the same as the right one: no model could tell which of the two is meant.

    Raises:
        DataError: If a log-likelihood is not a finite number.
    """
    if not np.isfinite(loglikelihoods).all():
        raise DataError(
            f"the model's log-likelihoods for item {item.id!r} are {list(loglikelihoods)}: its weights are damaged or "
            "its training diverged; train again, with a lower rate"
        )
    prediction = predicted(answers, loglikelihoods, normalise)
    return Score(
        item_id=item.id,
        benchmark=item.benchmark,
        gold=item.gold,
        prediction=prediction,
        correct=prediction in item.right,
        loglikelihoods=tuple(loglikelihoods),
        truncated=truncated,
    )


def summarise(scores: Iterable[Score], scoring: Mapping[str, Scoring]) -> dict[str, dict[str, Any]]:
    """Count items and right answers of each benchmark, in the order in which they first occur.

    Args:
        scores: Of any benchmarks.
        scoring: How each benchmark was scored.
    """
    groups: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        groups[score.benchmark].append(score)
    return {
        benchmark: {
            "items": len(group),
            "accuracy": sum(score.correct for score in group) / len(group),
            "scoring": scoring[benchmark].scoring,
            **_normalise(scoring[benchmark]),
            "prompt": scoring[benchmark].prompt,
            "truncated": sum(score.truncated for score in group),
        }
        for benchmark, group in groups.items()
    }


def _normalise(how: Scoring) -> dict[str, str]:
    """Say what options are divided by, where there are options."""
    return {"normalise": how.normalise} if how.normalise else {}
