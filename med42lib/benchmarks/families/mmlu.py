"""MMLU: one benchmark per topic, `mmlu_<topic>`. The paper scores six clinical topics, 1,089 questions.

`path` is a folder: the publisher's of `<topic>_test.csv`, or the hub's, in which each topic is a folder with a test
split, `anatomy/test-00000-of-00001.parquet` or `anatomy/test/0000.parquet`. The hub's `all/`, which holds every topic
once more, and `auxiliary_train/` are passed over.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import PurePosixPath

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.core.errors import DataError
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import SUFFIXES, split_of, table_rows
from med42lib.readers.parsers import each
from med42lib.readers.publishers.mmlu import FACTS, mmlu_rows_of_hub, read_mmlu, topic_of

_NOT_TOPICS = ("all", "auxiliary_train", "")


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read the test questions of every topic, or of those that the settings name.

    Raises:
        DataError: If a topic is missing, there is none at all, or there are two files or folders of one topic.
    """
    if settings.layout == "huggingface":
        folders = _by_topic(settings, _topic_folders(folder, settings.path), "{}/ with a test split")
        return {
            f"mmlu_{topic}": _about(topic, mmlu_rows_of_hub(table_rows(folder, place, splits=("test",))))
            for topic, place in folders.items()
        }
    names = [file.name for file in folder.files(settings.path, "*_test.csv")]
    files = _by_topic(settings, [(topic_of(name), name) for name in names], "{}_test.csv")
    return {f"mmlu_{topic}": _about(topic, read_mmlu(folder.file(name))) for topic, name in files.items()}


def _about(topic: str, questions: Questions) -> Questions:
    return each(questions, lambda question: replace(question, subject=topic.replace("_", " ")))


def _topic_folders(folder: DataFolder, path: str) -> list[tuple[str, str]]:
    """Find the folders with a test split, named after their topics: `anatomy/test-*` or `anatomy/test/*`."""
    names = [name for name in folder.names(path) if name.endswith(SUFFIXES) and split_of(name, path) == "test"]
    places = {_without_split(PurePosixPath(name).parent) for name in names}
    topics = [(place.name, place.as_posix()) for place in places if place.name not in _NOT_TOPICS]
    if not topics:
        raise DataError(f"{folder.address}/{path} has no topic: expected folders such as anatomy/ with a test split")
    return topics


def _without_split(folder: PurePosixPath) -> PurePosixPath:
    return folder.parent if folder.name == "test" else folder


def _by_topic(settings: BenchmarkConfig, places: Collection[tuple[str, str]], expected: str) -> dict[str, str]:
    """Give the place of each topic wanted, sorted by topic."""
    by_topic: dict[str, str] = {}
    for topic, place in sorted(places):
        if settings.topics and topic not in settings.topics:
            continue
        if topic in by_topic:
            raise DataError(f"{by_topic[topic]} and {place} are of one topic, {topic}; name the folder of one of them")
        by_topic[topic] = place
    missing = [topic for topic in settings.topics if topic not in by_topic]
    if missing:
        raise DataError(f"{settings.path} has no {', '.join(expected.format(topic) for topic in missing)}")
    return by_topic


FAMILY = Family(
    name="mmlu",
    title="MMLU (test)",
    facts=FACTS,
    settings=("topics",),
    read=read,
)
