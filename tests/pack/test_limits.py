import json
from pathlib import Path

import pytest

from med42lib.core.errors import ConfigError, DataError
from med42lib.pack.limits import check_limits


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 512, "vocab_size": 1000}))
    return tmp_path


def test_what_the_model_can_take_passes(model: Path) -> None:
    check_limits(model, chunk_length=512, vocabulary_size=1000)


def test_chunks_longer_than_the_context_are_a_wrong_setting(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"pack\.chunk_length: must be at most 512, .* \(given: 513\)"):
        check_limits(model, chunk_length=513, vocabulary_size=1000)


def test_a_token_without_an_embedding_is_refused(model: Path) -> None:
    with pytest.raises(DataError, match="the tokenizer has 1,001 tokens but the model embeds 1,000"):
        check_limits(model, chunk_length=512, vocabulary_size=1001)


def test_what_is_not_stated_is_not_checked(tmp_path: Path) -> None:
    check_limits(tmp_path, chunk_length=10**6, vocabulary_size=10**6)
    (tmp_path / "config.json").write_text("{}")
    check_limits(tmp_path, chunk_length=10**6, vocabulary_size=10**6)


def test_a_broken_config_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vocab_size": ')
    with pytest.raises(DataError, match=r"config\.json is broken .* fetch the model again"):
        check_limits(tmp_path, chunk_length=8, vocabulary_size=8)
