import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from med42lib.decontaminate.embedding import kept as kept_module
from med42lib.decontaminate.embedding.encoder import Encoder
from med42lib.decontaminate.embedding.kept import embed_new
from med42lib.store import cache as store_cache
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.cache import StageCache
from tests.json_files import edit

TEXTS = [f"What is fever number {number} and why {'fever ' * (number % 4)}?" for number in range(12)]
MORE = ["Is this new?", "fever"]

Embed = Callable[..., NDArray[np.float32]]


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that encoders have embedded."""
    seen: list[str] = []
    original = Encoder.embed

    def embed(self: Encoder, texts: list[str], *rest: object) -> NDArray[np.float32]:
        seen.extend(texts)
        return original(self, texts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "embed", embed)
    return seen


@pytest.fixture
def embed(encoder: Path, tmp_path: Path) -> Embed:
    """Embed as one run does, each with a scratch folder of its own, with one store or another."""
    runs = iter(range(100))

    def run(texts: list[str], store: str = "store", stage: str = "decontaminate") -> NDArray[np.float32]:
        (tmp_path / store).mkdir(exist_ok=True)
        cache = StageCache(str(tmp_path / store), stage, tmp_path / "scratch" / str(next(runs)))
        return embed_new(texts, Source(str(encoder)), cache)

    return run


def stored(tmp_path: Path, pattern: str = "*") -> list[Path]:
    return [path for path in (tmp_path / "store/.cache/embeddings").rglob(pattern) if path.is_file()]


def test_a_source_added_embeds_only_what_is_new_and_gives_the_bits_of_a_run_without_cache(
    embed: Embed, embedded: list[str]
) -> None:
    embed(TEXTS)
    embedded.clear()

    found_TD = embed([*MORE, *TEXTS])

    assert sorted(embedded) == sorted(MORE)
    assert found_TD.tobytes() == embed([*MORE, *TEXTS], "empty").tobytes()


def test_with_nothing_new_the_encoder_is_not_loaded(embed: Embed, monkeypatch: pytest.MonkeyPatch) -> None:
    first_TD = embed(TEXTS)
    monkeypatch.setattr(Encoder, "load", lambda _: pytest.fail("the encoder was loaded"))

    assert embed(TEXTS[::-1]).tobytes() == first_TD[::-1].tobytes()


def test_what_one_stage_embedded_serves_the_other(embed: Embed, embedded: list[str]) -> None:
    embed(TEXTS, stage="embed_questions")
    embed(TEXTS, stage="decontaminate")
    assert len(embedded) == len(TEXTS)


def test_another_encoder_or_machine_shares_nothing(
    embed: Embed, embedded: list[str], encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(TEXTS)
    edit(encoder / "sentence_bert_config.json", max_seq_length=8)
    embed(TEXTS)
    monkeypatch.setattr(kept_module, "arithmetic", lambda: ("another processor",))
    embed(TEXTS)
    assert len(embedded) == 3 * len(TEXTS)


@pytest.mark.parametrize("file", ["vectors.npy", "texts.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other bytes"])
def test_a_damaged_file_is_noticed_and_made_again(
    embed: Embed, embedded: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, damage: str
) -> None:
    first_TD = embed(TEXTS)
    [path] = stored(tmp_path, file)
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-9] if damage == "cut" else content[:-9] + b"damaged!\n")

    with caplog.at_level(logging.WARNING):
        again_TD = embed(TEXTS)

    assert again_TD.tobytes() == first_TD.tobytes()
    assert len(embedded) == 2 * len(TEXTS)
    # Without its manifest a part was never finished, which is no damage.
    assert ("kept by an earlier run are made again" in caplog.text) == ((file, damage) != ("manifest.json", "missing"))
    embed(TEXTS)
    assert len(embedded) == 2 * len(TEXTS)


def test_runs_that_write_at_once_leave_a_whole_cache(
    embed: Embed, embedded: list[str], encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Runs are processes. Threads would load at once, and transformers, which takes `tie_weights` off its class while it
    # loads, would then leave it off for all later tests.
    model = Encoder.load(encoder)
    monkeypatch.setattr(Encoder, "load", lambda _: model)
    barrier = threading.Barrier(3)
    original = StageCache.keep

    def keep(self: StageCache, key: str) -> Path:
        barrier.wait(300)
        return original(self, key)

    monkeypatch.setattr(StageCache, "keep", keep)
    found: dict[int, NDArray[np.float32]] = {}
    asked = {0: TEXTS, 1: TEXTS, 2: [*TEXTS[6:], *MORE]}

    def run(number: int) -> None:
        found[number] = embed(asked[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    embedded.clear()

    together = embed([*TEXTS, *MORE])

    assert embedded == []
    assert found[0].tobytes() == found[1].tobytes() == together[: len(TEXTS)].tobytes()
    assert found[2].tobytes() == together[6:].tobytes()


def test_a_run_that_is_killed_has_kept_the_parts_that_it_finished(
    embed: Embed, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "TEXTS_PER_PART", 5)
    counting = Encoder.embed

    def dies(self: Encoder, texts: list[str], *rest: object) -> NDArray[np.float32]:
        if len(embedded) >= 10:
            raise KeyboardInterrupt
        return counting(self, texts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "embed", dies)
    with pytest.raises(KeyboardInterrupt):
        embed(TEXTS)
    monkeypatch.setattr(Encoder, "embed", counting)

    found_TD = embed(TEXTS)

    assert len(embedded) == len(TEXTS)
    assert found_TD.tobytes() == embed(TEXTS, "empty").tobytes()


def test_all_parts_together_stay_below_the_limit_and_what_a_run_does_not_use_goes_first(
    embed: Embed, embedded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_cache, "SECONDS_UNTIL_WHOLE", -1)
    embed(TEXTS[:4])
    embed(TEXTS[4:8])
    limit = sum(path.stat().st_size for path in stored(tmp_path))
    monkeypatch.setattr(kept_module, "MOST_BYTES", limit)

    embed([*TEXTS[:4], *TEXTS[8:]])

    assert sum(path.stat().st_size for path in stored(tmp_path)) <= limit
    embedded.clear()
    embed(TEXTS)
    assert sorted(embedded) == sorted(TEXTS[4:8])


def test_where_there_is_no_room_nothing_is_kept(
    embed: Embed, embedded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "MOST_BYTES", 100)
    assert embed(TEXTS).tobytes() == embed(TEXTS).tobytes()
    assert stored(tmp_path) == []
    assert len(embedded) == 2 * len(TEXTS)


@pytest.mark.slow
def test_in_a_bucket_parts_are_found_again_and_a_damaged_or_vanished_file_is_made_again(
    bucket: str, encoder: Path, embedded: list[str], tmp_path: Path
) -> None:
    store = open_store(f"s3://{bucket}/prefix")
    runs = iter(range(10))

    def run(texts: list[str]) -> NDArray[np.float32]:
        cache = StageCache(store.address, "decontaminate", tmp_path / str(next(runs)))
        return embed_new(texts, Source(str(encoder)), cache)

    first_TD = run(TEXTS)
    assert run([*TEXTS, *MORE])[: len(TEXTS)].tobytes() == first_TD.tobytes()
    assert len(embedded) == len(TEXTS) + len(MORE)

    names = [name for name in store.files(".cache/embeddings") if name.endswith("vectors.npy")]
    store.delete(names[0])
    (tmp_path / "other").write_bytes(b"other bytes")
    store.put(names[1], tmp_path / "other")
    assert run(TEXTS).tobytes() == first_TD.tobytes()
    embedded.clear()
    assert run(TEXTS).tobytes() == first_TD.tobytes()
    assert embedded == []
