"""How numbers and benchmarks' names are written, the same in the report and in the model card."""

from __future__ import annotations

from med42lib.formats.report import IN_DISTRIBUTION, MMLU_AVERAGE, OUT_OF_DISTRIBUTION, OVERALL, USMLE_AVERAGE

MISSING = "–"
PERCENT = "\N{NO-BREAK SPACE}%"
_P_LIMITS = (0.01, 0.05, 0.1)
_NAMES = {
    "medqa": "MedQA",
    "medmcqa": "MedMCQA",
    "headqa": "HeadQA",
    "pubmedqa": "PubMedQA",
    "mmlu": "MMLU",
    MMLU_AVERAGE: "MMLU (average)",
    "usmle": "USMLE",
    USMLE_AVERAGE: "USMLE (average)",
    "usmle_self_assessment": "USMLE self-assessment",
    IN_DISTRIBUTION: "Another split trained on",
    OUT_OF_DISTRIBUTION: "Not trained on by name",
    OVERALL: "All benchmarks",
}


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


def limit(difference: float) -> str:
    """Write an interval's end so that it is seen on which side of zero it lies: 0.0002 as "+0.02"."""
    text = points(difference)
    if text != "0.0" or abs(difference) < 1e-12:
        return text
    small = abs(difference) * 100
    return _sign(difference) + (f"{small:.1g}" if small >= 0.001 else text)


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


def _sign(difference: float) -> str:
    return "+" if difference > 0 else "−"
