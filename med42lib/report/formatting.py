"""How the report writes what no other stage writes, the same in the page, the Markdown and the log."""

from __future__ import annotations

from med42lib.formats.written import MISSING, limit, percent
from med42lib.report.estimates import Estimate

SUBSET_LABELS = {"all": "All questions", "clean": "Clean questions", "contaminated": "Leaked questions"}


def close_match(threshold: float, *, stems_apart: bool, dropped: bool) -> str:
    """Say what leaked questions have: an example that is like them, in the mixture or `dropped` from it.

    With `stems_apart`, clean questions may have one too that shares no more than a generic stem.
    """
    found = f"a training question of cosine above {threshold:g}"
    return found + " that shares more than a generic stem" * stems_apart + ", dropped before training" * dropped


def interval_limits(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Write an interval for a table, in percent: "[47.6, 60.7]"; with `signed`, "[+1.2, +3.4]"."""
    if estimate is None:
        return ""
    write = limit if signed else percent
    return f"[{write(estimate.low)}, {write(estimate.high)}]"


def interval_in_prose(estimate: Estimate) -> str:
    """Write an interval of a difference for a sentence: "+1.2 to +3.4"."""
    return f"{limit(estimate.low)} to {limit(estimate.high)}"


def integer(number: float | None) -> str:
    """Write a whole number with separated thousands: "1,273"."""
    return MISSING if number is None else f"{number:,.0f}"


def duration(seconds: float | None) -> str:
    """Write a time span: "8.2 s", "3 min 05 s", "2 h 07 min"."""
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def setting(value: object) -> str:
    """Write a setting's value: small and large numbers readably, lists with commas."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, list | tuple):
        return ", ".join(setting(part) for part in value)
    return str(value).replace("_", " ")


def _decimal(value: float) -> str:
    if value == 0 or 0.001 <= abs(value) < 10_000:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
