"""Accuracies by subject, where a benchmark's questions say theirs: a topic of MMLU, a specialty, a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from med42lib.formats.records import BenchmarkItem
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Accuracy, Group, Results, accuracy_of


@dataclass(frozen=True, slots=True)
class SubjectScores:
    """The models' accuracies, by name, on one subject's questions of one benchmark."""

    benchmark: str
    subject: str
    accuracies: Mapping[str, Accuracy]

    @property
    def n(self) -> int:
        """Count the questions."""
        return next(iter(self.accuracies.values())).n


def score_subjects(
    answers: Answers, items: Sequence[BenchmarkItem], results: Results, confidence: float
) -> tuple[SubjectScores, ...]:
    """Compute accuracies by subject on the results' main subset; questions without a subject are left out.

    Args:
        answers: The models' answers.
        items: The items, in the answers' order.
        results: The models, and the subset.
        confidence: Probability that an interval aims to cover the truth with.

    Returns:
        Benchmarks in their order and subjects by name; those without questions in the subset are left out.
    """
    subjects = sorted({(item.benchmark, item.subject) for item in items if item.subject})
    numbers = {subject: str(number) for number, subject in enumerate(subjects)}
    labels_N = np.array([numbers.get((item.benchmark, item.subject), "") for item in items])
    by_subject = replace(answers, benchmark=labels_N)
    found = [
        SubjectScores(
            benchmark,
            subject,
            {
                model.name: accuracy_of(by_subject, Group(number, (number,)), model.name, subset, confidence)
                for model in results.models
            },
        )
        for (benchmark, subject), number in numbers.items()
        for subset in (results.main_subset,)
    ]
    place = {name: number for number, name in enumerate(answers.benchmarks)}
    return tuple(sorted((scores for scores in found if scores.n), key=lambda scores: place[scores.benchmark]))
