"""A number's course over steps as a page of its own, for a user interface that shows HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 320, 60, 290, 14
_MOST_POINTS = 1_000

_PAGE = """\
<!doctype html>
<meta charset="utf-8"><title>{name}</title>
<svg viewBox="0 0 {width} {height}" width="100%" style="max-width:{width}px" font-family="sans-serif" font-size="12"
 role="img" aria-label="{name}: {first:.4g} at first, {last:.4g} at last">
<polyline points="{points}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>
<path d="M{left},{top}V{bottom}H{width}" fill="none" stroke="#777"/>
<g text-anchor="end"><text x="{label}" y="{high_y}">{high:.4g}</text><text x="{label}" y="{bottom}">{low:.4g}</text>
<text x="{width}" y="{under}">step {end:,}</text></g><text x="{left}" y="{under}">{begin:,}</text>
</svg>
<p style="font:14px sans-serif">{name}: {first:.4g} at first, {last:.4g} at last, {count:,} steps.</p>
"""


def curve_page(name: str, points: Sequence[tuple[int, float]]) -> str:
    """Draw points (step, value) in their order; of many, some are left out. Without any, says so."""
    if not points:
        return f"<!doctype html>\n<p>{escape(name)}: no steps</p>\n"
    drawn = [*points[:: max(1, len(points) // _MOST_POINTS)], points[-1]]
    low, high = min(value for _, value in points), max(value for _, value in points)
    begin, end = points[0][0], points[-1][0]
    x = [_LEFT + (_WIDTH - _LEFT) * (step - begin) / max(1, end - begin) for step, _ in drawn]
    y = [_BOTTOM - (_BOTTOM - _TOP) * (value - low) / ((high - low) or 1) for _, value in drawn]
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
        points=" ".join(f"{across:.1f},{down:.1f}" for across, down in zip(x, y, strict=True)),
        first=points[0][1],
        last=points[-1][1],
        low=low,
        high=high,
        begin=begin,
        end=end,
        count=len(points),
    )
