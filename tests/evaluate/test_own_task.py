"""A task of lm-eval of the user's own, beside what lm-eval itself makes of the same files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.models.huggingface import HFLM

from med42lib.evaluate.config import EvaluateConfig
from med42lib.formats.records import BenchmarkItem, read_items
from med42lib.formats.scores import METRIC_OF
from tests.evaluate.base_scores import evaluate_base, rows_in
from tests.evaluate.own_tasks import make_items, samples_of_lm_eval, write_tasks

ROWS = [
    {
        "stem": "What prevents scurvy?",
        "a": ["Iron", "Vitamin C, 37.5 °C", "β"],
        "key": 1,
        "ward": "diet",
        "ctx": "At sea.",
    },
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
        "doc_to_text": "{% if ctx %}{{ctx}}\n{% endif %}Q: {{stem | regex_replace(pattern='bone', repl='leg')}}\nA:",
        "doc_to_choice": "{{a}}",
        "doc_to_target": "{{a[key]}}",
        "target_delimiter": "\n",
        "metric_list": ["acc_bytes"],
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    tasks = {name: written(task) for name, task in TASKS.items()}
    write_tasks(folder, tasks, test=ROWS, dev=[{**row, "key": 1} for row in ROWS[::-1]])
    return folder


def written(task: dict[str, Any]) -> dict[str, Any]:
    metrics = [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in task["metric_list"]]
    return {**COMMON, **task, "metric_list": metrics}


@pytest.fixture(scope="module")
def own_items(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_items(tmp_path_factory.mktemp("items"), data, TASKS)


def test_prompts_loglikelihoods_and_marks_are_those_of_lm_eval(
    own_items: Path,
    data: Path,
    base: Path,
    tmp_path: Path,
    load: Callable[..., Any],
    settings: Callable[..., EvaluateConfig],
) -> None:
    model, tokenizer = load(base)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=3, softmax_dtype="float32")
    theirs = samples_of_lm_eval(lm, data, TASKS, tmp_path / "cache")
    folder = evaluate_base(own_items, base, settings(), tmp_path)
    scores = rows_in(folder)
    items = list(read_items(own_items))
    for item, score, row in zip(items, scores, theirs, strict=True):
        assert item.asked is not None
        asked = [(item.asked.prompt, f"{item.asked.delimiter}{option}") for option in item.options]
        assert asked == [tuple(arguments) for arguments in row["arguments"]]
        np.testing.assert_allclose(score["loglikelihoods"], [number for number, _ in row["filtered_resps"]], atol=1e-4)
        assert score["correct"] == bool(row[METRIC_OF[item.asked.normalise]])
    summary = json.loads((folder / "summary.json").read_text())
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
