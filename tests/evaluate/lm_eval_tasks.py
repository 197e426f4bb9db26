"""lm-eval's own tasks, as their YAML says, on rows of ours: no hub is asked, and none of its 14,000 files listed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from med42lib.benchmarks.items import as_items
from med42lib.formats.records import BenchmarkItem
from med42lib.formats.rejects import Reject
from med42lib.readers.hf_layout import Rows
from med42lib.readers.parsers import Record
from med42lib.readers.publishers.headqa import headqa_rows_of_hub
from med42lib.readers.publishers.medmcqa import medmcqa_rows_of_hub
from med42lib.readers.publishers.medqa import medqa_rows_of_hub
from med42lib.readers.publishers.mmlu import mmlu_rows_of_hub
from med42lib.readers.publishers.pubmedqa import pubmedqa_rows_of_hub
from med42lib.readers.publishers.question import Question

TASKS = Path(lm_eval.tasks.__file__).parent
MMLU = TASKS / "mmlu" / "default"
YAML = {
    "headqa": TASKS / "headqa" / "headqa_en.yaml",
    "medmcqa": TASKS / "medmcqa" / "medmcqa.yaml",
    "medqa": TASKS / "medqa" / "medqa.yaml",
    "mmlu_anatomy": MMLU / "mmlu_anatomy.yaml",
    "mmlu_college_medicine": MMLU / "mmlu_college_medicine.yaml",
    "pubmedqa": TASKS / "pubmedqa" / "pubmedqa.yaml",
}
_ABSTRACT = {"contexts": ["Fever was treated.", "Aspirin was given: 37.5 °C."]}
_CHOICES = {"choices": ["Femur", "α-chain", "Vitamin K₁", "None"], "answer": 3}
_ANSWERS = [{"aid": n, "atext": text} for n, text in enumerate(["Zinc", "Copper, a metal", "Iron", "β"], start=1)]
HUB_ROWS: dict[str, tuple[Callable[[Rows], Iterator[Record[Question] | Reject]], list[dict[str, Any]]]] = {
    "headqa": (headqa_rows_of_hub, [{"name": "e", "qid": 1, "qtext": "Which metal?", "ra": 3, "answers": _ANSWERS}]),
    "medmcqa": (
        medmcqa_rows_of_hub,
        [{"id": "1", "question": "Which?", "opa": "x y", "opb": "z", "opc": "β", "opd": "all", "cop": 2, "exp": "No."}],
    ),
    "medqa": (
        medqa_rows_of_hub,
        [{"id": "1", "sent1": "A man coughs.", "sent2": "", "label": 1, **{f"ending{n}": f"o {n}" for n in range(4)}}],
    ),
    "mmlu_anatomy": (mmlu_rows_of_hub, [{"question": "Which bone? ", "subject": "anatomy", **_CHOICES}]),
    "mmlu_college_medicine": (
        mmlu_rows_of_hub,
        [{"question": "Which one?", "subject": "college_medicine", **_CHOICES}],
    ),
    "pubmedqa": (
        pubmedqa_rows_of_hub,
        [{"pubid": 1, "question": "Does it?", "context": _ABSTRACT, "long_answer": "No.", "final_decision": "no"}],
    ),
}
"""For each benchmark of which lm-eval has a task, its rows on the hub, and our reader of them."""


def hub_items(benchmark: str) -> list[BenchmarkItem]:
    """Read a benchmark's rows of the hub as the items that are scored."""
    read, rows = HUB_ROWS[benchmark]
    records = read(iter([Record("test.parquet", number, row) for number, row in enumerate(rows, start=1)]))
    return [item for item in as_items(benchmark, records) if isinstance(item, BenchmarkItem)]


def lm_eval_task_on(benchmark: str) -> ConfigurableTask:
    """Make lm-eval's task for a benchmark, as its YAML says, on the rows of the hub."""
    config = load_yaml(YAML[benchmark])
    for hub_only in ("dataset_path", "dataset_name", "tag", "task_alias", "training_split", "validation_split"):
        config.pop(hub_only, None)
    rows = HUB_ROWS[benchmark][1]
    documents = datasets.Dataset.from_list([_of_bigbio(row) if benchmark == "pubmedqa" else row for row in rows])
    config |= {"custom_dataset": lambda **_: {config["test_split"]: documents}, "num_fewshot": 0, "fewshot_split": None}
    return ConfigurableTask(config=config)


def requests_of(task: ConfigurableTask) -> list[tuple[str, str]]:
    """Give the prompts and continuations that lm-eval scores, option by option."""
    task.build_all_requests(rank=0, world_size=1)
    return [request.arguments for request in task.instances]


def _of_bigbio(row: dict[str, Any]) -> dict[str, Any]:
    """Lay a row of PubMedQA out as the hub's other copy, which lm-eval names, does."""
    names = {"CONTEXTS": row["context"]["contexts"], "QUESTION": row["question"]}
    return {**names, "final_decision": row["final_decision"]}
