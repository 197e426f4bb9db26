"""What a model scores that knows nothing: by guessing, and by always choosing the same option."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from med42lib.formats.records import BenchmarkItem
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Group


@dataclass(frozen=True, slots=True)
class Baseline:
    """Accuracies in [0, 1]: `chance` of a uniform guess, `constant` of the best single position or answer.

    PubMedQA shows why the second is needed: with three answers, "yes" alone is right in 55.2 % of its test.
    """

    chance: float
    constant: float


def make_baselines(
    answers: Answers, items: Mapping[str, BenchmarkItem], groups: Iterable[Group], subset: str
) -> dict[str, Baseline]:
    """Compute the baselines of each group on one of `SUBSETS`.

    Left out are groups without items there, and those with an item without options: what guessing would score of an
    answer that the model writes is not known.
    """
    baselines = {}
    for group in groups:
        parts = [(name,) for name in group.benchmarks] if group.average else [group.benchmarks]
        chosen = [found for part in parts if (found := _chosen(answers, items, part, subset))]
        if chosen and all(item.options for part in chosen for item in part):
            known = [_baseline(part) for part in chosen]
            chance = sum(baseline.chance for baseline in known) / len(known)
            baselines[group.key] = Baseline(chance, sum(b.constant for b in known) / len(known))
    return baselines


def _chosen(
    answers: Answers, items: Mapping[str, BenchmarkItem], benchmarks: tuple[str, ...], subset: str
) -> list[BenchmarkItem]:
    selected = answers.selected(benchmarks, subset)
    return [items[item_id] for item_id, chosen in zip(answers.item_ids, selected, strict=True) if chosen]


def _baseline(items: list[BenchmarkItem]) -> Baseline:
    chance = sum(len(item.right) / len(item.options) for item in items) / len(items)
    most_common = Counter(position for item in items for position in item.right).most_common(1)[0][1]
    return Baseline(chance, most_common / len(items))
