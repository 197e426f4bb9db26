"""A task of lm-eval of the user's own, beside what lm-eval itself makes of the same files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lm_eval.evaluator import evaluate as run_lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.benchmarks.stage import benchmarks
from med42lib.engine.context import StageContext
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.stage import evaluate
from med42lib.formats.records import BenchmarkItem, read_items
from med42lib.formats.scores import METRIC_OF
from med42lib.store.artifacts import Source, Target

ROWS = [
    {"stem": "What prevents scurvy?", "a": ["Iron", "Vitamin C, 37.5 °C", "β"], "key": 1, "ward": "diet"},
    {"stem": "  Which bone </s> is long? ", "a": ["Femur", "none"], "key": 0, "ward": "bones"},
    {"stem": "2+2?", "a": ["four", "five", "6 or 7"], "key": 0, "ward": "sums"},
]
COMMON = {"dataset_path": "json", "test_split": "test", "output_type": "multiple_choice", "num_fewshot": 0}
LETTERED = "{{stem|trim}}\n{% for one in a %}{{'ABC'[loop.index0]}}. {{one}}\n{% endfor %}Answer:"
TASKS: dict[str, dict[str, Any]] = {
    "texts": {"doc_to_text": "stem", "doc_to_choice": "a", "doc_to_target": "key", "metric_list": ["acc_norm", "acc"]},
    "letters": {
        "description": "About {{ward}}.\n\n",
        "doc_to_text": LETTERED,
        "doc_to_choice": "{{['A', 'B', 'C'][:a|length]}}",
        "doc_to_target": "{{key}}",
        "metric_list": ["acc"],
    },
    "shown": {
        "description": "Answer.\n\n",
        "doc_to_text": LETTERED,
        "doc_to_choice": ["A", "B", "C"],
        "doc_to_target": "key",
        "num_fewshot": 2,
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "metric_list": ["acc"],
    },
    "delimited": {
        "doc_to_text": "Q: {{stem | regex_replace('bone', 'leg')}}\nA:",
        "doc_to_choice": "{{a}}",
        "doc_to_target": "{{a[key]}}",
        "target_delimiter": "\n",
        "metric_list": ["acc_bytes"],
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "dev.jsonl").write_text("".join(json.dumps({**row, "key": 1}) + "\n" for row in ROWS[::-1]))
    for name, task in TASKS.items():
        metrics = [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in task["metric_list"]]
        files = {"data_files": {"test": "rows.jsonl", "dev": "dev.jsonl"}}
        config = {"task": name, **COMMON, **task, "metric_list": metrics, "dataset_kwargs": files}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def own_items(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("items")
    include = {name: {"format": "lm_eval", "path": f"{name}.yaml", "licence": "ours"} for name in TASKS}
    benchmarks(BenchmarksConfig.model_validate({"include": include}), data=Source(str(data)), items=Target(folder))
    return folder


@pytest.fixture
def of_lm_eval(
    data: Path, base: Path, load: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[dict[str, Any]]]:
    """What lm-eval's own command would do, for the folder of the tasks: its samples by task, in the rows' order."""
    monkeypatch.chdir(data)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    model, tokenizer = load(base)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=3, softmax_dtype="float32")
    manager = TaskManager(include_path=str(data), include_defaults=False)
    loaded = manager.load(list(TASKS))
    samples: dict[str, list[dict[str, Any]]] = run_lm_eval(lm, loaded, bootstrap_iters=0)["samples"]
    return samples


def test_prompts_loglikelihoods_and_marks_are_those_of_lm_eval(
    own_items: Path,
    base: Path,
    tmp_path: Path,
    of_lm_eval: dict[str, list[dict[str, Any]]],
    settings: Callable[..., EvaluateConfig],
) -> None:
    model = Source(str(base))
    evaluate(
        settings(),
        items=Source(str(own_items)),
        base=model,
        model=model,
        answers={},
        scores=Target(tmp_path),
        context=StageContext.in_folder(tmp_path, "evaluate"),
    )
    items = list(read_items(own_items))
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    theirs = [row for name in sorted(TASKS) for row in sorted(of_lm_eval[name], key=lambda row: row["doc_id"])]
    for item, score, row in zip(items, scores, theirs, strict=True):
        assert item.asked is not None
        asked = [(item.asked.prompt, f"{item.asked.delimiter}{option}") for option in item.options]
        assert asked == [tuple(arguments) for arguments in row["arguments"]]
        np.testing.assert_allclose(score["loglikelihoods"], [number for number, _ in row["filtered_resps"]], atol=1e-4)
        assert score["correct"] == bool(row[METRIC_OF[item.asked.normalise]])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {name: (how["scoring"], how["normalise"], how["prompt"]) for name, how in summary.items()} == {
        "texts": ("texts", "characters", "the task's"),
        "letters": ("letters", "none", "the task's"),
        "shown": ("letters", "none", "the task's, 2 examples"),
        "delimited": ("texts", "bytes", "the task's"),
    }


def test_what_a_task_asks_is_compared_with_training_data_as_it_is_rendered(own_items: Path) -> None:
    items: list[BenchmarkItem] = list(read_items(own_items))
    assert next(item.question for item in items if item.benchmark == "letters") == (
        "What prevents scurvy?\nA. Iron\nB. Vitamin C, 37.5 °C\nC. β\nAnswer:"
    )
