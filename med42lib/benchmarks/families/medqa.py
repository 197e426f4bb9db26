"""MedQA: the 1,273 US test questions, 10 of them about figures, in four or in five options; `path` says which.

The publisher ships both, `US/4_options/phrases_no_exclude_test.jsonl` and `US/test.jsonl`. An item's id is a hash of
the question with its options, so the two give different ids: guessing scores 25 % in one and 20 % in the other, and
their scores must never be joined by accident. The summary counts items by number of options.
"""

from __future__ import annotations

from dataclasses import replace

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import each
from med42lib.readers.publishers.medqa import FACTS, medqa_rows_of_hub, read_medqa
from med42lib.readers.publishers.question import Question


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read the publisher's test file, or the test split of the hub's."""
    if settings.layout == "huggingface":
        questions = medqa_rows_of_hub(table_rows(folder, settings.path, splits=("test",)))
        return {"medqa": each(questions, _named_by_content)}
    return {"medqa": read_medqa(folder.file(settings.path))}


def _named_by_content(question: Question) -> Question:
    """Drop the ids that one of the hub's copies numbers its rows by: an item has one id in every layout."""
    return replace(question, publisher_id="")


FAMILY = Family(
    name="medqa",
    title="MedQA (US, test)",
    facts=FACTS,
    read=read,
)
