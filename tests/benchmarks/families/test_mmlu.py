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
    both = r"mmlu/a/anatomy_test\.csv and mmlu/b/anatomy_test\.csv are of one topic, anatomy"
    with pytest.raises(DataError, match=both):
        read("mmlu", "mmlu")


def test_a_question_is_about_its_topic(read: Any, write: Any) -> None:
    write("mmlu/college_biology_test.csv", ROW)
    write("hub/college_biology/test.parquet", [HUB_ROW])
    (published,), (of_hub,) = (
        read("mmlu", path, layout=layout)["mmlu_college_biology"]
        for path, layout in (("mmlu", "publisher"), ("hub", "huggingface"))
    )
    assert published.subject == of_hub.subject == "college biology"


HUB_ROW = {"question": "Which?", "subject": "anatomy", "choices": ["a", "b", "c", "d"], "answer": 1}


@pytest.fixture(params=["-00000-of-00001.parquet", "/0000.parquet"])
def hub(write: Any, request: pytest.FixtureRequest) -> None:
    """Two topics as the hub has them, with their other splits and the folders that are no topics."""
    for name in ("anatomy/test", "anatomy/dev", "virology/test", "all/test", "auxiliary_train/train"):
        write(f"mmlu/{name}{request.param}", [{**HUB_ROW, "question": f"In {name}?"}])


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


def test_two_folders_of_one_topic_fail_unless_it_is_not_wanted(read: Any, write: Any) -> None:
    for place in ("a/anatomy", "b/anatomy/test", "b/virology"):
        write(f"mmlu/{place}/test.parquet", [HUB_ROW])
    with pytest.raises(DataError, match="mmlu/a/anatomy and mmlu/b/anatomy are of one topic, anatomy"):
        read("mmlu", "mmlu", layout="huggingface")
    assert list(read("mmlu", "mmlu", layout="huggingface", topics=["virology"])) == ["mmlu_virology"]


@pytest.mark.parametrize("name", ["test.parquet", "test/0000.parquet"])
def test_a_test_split_outside_any_folder_is_no_topic(read: Any, write: Any, name: str) -> None:
    write(name, [HUB_ROW])
    with pytest.raises(DataError, match="has no topic"):
        read("mmlu", ".", layout="huggingface")
