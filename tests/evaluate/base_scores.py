"""A base model's scores, as the stage `evaluate` writes them."""

import json
from pathlib import Path
from typing import Any

from med42lib.engine.context import StageContext
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.stage import evaluate
from med42lib.store.artifacts import Source, Target


def evaluate_base(items: Path, base: Path, config: EvaluateConfig, folder: Path) -> Path:
    """Score a base model; gives where the files lie."""
    model, scores = Source(str(base)), folder / "scores"
    scores.mkdir()
    evaluate(
        config,
        items=Source(str(items)),
        base=model,
        model=model,
        answers={},
        scores=Target(scores),
        context=StageContext.in_folder(folder, "evaluate"),
    )
    return scores


def rows_in(scores: Path) -> list[dict[str, Any]]:
    """Read what `evaluate` wrote of each item."""
    return [json.loads(line) for line in (scores / "scores.jsonl").read_text().splitlines()]
