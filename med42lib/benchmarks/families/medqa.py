"""MedQA: the 1,273 US test questions, in four or in five options."""

from __future__ import annotations

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.core.publishers.medqa import read_medqa
from med42lib.core.reading import DataFolder


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read `phrases_no_exclude_test.jsonl`, or the file of five options."""
    return {"medqa": read_medqa(folder.file(settings.path))}


FAMILY = Family(
    name="medqa",
    title="MedQA (US, test)",
    licence="MIT (the questions were collected from preparation sites)",
    citation="Jin et al. 2021, What Disease Does This Patient Have? A Large-Scale Open Domain Question Answering "
    "Dataset from Medical Exams, Applied Sciences 11(14):6421",
    read=read,
)
