"""Where the marks of the figures go, in pixels; the templates draw them.

Each figure is laid out twice, for a wide and for a narrow page, so that its letters are never scaled down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10

from med42lib.core.printable import shortened
from med42lib.formats.models import BASE
from med42lib.formats.written import display_name, percent
from med42lib.report.formatting import integer
from med42lib.report.provenance.models import Model
from med42lib.report.results.table import Accuracy, Group, Results

WIDE_PIXELS = 800
NARROW_PIXELS = 320
_LINE = 19
_GROUP_GAP = 13
_AXIS = 34
_CHARACTER = 7.0
_LONGEST_LABEL = 16

Losses = Mapping[Model, Sequence[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One model's accuracy on one line of the forest plot: its point, the interval's ends, and the value."""

    model: Model
    label: str
    y: float
    x: float
    low: float
    high: float
    value: str


@dataclass(frozen=True, slots=True)
class ForestGroup:
    """The marks of one benchmark, with its name and the place of what guessing would score."""

    label: str
    num_questions: str
    label_y: float
    top: float
    bottom: float
    chance_x: float | None
    marks: tuple[Mark, ...]
    summary: bool


@dataclass(frozen=True, slots=True)
class ForestPlot:
    """Accuracy with interval, by benchmark and model."""

    width: int
    height: float
    left: float
    right: float
    axis_y: float
    stacked: bool
    ticks: tuple[Tick, ...]
    groups: tuple[ForestGroup, ...]


@dataclass(frozen=True, slots=True)
class LossCurve:
    """One model's loss curve as the points of a polyline, and where its name stands."""

    model: Model
    label: str
    points: str
    label_x: float
    label_y: float


@dataclass(frozen=True, slots=True)
class LossPlot:
    """Loss by optimiser step: on the chunks of each step, and on those held out, whose lines have no name."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[LossCurve, ...]
    validation_lines: tuple[LossCurve, ...]


def forest_plot(results: Results, chances: Mapping[str, float], *, subset: str, width: int) -> ForestPlot:
    """Lay out accuracy with interval for every group and model.

    Args:
        results: The numbers.
        chances: Expected accuracy of guessing, by group.
        subset: One of `SUBSETS`; groups without items in it are left out.
        width: Pixels. Below 480 each benchmark's name stands above its marks, else to their left.
    """
    stacked = width < 480
    label_width = _label_width(results.models)
    left, right = (18.0 + label_width, width - 44.0) if stacked else (222.0 + label_width, width - 60.0)
    shown = [group for group in results.groups if results.accuracies[group.key, BASE, subset].n]
    found = [results.accuracies[g.key, m.name, subset].estimate for g in shown for m in results.models]
    ends = [end for e in found if e for end in (e.low, e.high)]
    scale = _Scale.around([*ends, *(chances[g.key] for g in shown if g.key in chances)], left, right)
    groups: list[ForestGroup] = []
    y = 12.0
    for group in shown:
        accuracies = [(model, results.accuracies[group.key, model.name, subset]) for model in results.models]
        groups.append(_forest_group(group, accuracies, chances.get(group.key), scale, y, stacked=stacked))
        y = groups[-1].bottom + _GROUP_GAP
    return ForestPlot(width, y + _AXIS, left, right, y, stacked, scale.ticks(percent_labels=True), tuple(groups))


def _forest_group(
    group: Group,
    accuracies: Sequence[tuple[Model, Accuracy]],
    chance: float | None,
    scale: _Scale,
    y: float,
    *,
    stacked: bool,
) -> ForestGroup:
    top = y + _LINE if stacked else y
    marks = [
        Mark(
            model=model,
            label=_label(model),
            y=top + line * _LINE + _LINE / 2,
            x=scale.at(estimate.value),
            low=scale.at(estimate.low),
            high=scale.at(estimate.high),
            value=percent(estimate.value),
        )
        for line, (model, accuracy) in enumerate(accuracies)
        if (estimate := accuracy.estimate) is not None
    ]
    return ForestGroup(
        label=display_name(group.key),
        num_questions=integer(accuracies[0][1].n),
        label_y=y + _LINE / 2,
        top=top,
        bottom=top + len(accuracies) * _LINE,
        chance_x=None if chance is None else scale.at(chance),
        marks=tuple(marks),
        summary=group.is_summary,
    )


def loss_plot(losses: Losses, *, width: int, validation: Losses | None = None) -> LossPlot | None:
    """Lay out loss curves by step; None if no loss was recorded.

    Args:
        losses: (step, loss) in the order of steps, by model.
        width: Pixels. Curves with more points than pixels are averaged over neighbouring steps.
        validation: The same of the loss on held-out chunks.
    """
    curves, held_out = (
        {model: thinned(curve, limit=width) for model, curve in given.items() if curve}
        for given in (losses, validation or {})
    )
    if not curves:
        return None
    drawn = [*curves.values(), *held_out.values()]
    height, left, right, top = 240, 44.0, width - 30.0 - _label_width(curves), 14.0
    bottom = height - _AXIS
    x_scale = _Scale.around([step for curve in drawn for step, _ in curve], left, right)
    y_scale = _Scale.around([loss for curve in drawn for _, loss in curve], bottom, top)
    lines, validation_lines = (
        [_loss_curve(model, curve, x_scale, y_scale) for model, curve in given.items()] for given in (curves, held_out)
    )
    return LossPlot(
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=x_scale.ticks(),
        y_ticks=y_scale.ticks(),
        lines=_apart(lines, distance=15),
        validation_lines=tuple(validation_lines),
    )


def _loss_curve(model: Model, curve: Sequence[tuple[float, float]], x_scale: _Scale, y_scale: _Scale) -> LossCurve:
    return LossCurve(
        model=model,
        label=_label(model),
        points=" ".join(f"{x_scale.at(step):.1f},{y_scale.at(loss):.1f}" for step, loss in curve),
        label_x=x_scale.at(curve[-1][0]) + 7,
        label_y=y_scale.at(curve[-1][1]),
    )


def _label(model: Model) -> str:
    return shortened(model.title, _LONGEST_LABEL)


def _label_width(models: Iterable[Model]) -> float:
    return _CHARACTER * max(len(_label(model)) for model in models)


def thinned(curve: Sequence[tuple[float, float]], *, limit: int) -> list[tuple[float, float]]:
    """Average neighbours so that at most `limit` points are left.

    (0, 4) (1, 2) (2, 6) (3, 2) with limit 2 becomes (0.5, 3) (2.5, 4).
    """
    size = ceil(len(curve) / limit)
    blocks = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(sum(x for x, _ in b) / len(b), sum(y for _, y in b) / len(b)) for b in blocks]


def _apart(lines: list[LossCurve], *, distance: float) -> tuple[LossCurve, ...]:
    """Move the names of curves that end close together away from each other, each group of them around its middle."""
    ranked = sorted(range(len(lines)), key=lambda place: lines[place].label_y)
    heights = spread_apart([lines[place].label_y for place in ranked], distance=distance)
    moved = dict(zip(ranked, heights, strict=True))
    return tuple(replace(line, label_y=moved[place]) for place, line in enumerate(lines))


def spread_apart(heights: Sequence[float], *, distance: float) -> list[float]:
    """Move ascending heights so that neighbours are at least `distance` apart, each group of them around its mean.

    0, 1, 10, 30 with distance 4 becomes -1.5, 2.5, 10, 30.
    """
    groups: list[tuple[float, int]] = []  # mean and size
    for height in heights:
        groups.append((height, 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < distance * (groups[-1][1] + groups[-2][1]) / 2:
            (second, n), (first, m) = groups.pop(), groups.pop()
            groups.append(((first * m + second * n) / (m + n), m + n))
    return [mean + (place - (size - 1) / 2) * distance for mean, size in groups for place in range(size)]


@dataclass(frozen=True, slots=True)
class _Scale:
    """A linear axis from `low` at pixel `start` to `high` at pixel `end`, both round multiples of `step`."""

    low: float
    high: float
    step: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> _Scale:
        low, high = min(values), max(values)
        step = _round_step((high - low) or abs(high) or 1.0)
        bottom, top = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
        return cls(bottom, top if top > bottom else bottom + step, step, start, end)

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, *, percent_labels: bool = False) -> tuple[Tick, ...]:
        count = round((self.high - self.low) / self.step)
        values = [self.low + number * self.step for number in range(count + 1)]
        return tuple(Tick(self.at(v), f"{v * 100:.0f}" if percent_labels else f"{v:,.10g}") for v in values)


def _round_step(span: float) -> float:
    """Choose 1, 2 or 5 times a power of ten, so that the span holds three to eight steps."""
    power = 10.0 ** floor(log10(span / 8))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if span / (factor * power) <= 8)
