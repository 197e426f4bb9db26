from collections.abc import Callable
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.evaluate.answering.shards import ShardAnswers, work_of, write_shard
from med42lib.evaluate.answers import Answered, Answers, Request
from med42lib.evaluate.config import EvaluateConfig
from med42lib.store.artifacts import Source

REQUESTS = [Request((1, 2), (number,)) for number in range(5)]
ANSWERS = {request: Answered(-1.5 * number, number == 2) for number, request in enumerate(REQUESTS)}
WRITTEN = {0: "Zinc\n", 1: "", 2: "β"}
Shards = Callable[..., dict[str, Source]]


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """Write the answers in a number of shards."""

    def write(count: int) -> dict[str, Source]:
        for number in range(count):
            (tmp_path / str(number)).mkdir()
            own = {request: ANSWERS[request] for request in REQUESTS[number::count]}
            written = {prompt: WRITTEN[prompt] for prompt in list(WRITTEN)[number::count]}
            write_shard(tmp_path / str(number), Answers(REQUESTS, own, written), work="w")
        return {str(number): Source(str(tmp_path / str(number))) for number in range(count)}

    return write


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_shards_hands_over_all_answers(shards: Shards, count: int) -> None:
    answers = ShardAnswers(shards(count), work="w")
    assert (answers.read(REQUESTS), answers.written(3)) == (ANSWERS, WRITTEN)


def test_a_shard_that_is_missing_is_noticed(shards: Shards) -> None:
    given = shards(3)
    del given["1"]
    with pytest.raises(DataError, match="2 shards hold 3 answers to 5 requests; give each shard's once"):
        ShardAnswers(given, work="w").read(REQUESTS)
    with pytest.raises(DataError, match="2 shards hold 2 answers to 3 requests; give each shard's once"):
        ShardAnswers(given, work="w").written(3)


def test_a_shard_that_is_given_twice_in_place_of_another_is_noticed(shards: Shards) -> None:
    given = shards(2)
    with pytest.raises(DataError, match="2 shards hold 6 answers to 5 requests; give each shard's once"):
        ShardAnswers({"0": given["0"], "1": given["0"]}, work="w").read(REQUESTS)


def test_answers_to_something_else_are_refused(shards: Shards) -> None:
    with pytest.raises(DataError, match="holds answers to other questions, of another model, or asked in another way"):
        ShardAnswers(shards(2), work="v").read(REQUESTS)


@pytest.mark.parametrize("file", ["answers.jsonl", "written.jsonl", "shard.json"])
def test_a_broken_or_missing_file_is_named(shards: Shards, tmp_path: Path, file: str) -> None:
    def read(given: dict[str, Source]) -> object:
        answers = ShardAnswers(given, work="w")
        return answers.written(3) if file == "written.jsonl" else answers.read(REQUESTS)

    given = shards(2)
    (tmp_path / "1" / file).write_text("broken")
    with pytest.raises(DataError, match=rf"1/{file}.* (is broken|is no answer)"):
        read(given)
    (tmp_path / "1" / file).unlink()
    with pytest.raises(DataError, match=f"has no '{file}'"):
        read({"1": Source(str(tmp_path / "1"))})


@pytest.mark.parametrize(
    ("changed", "place"),
    [({"scoring": "texts"}, ""), ({"precision": "bfloat16"}, ""), ({}, "items"), ({}, "base"), ({}, "model")],
)
def test_the_work_is_another_with_another_model_or_item_or_way_of_asking(
    changed: dict[str, str], place: str, tmp_path: Path
) -> None:
    for name in ("items", "base", "model", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)

    def work(changed: dict[str, str], place: str = "") -> str:
        given = {
            name: Source(str(tmp_path / ("other" if name == place else name))) for name in ("items", "base", "model")
        }
        return work_of(EvaluateConfig.model_validate({"scoring": "letters", **changed}), **given)

    assert work(changed, place) != work({}) == work({"shards": 4})
