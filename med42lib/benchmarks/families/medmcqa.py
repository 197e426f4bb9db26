"""MedMCQA: the 4,183 questions of the validation split. The official test has no answers; papers score this one.

27 of them are about figures that are not there, and in one all options say the same; in three others the right option
stands twice.
"""

from __future__ import annotations

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.publishers.medmcqa import FACTS, medmcqa_rows_of_hub, read_medmcqa


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read `dev.json`, which is JSON lines, or the validation split of the hub's."""
    if settings.layout == "huggingface":
        return {"medmcqa": medmcqa_rows_of_hub(table_rows(folder, settings.path, splits=("validation",)))}
    return {"medmcqa": read_medmcqa(folder.file(settings.path))}


FAMILY = Family(
    name="medmcqa",
    title="MedMCQA (validation)",
    facts=FACTS,
    read=read,
)
