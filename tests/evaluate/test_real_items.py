"""Publishers' own questions, mirrored by `benchmarks`, flow through `evaluate`."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.benchmarks.stage import benchmarks
from med42lib.evaluate.config import EvaluateConfig
from med42lib.formats.records import read_items
from med42lib.store.artifacts import Source, Target
from tests.evaluate.base_scores import evaluate_base, rows_in

PATHS = {
    "headqa": "headqa_en_test/test_HEAD_EN.json",
    "medmcqa": "medmcqa_val/dev.json",
    "medqa": "medqa_test/phrases_no_exclude_test.jsonl",
    "mmlu": "mmlu_clinical/test",
    "pubmedqa": "pubmedqa_test/test_set.json",
}


@pytest.fixture(scope="module")
def real_items(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five questions of each benchmark: HeadQA, MedMCQA, MedQA, PubMedQA and six topics of MMLU."""
    folder = tmp_path_factory.mktemp("items")
    include = {name: {"path": path, "limit": 5} for name, path in PATHS.items()}
    benchmarks(
        BenchmarksConfig.model_validate({"include": include, "max_rejected_share": 1.0}),
        data=Source(str(real_data / "eval")),
        items=Target(folder),
    )
    return folder


def test_five_questions_of_each_benchmark_are_scored(
    real_items: Path, base: Path, tmp_path: Path, settings: Callable[..., EvaluateConfig]
) -> None:
    config = settings(benchmarks={"headqa": {"scoring": "texts"}}, batch_size=16)
    scores = evaluate_base(real_items, base, config, tmp_path)
    items = list(read_items(real_items))
    rows = rows_in(scores)
    assert [row["item_id"] for row in rows] == [item.id for item in items]
    assert [len(row["loglikelihoods"]) for row in rows] == [len(item.options) for item in items]
    assert all(math.isfinite(number) for row in rows for number in row["loglikelihoods"])
    assert set(Counter(row["benchmark"] for row in rows).values()) == {5}
    summary = json.loads((scores / "summary.json").read_text())
    assert len(summary) == 10
    assert {name for name, values in summary.items() if values["scoring"] == "texts"} == {"headqa"}


def test_abstracts_that_do_not_fit_the_model_are_counted(
    real_items: Path, base: Path, tmp_path: Path, settings: Callable[..., EvaluateConfig]
) -> None:
    scores = evaluate_base(real_items, base, settings(), tmp_path)
    summary = json.loads((scores / "summary.json").read_text())
    metrics = {point.key: point.value for point in Source(str(scores)).metrics()}
    assert summary["pubmedqa"]["truncated"] == 5
    assert metrics["truncated_items"] == sum(values["truncated"] for values in summary.values())
