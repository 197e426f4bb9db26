"""The same YAML files of tasks, asked by lm-eval itself and by the stages."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.evaluator import evaluate as run_lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.benchmarks.stage import benchmarks
from med42lib.store.artifacts import Source, Target

Rows = Sequence[Mapping[str, Any]]


def write_tasks(folder: Path, tasks: Mapping[str, Mapping[str, Any]], *, test: Rows, dev: Rows) -> None:
    """Write each task's YAML, and beside them the rows that all of them read."""
    for name, rows in (("rows.jsonl", test), ("dev.jsonl", dev)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = {"data_files": {"test": "rows.jsonl", "dev": "dev.jsonl"}}
    for name, task in tasks.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name, **task, "dataset_kwargs": files}))


def make_items(folder: Path, data: Path, tasks: Collection[str]) -> Path:
    """Make items of the tasks of a folder, as the stage `benchmarks` does; gives where they lie."""
    include = {name: {"format": "lm_eval", "path": f"{name}.yaml", "licence": "ours"} for name in tasks}
    benchmarks(BenchmarksConfig.model_validate({"include": include}), data=Source(str(data)), items=Target(folder))
    return folder


def samples_of_lm_eval(lm: HFLM, data: Path, tasks: Collection[str], cache: Path) -> list[dict[str, Any]]:
    """What lm-eval's own command would find for the folder of the tasks, in the order of the stages' items."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data)
        patch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
        loaded = TaskManager(include_path=str(data), include_defaults=False).load(list(tasks))
        samples = run_lm_eval(lm, loaded, bootstrap_iters=0)["samples"]
    return [row for name in sorted(tasks) for row in sorted(samples[name], key=lambda row: row["doc_id"])]
