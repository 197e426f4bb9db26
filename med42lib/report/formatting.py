"""How numbers and names are written, the same in the page, the Markdown and the log."""

from __future__ import annotations

from med42lib.report.estimates import Estimate

MISSING = "–"
PERCENT = "\N{NO-BREAK SPACE}%"
SUBSET_LABELS = {"all": "All questions", "clean": "Clean questions", "contaminated": "Leaked questions"}
_P_LIMITS = (0.01, 0.05, 0.1)
_NAMES = {
    "medqa": "MedQA",
    "medmcqa": "MedMCQA",
    "headqa": "HeadQA",
    "pubmedqa": "PubMedQA",
    "mmlu": "MMLU",
    "mmlu_average": "MMLU (average)",
    "usmle": "USMLE",
    "usmle_average": "USMLE (average)",
    "usmle_self_assessment": "USMLE self-assessment",
    "overall": "All benchmarks",
}


def close_match(*, dropped: bool) -> str:
    """Say what leaked questions have: an example that is like them, in the mixture or `dropped` from it."""
    return "a close match in the training mixture" + ", dropped before training" * dropped


def display_name(key: str) -> str:
    """Write a benchmark's name for people: `mmlu_college_biology` as "MMLU college biology"."""
    if key in _NAMES:
        return _NAMES[key]
    first, *rest = key.replace("-", "_").split("_")
    return " ".join([_NAMES.get(first, first[:1].upper() + first[1:]), *rest])


def percent(share: float | None) -> str:
    """Write a share as a percentage with one decimal, without the sign: 0.5432 as "54.3"."""
    return MISSING if share is None else f"{share * 100:.1f}"


def percent_of(confidence: float) -> str:
    """Write a confidence level, "95 %", that is not broken over two lines."""
    return f"{confidence * 100:g}{PERCENT}"


def points(difference: float | None) -> str:
    """Write a difference in percentage points with its sign: 0.0213 as "+2.1", -0.03 as "−3.0"."""
    if difference is None:
        return MISSING
    text = f"{abs(difference) * 100:.1f}"
    return text if text == "0.0" else _sign(difference) + text


def _sign(difference: float) -> str:
    return "+" if difference > 0 else "−"


def _limit(difference: float) -> str:
    """Write an interval's end so that it is seen on which side of zero it lies: 0.0002 as "+0.02"."""
    text = points(difference)
    if text != "0.0" or abs(difference) < 1e-12:
        return text
    small = abs(difference) * 100
    return _sign(difference) + (f"{small:.1g}" if small >= 0.001 else text)


def interval_limits(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Write an interval for a table, in percent: "[47.6, 60.7]"; with `signed`, "[+1.2, +3.4]"."""
    if estimate is None:
        return ""
    write = _limit if signed else percent
    return f"[{write(estimate.low)}, {write(estimate.high)}]"


def interval_in_prose(estimate: Estimate) -> str:
    """Write an interval of a difference for a sentence: "+1.2 to +3.4"."""
    return f"{_limit(estimate.low)} to {_limit(estimate.high)}"


def integer(number: float | None) -> str:
    """Write a whole number with separated thousands: "1,273"."""
    return MISSING if number is None else f"{number:,.0f}"


def p_value(p: float | None) -> str:
    """Write a p value with two digits that count; "< 0.001" below that, and "< 0.05" for what is not quite 0.05."""
    if p is None:
        return MISSING
    if p < 0.001:
        return "< 0.001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    if float(text) in _P_LIMITS and float(text) != p:
        return f"{'<' if p < float(text) else '>'} {float(text):g}"
    return text


def p_in_prose(p: float) -> str:
    """Write a p value for a sentence, "p = 0.031" or "p < 0.001", that is not broken over two lines."""
    text = p_value(p)
    said = f"p {text}" if text[0] in "<>" else f"p = {text}"
    return said.replace(" ", "\N{NO-BREAK SPACE}")


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
