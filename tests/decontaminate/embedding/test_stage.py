from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from med42lib.catalogue import STAGES
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.decontaminate.embedding.config import EmbedQuestionsConfig
from med42lib.decontaminate.embedding.encoder import Encoder
from med42lib.engine.runner import Request, Result, run_stage
from med42lib.formats.dataset import write_examples
from med42lib.formats.records import BenchmarkItem, Example, write_items
from med42lib.store.artifacts import Source
from med42lib.store.cache import StageCache

Run = Callable[..., dict[str, Result]]


@pytest.fixture
def run(
    tmp_path: Path,
    encoder: Path,
    example: Callable[..., Example],
    item: Callable[..., BenchmarkItem],
) -> Run:
    """Decontaminate a store's data in a number of shards; gives each stage's result."""
    for name in ("dataset", "items"):
        (tmp_path / name).mkdir()
    questions = [f"Is fever number {number} " + "a fever " * (number % 5) + "?" for number in range(20)]
    long = [f"Why is it {number}? " * 6 + "Is it fever?" for number in range(3)]
    write_examples(tmp_path / "dataset", [example(number, text) for number, text in enumerate([*questions, *long])])
    write_items(tmp_path / "items", [item(number, text) for number, text in enumerate(questions[::4])])
    inputs = {"dataset": str(tmp_path / "dataset"), "items": str(tmp_path / "items"), "encoder": str(encoder)}

    def call(store: str, **settings: Any) -> dict[str, Result]:
        config = DecontaminateConfig(**settings)
        found = {
            number: run_stage(STAGES["embed_questions"], Request(shard.model_dump(), str(tmp_path / store), inputs))
            for number, shard in config.embedding().items()
        }
        embedded = {number: result.targets["embedded"] for number, result in found.items()}
        request = Request(config.model_dump(), str(tmp_path / store), {**inputs, "embedded": embedded})
        return found | {"decontaminate": run_stage(STAGES["decontaminate"], request)}

    return call


def digests(result: Result) -> dict[str, str]:
    return {target: Source(address).digest for target, address in result.targets.items()}


def test_three_shards_find_the_same_to_the_byte_as_one_and_under_the_same_key(run: Run) -> None:
    alone, together = run("alone")["decontaminate"], run("together", shards=3)["decontaminate"]

    assert digests(together) == digests(alone)
    keys = [Path(result.targets["training"]).parts[-3] for result in (alone, together)]
    assert keys[0] == keys[1]
    metrics = [list(Source(result.targets["contamination"]).metrics()) for result in (alone, together)]
    assert [(point.key, point.value) for point in metrics[0]] == [(point.key, point.value) for point in metrics[1]]


def test_what_was_found_is_reused_with_another_number_of_shards(run: Run) -> None:
    run("store", shards=2)
    assert run("store")["decontaminate"].reused
    assert run("store", shards=3)["decontaminate"].reused


def test_each_shard_is_reused_by_itself(run: Run) -> None:
    first = run("store", shards=3)
    assert not any(result.reused for result in first.values())
    again = run("store", shards=3, threshold=0.7)
    assert {name for name, result in again.items() if result.reused} == {"1", "2", "3"}


def test_every_shard_has_some_of_the_questions_and_counts_them(run: Run) -> None:
    manifests = [Source(result.targets["embedded"]).manifest for n, result in run("s", shards=3).items() if n.isdigit()]
    rows = [manifest.rows or 0 for manifest in manifests if manifest]
    assert sum(rows) > 20
    assert min(rows) > 0


def test_a_shard_beyond_the_last_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be at most the number of shards, 2; it is 3"):
        EmbedQuestionsConfig(text="question", shard=3, shards=2)


def test_another_threshold_embeds_nothing_and_finds_what_a_new_store_would(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("store")
    expected = run("empty", threshold=0.7)
    monkeypatch.setattr(Encoder, "load", lambda _: pytest.fail("the encoder was loaded"))

    found = run("store", threshold=0.7)

    assert not found["decontaminate"].reused
    assert digests(found["decontaminate"]) == digests(expected["decontaminate"])


def test_what_shards_have_embedded_is_compared_without_loading_the_encoder(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("store", shards=2)
    monkeypatch.setattr(Encoder, "load", lambda _: pytest.fail("the encoder was loaded"))
    monkeypatch.setattr(StageCache, "open", lambda *_: pytest.fail("the cache was read"))

    assert not run("store", shards=2, threshold=0.7)["decontaminate"].reused


def test_shards_take_what_decontaminate_has_embedded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = run("store")["decontaminate"]
    monkeypatch.setattr(Encoder, "load", lambda _: pytest.fail("the encoder was loaded"))

    assert digests(run("store", shards=3)["decontaminate"]) == digests(alone)
