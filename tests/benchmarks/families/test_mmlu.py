from typing import Any

import pytest

from med42lib.core.errors import DataError

ROW = "Which?,a,b,c,d,A\n"


def test_every_topic_in_the_folder_is_a_benchmark(read: Any, write: Any) -> None:
    for name in ("virology_test.csv", "anatomy_test.csv", "anatomy_dev.csv", "notes.txt"):
        write(f"mmlu/test/{name}", ROW)
    found = read("mmlu", "mmlu/test")
    assert list(found) == ["mmlu_anatomy", "mmlu_virology"]
    assert [question.options[question.gold] for question in found["mmlu_anatomy"]] == ["a"]


def test_topics_name_those_to_read(read: Any, write: Any) -> None:
    for topic in ("anatomy", "virology"):
        write(f"mmlu/{topic}_test.csv", ROW)
    assert list(read("mmlu", "mmlu", topics=["virology"])) == ["mmlu_virology"]
    with pytest.raises(DataError, match=r"mmlu has no nutrition_test\.csv"):
        read("mmlu", "mmlu", topics=["virology", "nutrition"])


def test_two_files_of_one_topic_and_none_at_all_fail(read: Any, write: Any) -> None:
    write("mmlu/notes.txt", "")
    with pytest.raises(DataError, match=r"has no files \*_test\.csv"):
        read("mmlu", "mmlu")
    for folder in ("mmlu/a", "mmlu/b"):
        write(f"{folder}/anatomy_test.csv", ROW)
    with pytest.raises(DataError, match="two files of one topic"):
        read("mmlu", "mmlu")


@pytest.fixture
def hub(write_rows: Any) -> None:
    """Two topics as the hub has them, with their other splits and the folders that are no topics."""
    row = {"question": "Which?", "subject": "anatomy", "choices": ["a", "b", "c", "d"], "answer": 1}
    for name in ("anatomy/test", "anatomy/dev", "virology/test", "all/test", "auxiliary_train/train"):
        write_rows(f"mmlu/{name}-00000-of-00001.parquet", [{**row, "question": f"In {name}?"}])


@pytest.mark.usefixtures("hub")
def test_every_topic_folder_of_the_hub_with_a_test_split_is_a_benchmark(read: Any) -> None:
    found = read("mmlu", "mmlu", layout="huggingface")
    assert {name: [question.text for question in asked] for name, asked in found.items()} == {
        "mmlu_anatomy": ["In anatomy/test?"],
        "mmlu_virology": ["In virology/test?"],
    }
    assert found["mmlu_anatomy"][0].gold == 1


@pytest.mark.usefixtures("hub")
def test_topics_name_those_to_read_of_the_hub_too(read: Any) -> None:
    assert list(read("mmlu", "mmlu", layout="huggingface", topics=["virology"])) == ["mmlu_virology"]
    with pytest.raises(DataError, match="mmlu has no nutrition/ with a test split"):
        read("mmlu", "mmlu", layout="huggingface", topics=["nutrition"])
    with pytest.raises(DataError, match="has no topic"):
        read("mmlu", "mmlu/auxiliary_train", layout="huggingface")
