"""The name of an output: what it was made of, never where, when or by whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from med42lib.core.config import StageConfig
from med42lib.engine.stage import Stage
from med42lib.store.manifest import describe_file

KEY_DIGITS = 16


def output_key(stage: Stage, config: StageConfig, input_digests: Mapping[str, str]) -> str:
    """Hash what determines a stage's output to 16 hexadecimal digits.

    That is its name, its own settings, the source code of its package and of `core`, and the content digests
    of its inputs. No address, time or host enters.
    """
    ingredients = {
        "stage": stage.name,
        "config": config.canonical_json(),
        "code": [code_hash(stage.folder), code_hash(Path(__file__).parent)],
        "inputs": dict(input_digests),
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]


@cache
def code_hash(folder: Path) -> str:
    """Hash the source files of a package, compiled files aside."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    lines = [f"{path.relative_to(folder).as_posix()} {describe_file(path, path.name).sha256}" for path in paths]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
