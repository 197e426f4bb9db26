"""MMLU: one benchmark per topic, `mmlu_<topic>`. The paper scores six clinical topics, 1,089 questions.

`path` is a folder: the publisher's of `<topic>_test.csv`, or the hub's, in which each topic is a folder with a test
split. The hub's `all/`, which holds every topic once more, and `auxiliary_train/` are passed over.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Family, Questions
from med42lib.core.errors import DataError
from med42lib.core.files import DataFile, DataFolder
from med42lib.core.publishers.mmlu import mmlu_rows_of_hub, read_mmlu, topic_of
from med42lib.core.tables import SUFFIXES, split_of, table_rows

_NOT_TOPICS = ("all", "auxiliary_train")


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    """Read the test questions of every topic, or of those that the settings name.

    Raises:
        DataError: If a topic is missing, there is none at all, or there are two files of one topic.
    """
    if settings.layout == "huggingface":
        return _read_hub(folder, settings)
    by_topic = _by_topic(folder.files(settings.path, "*_test.csv"), settings.topics)
    _check_there(settings, by_topic, "{}_test.csv")
    return {f"mmlu_{topic}": read_mmlu(by_topic[topic]) for topic in sorted(by_topic)}


def _read_hub(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions]:
    topics = _topic_folders(folder, settings.path)
    _check_there(settings, topics, "{}/ with a test split")
    return {
        f"mmlu_{topic}": mmlu_rows_of_hub(table_rows(folder, topics[topic], splits=("test",)))
        for topic in sorted(topics)
        if not settings.topics or topic in settings.topics
    }


def _topic_folders(folder: DataFolder, path: str) -> dict[str, str]:
    """Find the folders that hold a test split; each has its topic's name."""
    names = [name for name in folder.names(path) if name.endswith(SUFFIXES)]
    parents = {PurePosixPath(name).parent for name in names if split_of(name, path) == "test"}
    topics = {parent.name: parent.as_posix() for parent in sorted(parents) if parent.name not in _NOT_TOPICS}
    if not topics:
        raise DataError(f"{folder.address}/{path} has no topic: expected folders such as anatomy/ with a test split")
    return topics


def _check_there(settings: BenchmarkConfig, there: Collection[str], expected: str) -> None:
    missing = [topic for topic in settings.topics if topic not in there]
    if missing:
        raise DataError(f"{settings.path} has no {', '.join(expected.format(topic) for topic in missing)}")


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
