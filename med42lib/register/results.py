"""What the report found of the candidate, and of the base beside it: read off its `summary.json`, never worked out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from med42lib.core.markdown import markdown_table
from med42lib.formats.models import BASE
from med42lib.formats.report import OVERALL, accuracy_metric
from med42lib.formats.written import MISSING, display_name, limit, p_in_prose, p_value, percent, percent_of, points
from med42lib.register.run import FinishedRun

_VERDICTS = {
    1: "**Better than the base.**",
    -1: "**Worse than the base.**",
    0: "**No difference from the base shown.**",
    None: "**Not known to be better than the base:** every question has {}.",
}
_GAINS = {1: "is larger", -1: "is smaller", 0: "is not shown to be larger or smaller"}

Numbers = Mapping[str, Any]
"""A figure: `value`, and its interval `low` and `high`."""


@dataclass(frozen=True, slots=True)
class Results:
    """The figures; `model` is what the report calls the candidate, which may be one of a model's several trainings."""

    summary: Mapping[str, Any]
    metrics: Mapping[str, float]
    candidate: str
    model: str

    @classmethod
    def of(cls, run: FinishedRun) -> Results:
        """Read the report of a run."""
        overall = run.summary["accuracy"][OVERALL]
        models = {training: model for model in overall for training in overall[model]["all"].get("trainings", ())}
        return cls(run.summary, run.metrics, run.candidate, models.get(run.candidate, run.candidate))

    @property
    def subsets(self) -> list[str]:
        """Give the subsets to show: clean questions first, if the report's answers are about them."""
        return ["clean", "all"] if self.main == "clean" else ["all"]

    @property
    def main(self) -> str:
        """Give the subset that the report's answers are about."""
        return str(self.summary["verdicts"]["subset"])

    def title(self, subset: str) -> str:
        """Say which questions a subset holds."""
        return f"Questions without {self.close_match}" if subset == "clean" else "All questions"

    @property
    def close_match(self) -> str:
        """Say what leaked questions have."""
        return str(self.summary["contamination"]["close_match"])

    @property
    def trainings(self) -> Mapping[str, float]:
        """Give the accuracies of all trainings, by name, if the model was trained with several seeds."""
        found: Mapping[str, float] = self._accuracy(OVERALL, self.model, self.main).get("trainings", {})
        return found

    @property
    def direction(self) -> int | None:
        """Say whether the report claims that it is better (1), worse (-1) or neither (0); None if it claims nothing."""
        verdict = self._verdict("differences")
        return verdict["direction"] if verdict else None

    def power(self) -> Iterator[str]:
        """Say which difference from the base would have shown, where none did."""
        if self.direction == 0 and (verdict := self._verdict("differences")):
            smallest = verdict["smallest_shown"]
            if smallest is None:
                yield "So few questions, or trainings so far apart, cannot show any difference from the base."
            else:
                yield f"Differences from the base of less than {percent(smallest)} points may not have shown."

    def sentences(self) -> Iterator[str]:
        """Say what the report claims, and of which trainings the figures are."""
        if verdict := self._verdict("differences"):
            told = _VERDICTS[verdict["direction"]].format(self.close_match)
            yield (
                f"{told} {self.title(self.main)}: {self._in_prose(verdict)}"
                f", {p_in_prose(verdict['p_holm'])}, adjusted for all that the report asks."
            )
        if self.trainings:
            own = percent(self.metrics[accuracy_metric(self.main, OVERALL, self.candidate)])
            yield (
                f"The figures are the mean of {len(self.trainings)} trainings that differ by their seed. These weights "
                f"are those of one, `{self.candidate}`, which answers {own} % right."
            )

    def gain_on_leaks(self) -> Iterator[str]:
        """Say whether the gain over the base is another where questions leaked."""
        verdict = self._verdict("added_by_leaks")
        if verdict and verdict["value"] is not None:
            told = f"The gain over the base {_GAINS[verdict['direction']]} on questions with a close match"
            told += f" ({verdict['num_leaked']:,}, of benchmarks that have other questions too)"
            yield f"{told}, where points and odds have to agree: {self._in_prose(verdict)}."

    def table(self, subset: str) -> str:
        """Tabulate accuracies in percent, with intervals, beside the base's."""
        compared = () if self.model == BASE else ("This model", "Difference in points", "Adjusted p")
        titles = ("Benchmark", "Questions", "Base", *compared)
        groups = [group for group in self.summary["groups"] if self._accuracy(group, self.model, subset)["n"]]
        table = markdown_table("l" + "r" * (len(titles) - 1), titles, map(self._row, groups, [subset] * len(groups)))
        confidence = percent_of(self.summary["confidence"])
        return f"### {self.title(subset)}\n\nAccuracy in percent, with {confidence} intervals.\n\n{table}"

    def for_hub(self) -> list[dict[str, Any]]:
        """Give the candidate's own accuracy on each benchmark, as fields of the hub's `EvalResult`."""
        benchmarks = [group for group, inside in self.summary["groups"].items() if inside == [group]]
        wanted = [(benchmark, subset) for benchmark in benchmarks for subset in self.subsets]
        return [self._for_hub(*figure) for figure in wanted if self._name(*figure) in self.metrics]

    def _for_hub(self, benchmark: str, subset: str) -> dict[str, Any]:
        estimate = self._accuracy(benchmark, self.model, subset)
        interval = f", {percent_of(self.summary['confidence'])} interval {_interval(estimate, percent)} %"
        return {
            "task_type": "text-generation",
            "dataset_type": benchmark,
            "dataset_name": display_name(benchmark),
            "metric_type": "accuracy",
            "metric_name": f"{self.title(subset)}{'' if self.trainings else interval}",
            "metric_value": round(self.metrics[self._name(benchmark, subset)], 6),
        }

    def _name(self, group: str, subset: str) -> str:
        return accuracy_metric(subset, group, self.candidate)

    def _row(self, group: str, subset: str) -> list[str]:
        own, base = (self._accuracy(group, model, subset) for model in (self.model, BASE))
        row = [display_name(group), f"{own['n']:,}", _cell(base, percent)]
        if self.model == BASE:
            return row
        difference = self.summary["difference"][group].get(f"{self.model}-{BASE}", {}).get(subset)
        compared = [_cell(difference, limit), p_value(difference["p_holm"])] if difference else [MISSING, MISSING]
        return [*row, _cell(own, percent), *compared]

    def _verdict(self, about: str) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.summary["verdicts"][about].get(f"{self.model}-{BASE}")
        return found

    def _accuracy(self, group: str, model: str, subset: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.summary["accuracy"][group][model][subset]
        return found

    def _in_prose(self, difference: Numbers) -> str:
        confidence = percent_of(self.summary["confidence"])
        return f"{points(difference['value'])} points ({confidence} interval {_interval(difference, limit)})"


def _interval(numbers: Numbers, write: Callable[[float], str]) -> str:
    return f"{write(numbers['low'])} to {write(numbers['high'])}"


def _cell(numbers: Numbers, write: Callable[[float], str]) -> str:
    return MISSING if numbers["value"] is None else f"{write(numbers['value'])} ({_interval(numbers, write)})"
