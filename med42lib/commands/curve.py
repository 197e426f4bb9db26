"""A number's course over steps as a page of its own, for a user interface that shows HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 320, 60, 290, 14
_MOST_POINTS = 1_000

_PAGE = """\
<!doctype html>
<meta charset="utf-8"><title>{name}</title>
<svg viewBox="0 0 {width} {height}" width="100%" style="max-width:{width}px" font-family="sans-serif" font-size="12"
 role="img" aria-label="{name}: {first:.4g} at first, {last:.4g} at last">
<g fill="none" stroke-width="1.5"><polyline points="{points}" stroke="#1f5fa8"/>{validation}</g>
<path d="M{left},{top}V{bottom}H{width}" fill="none" stroke="#777"/>
<g text-anchor="end"><text x="{label}" y="{high_y}">{high:.4g}</text><text x="{label}" y="{bottom}">{low:.4g}</text>
<text x="{width}" y="{under}">step {end:,}</text></g><text x="{left}" y="{under}">{begin:,}</text>
</svg>
<p style="font:14px sans-serif">{name}: {first:.4g} at first, {last:.4g} at last, {count:,} steps.{held_out}</p>
"""
_VALIDATION = '<polyline points="{}" stroke="#b0490f" stroke-dasharray="5 4"/>'
_HELD_OUT = " Dashed, on what is held out of training: {:.4g} at first, {:.4g} at the lowest, {:.4g} at last."

Points = Sequence[tuple[int, float]]


def curve_page(name: str, points: Points, validation: Points = ()) -> str:
    """Draw points (step, value) in their order; of many, some are left out. Without any, says so.

    Args:
        name: What the value is.
        points: Its course.
        validation: That of the same on what is held out of training.
    """
    if not points:
        return f"<!doctype html>\n<p>{escape(name)}: no steps</p>\n"
    steps, values = zip(*points, *validation, strict=True)
    scale = _Scale(min(steps), max(steps), min(values), max(values))
    held_out = [value for _, value in validation]
    return _PAGE.format(
        name=escape(name),
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        bottom=_BOTTOM,
        top=_TOP,
        label=_LEFT - 6,
        high_y=_TOP + 8,
        under=_BOTTOM + 18,
        points=scale.polyline(points),
        validation=_VALIDATION.format(scale.polyline(validation)) if validation else "",
        held_out=_HELD_OUT.format(held_out[0], min(held_out), held_out[-1]) if validation else "",
        first=points[0][1],
        last=points[-1][1],
        low=scale.low,
        high=scale.high,
        begin=scale.begin,
        end=scale.end,
        count=len(points),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """Steps from left to right, values from the bottom to the top."""

    begin: int
    end: int
    low: float
    high: float

    def polyline(self, points: Points) -> str:
        drawn = [*points[:: max(1, len(points) // _MOST_POINTS)], points[-1]]
        x = [_LEFT + (_WIDTH - _LEFT) * (step - self.begin) / max(1, self.end - self.begin) for step, _ in drawn]
        y = [_BOTTOM - (_BOTTOM - _TOP) * (value - self.low) / ((self.high - self.low) or 1) for _, value in drawn]
        return " ".join(f"{across:.1f},{down:.1f}" for across, down in zip(x, y, strict=True))
