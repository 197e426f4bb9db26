"""HeadQA in English: the test exams of 2016 and 2017, 2,742 questions, 67 of them about images."""

from __future__ import annotations

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.publishers.headqa import FACTS, headqa_rows_of_hub, read_headqa


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read `test_HEAD_EN.json`, or the test split of the hub's."""
    if settings.layout == "huggingface":
        return {"headqa": headqa_rows_of_hub(table_rows(folder, settings.path, splits=("test",)))}
    return {"headqa": read_headqa(folder.file(settings.path))}


FAMILY = Family(
    name="headqa",
    title="HeadQA (English, test)",
    facts=FACTS,
    read=read,
)
