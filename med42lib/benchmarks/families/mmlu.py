"""MMLU: one benchmark per topic, `mmlu_<topic>`. The paper scores six clinical topics, 1,089 questions."""

from __future__ import annotations

from collections.abc import Collection

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.core.errors import DataError
from med42lib.core.publishers.mmlu import read_mmlu, topic_of
from med42lib.core.reading import DataFile, DataFolder


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read `<topic>_test.csv` of every topic, or of those that the settings name.

    Raises:
        DataError: If a topic is missing, or there are two files of one topic.
    """
    by_topic = _by_topic(folder.files(settings.path, "*_test.csv"), settings.topics)
    missing = [topic for topic in settings.topics if topic not in by_topic]
    if missing:
        raise DataError(f"{settings.path} has no {', '.join(f'{topic}_test.csv' for topic in missing)}")
    return {f"mmlu_{topic}": read_mmlu(by_topic[topic]) for topic in sorted(by_topic)}


def _by_topic(files: list[DataFile], wanted: Collection[str]) -> dict[str, DataFile]:
    by_topic: dict[str, DataFile] = {}
    for file in files:
        topic = topic_of(file.name)
        if wanted and topic not in wanted:
            continue
        if topic in by_topic:
            raise DataError(
                f"{by_topic[topic].name} and {file.name} are two files of one topic; name the folder of one of them"
            )
        by_topic[topic] = file
    return by_topic


FAMILY = Family(
    name="mmlu",
    title="MMLU (test)",
    licence="MIT",
    citation="Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding, ICLR",
    read=read,
)
