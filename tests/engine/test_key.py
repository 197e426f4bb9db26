from pathlib import Path

import pytest
from pydantic import BaseModel

from med42lib.core.config import StageConfig
from med42lib.engine import key as module
from med42lib.engine.key import code_hash, output_key
from med42lib.engine.stage import Stage


class Config(StageConfig):
    n: int = 1


STAGE = Stage("pack", "med42lib.core", "unused")


def a_key(stage: Stage = STAGE, config: BaseModel | None = None, **digests: str) -> str:
    settings = config if isinstance(config, StageConfig) else Config()
    return output_key(stage, settings, digests or {"data": "d"})


def test_equal_ingredients_make_the_same_key() -> None:
    assert a_key() == a_key()
    assert len(a_key()) == 16


def test_each_ingredient_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        a_key(),
        a_key(Stage("other", "med42lib.core", "unused")),
        a_key(config=Config(n=2)),
        a_key(data="e"),
        a_key(other="d"),
    }
    monkeypatch.setattr(module, "code_hash", lambda folder: "changed code")
    assert len(keys | {a_key()}) == 6


def test_code_is_hashed_by_source_not_by_compiled_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = code_hash(tmp_path)
    code_hash.cache_clear()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.cpython-311.pyc").write_bytes(b"x")
    assert code_hash(tmp_path) == before
    code_hash.cache_clear()
    (tmp_path / "a.py").write_text("x = 2")
    assert code_hash(tmp_path) != before
