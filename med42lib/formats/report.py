"""What the report calls the lines and the numbers that others read off it."""

from __future__ import annotations

REPORT_SUMMARY_FILE = "summary.json"
"""Every number of the report, with intervals."""

PAIRS_PAGE_FILE = "pairs.html"
"""The page of all pairs: thousands of training examples as they are, so that it stays in the store."""

OVERALL = "overall"
IN_DISTRIBUTION, OUT_OF_DISTRIBUTION = "in_distribution", "out_of_distribution"
"""Benchmarks of which another split is in the mixture, by their names, and the others; their questions are pooled."""

POOLED = (IN_DISTRIBUTION, OUT_OF_DISTRIBUTION, OVERALL)
MMLU_AVERAGE, USMLE_AVERAGE = "mmlu_average", "usmle_average"
PREFIX_OF_AVERAGE = {MMLU_AVERAGE: "mmlu_", USMLE_AVERAGE: "usmle_"}
"""Benchmarks that the paper averages, by the beginning of their names."""

LEAKED_SHARE = "leaked_share"
"""The metric that says which share of the scored questions is contaminated."""


def family(benchmark: str) -> str:
    """Name what is published together: `mmlu` for all its topics, a benchmark of its own by its own name."""
    prefixes = [prefix for prefix in PREFIX_OF_AVERAGE.values() if benchmark.startswith(prefix)]
    return prefixes[0].removesuffix("_") if prefixes else benchmark


def accuracy_metric(subset: str, group: str, model: str) -> str:
    """Name the metric of an accuracy."""
    return f"accuracy/{subset}/{group}/{model}"
