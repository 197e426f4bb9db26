"""HeadQA in English: the test exams of 2016 and 2017, 2,742 questions, 67 of them about images."""

from __future__ import annotations

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.core.publishers.headqa import read_headqa
from med42lib.core.reading import DataFolder


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read `test_HEAD_EN.json`."""
    return {"headqa": read_headqa(folder.file(settings.path))}


FAMILY = Family(
    name="headqa",
    title="HeadQA (English, test)",
    licence="Spanish Ministry of Health: reuse with citation and date, no alteration of meaning; code MIT",
    citation="Vilares and Gómez-Rodríguez 2019, HEAD-QA: A Healthcare Dataset for Complex Reasoning, ACL",
    read=read,
)
