import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from med42lib.catalogue import STAGES
from med42lib.engine.runner import Request, Result, run_stage
from med42lib.evaluate import harness, loading
from med42lib.evaluate.answering.config import AnswerQuestionsConfig
from med42lib.evaluate.config import EvaluateConfig
from med42lib.formats.records import Asked, BenchmarkItem, Generation, read_items, write_items
from med42lib.store.artifacts import Source

Run = Callable[..., dict[str, Result]]
BY_TASK = Asked("Q: What is it?\nA: Zinc\n\nQ: Which bone is long?\nA:", " ", "bytes", 1)

WRITING = {"metric_list": [{"metric": "exact_match"}], "generation_kwargs": {"max_gen_toks": 5}}


@pytest.fixture
def items_folder(items: list[BenchmarkItem], make_item: Callable[..., BenchmarkItem], tmp_path: Path) -> Path:
    """Items of two benchmarks, one that is too long for the model, and two of a task with an example."""
    too_long = make_item("medqa", 9, "fever " * 300, ("a", "b", "c"))
    asked = [make_item("ward", n, "Which bone is long?", ("Femur", "Ulna, not so long")) for n in (1, 2)]
    by_task = [replace(item, asked=BY_TASK) for item in asked]
    (tmp_path / "items").mkdir()
    write_items(tmp_path / "items", [*items, too_long, *by_task])
    return tmp_path / "items"


@pytest.fixture
def run(items_folder: Path, base: Path, tmp_path: Path) -> Run:
    """Evaluate a model in a store, in a number of shards; gives each stage's result."""

    def call(store: str, model: Path = base, **settings: Any) -> dict[str, Result]:
        config = EvaluateConfig.model_validate({"scoring": "letters", "batch_size": 3, **settings})
        inputs = {"items": str(items_folder), "base": str(base), "model": str(model)}
        found = {
            name: run_stage(STAGES["answer_questions"], Request(shard.model_dump(), str(tmp_path / store), inputs))
            for name, shard in AnswerQuestionsConfig.of_all(config).items()
        }
        answers = {name: result.targets["answers"] for name, result in found.items()}
        request = Request(config.model_dump(), str(tmp_path / store), {**inputs, "answers": answers})
        return found | {"evaluate": run_stage(STAGES["evaluate"], request)}

    return call


def scores(found: dict[str, Result]) -> Source:
    return Source(found["evaluate"].targets["scores"])


def test_what_is_kept_meanwhile_lies_in_the_attempts_own_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no folder"))
    assert scores(run("store", shards=2)).files


@pytest.mark.parametrize("scoring", ["letters", "texts"])
def test_two_and_three_shards_score_the_same_to_the_byte_as_one_and_under_the_same_key(run: Run, scoring: str) -> None:
    alone, *together = (run(str(n), scoring=scoring, shards=n) for n in (1, 2, 3))
    for found in together:
        assert scores(found).digest == scores(alone).digest
        assert scores(found).path("scores.jsonl").read_bytes() == scores(alone).path("scores.jsonl").read_bytes()
        assert Path(scores(found).address).parts[-3] == Path(scores(alone).address).parts[-3]
    assert json.loads(scores(alone).path("summary.json").read_text())["medqa"]["truncated"] == 1


def test_an_adapter_is_answered_in_shards_too(run: Run, adapter: Path) -> None:
    alone, together = (run(str(n), adapter, scoring="texts", shards=n) for n in (1, 2))
    assert scores(together).digest == scores(alone).digest != scores(run("base", scoring="texts")).digest


def test_a_model_that_shares_no_prompts_is_answered_in_shards_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "can_share_prompts", lambda _: False)
    alone, together = (run(str(n), scoring="texts", shards=n) for n in (1, 2))
    assert scores(together).digest == scores(alone).digest
    assert all(Source(together[name].targets["answers"]).path("answers.jsonl").stat().st_size for name in "12")


def test_every_answer_is_one_shards_and_one_beyond_the_last_batch_has_none(run: Run) -> None:
    found = run("store", shards=5, batch_size=64)
    numbers = [
        [
            json.loads(line)[0]
            for line in Source(result.targets["answers"]).path("answers.jsonl").read_text().splitlines()
        ]
        for name, result in found.items()
        if name.isdigit()
    ]
    together = sorted(number for own in numbers for number in own)
    assert together == list(range(len(together)))
    # What fits is one batch, and what does not another.
    assert [bool(own) for own in numbers] == [True, True, False, False, False]


def test_what_was_scored_is_reused_with_another_number_of_shards_and_each_shard_by_itself(run: Run) -> None:
    run("store", shards=2)
    assert run("store")["evaluate"].reused
    assert run("store", shards=3)["evaluate"].reused
    assert all(result.reused for result in run("store", shards=2).values())
    assert not any(result.reused for result in run("store", shards=2, prompt="plain").values())


def test_another_batch_size_deals_other_batches_and_answers_anew(run: Run) -> None:
    run("store", shards=2, batch_size=3)
    again = run("store", shards=2, batch_size=2)
    assert [result.reused for result in again.values()] == [False, False, True]


def test_what_shards_have_answered_is_marked_without_loading_a_weight(
    run: Run, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = scores(run("store", adapter, shards=2)).digest
    shutil.rmtree(tmp_path / "store" / "evaluate")
    monkeypatch.setattr(loading, "load_weights", lambda *_, **__: pytest.fail("weights were loaded"))

    again = run("store", adapter, shards=2)

    assert [result.reused for result in again.values()] == [True, True, False]
    assert scores(again).digest == digest


def test_answers_that_the_model_writes_are_written_in_shards_too(
    run: Run, items_folder: Path, make_item: Callable[..., BenchmarkItem]
) -> None:
    def written(number: int) -> BenchmarkItem:
        writes = Generation(f"What prevents {'scurvy ' * number}?\nAnswer:", ("Vitamin C",), WRITING)
        return replace(make_item("diet", number, "What prevents it?", ()), gold=None, generation=writes)

    write_items(items_folder, [*read_items(items_folder), *map(written, (2, 4, 1, 3))])
    alone, together = (run(str(n), shards=n) for n in (1, 2))
    assert scores(together).digest == scores(alone).digest
    rows = [json.loads(line) for line in scores(alone).path("scores.jsonl").read_text().splitlines()[-4:]]
    assert len({row["generated"] for row in rows}) > 1
    shares = [Source(together[name].targets["answers"]).path("written.jsonl").read_text() for name in "12"]
    assert [[json.loads(line)[0] for line in share.splitlines()] for share in shares] == [[1, 3, 0], [2]]


def test_a_shard_beyond_the_last_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be at most the number of shards, 2; it is 3"):
        AnswerQuestionsConfig(scoring="letters", shard=3, shards=2)


def test_settings_of_shards_are_those_of_evaluate() -> None:
    own = {"medqa": {"scoring": "texts", "normalise": "none"}}
    config = EvaluateConfig.model_validate({"scoring": "letters", "benchmarks": own, "limit": 7, "shards": 2})
    assert AnswerQuestionsConfig.of_all(config)["2"].model_dump() == {
        **config.model_dump(exclude={"shards"}),
        "shard": 2,
        "shards": 2,
    }
    assert AnswerQuestionsConfig.of_all(config.model_copy(update={"shards": 1})) == {}
