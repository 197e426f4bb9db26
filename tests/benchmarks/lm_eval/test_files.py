"""A folder of tasks of lm-eval, and a group, through the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.core.errors import DataError
from med42lib.formats.records import read_items

TEMPLATE = {
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "stem",
    "doc_to_choice": ["yes", "no"],
    "doc_to_target": 0,
    "metric_list": [{"metric": "acc"}],
}


@pytest.fixture
def tasks(run: Any, write: Any) -> Any:
    """Write a folder as lm-eval's own are: a template, two tasks, a group; and read a path of it."""

    def read(path: str, **files: Any) -> list[tuple[str, str, str]]:
        written: dict[str, Any] = {
            "_ward_yaml": TEMPLATE,
            "ward_b.yaml": task("b"),
            "ward_a.yaml": task("a", task_alias="Ward A", tag="surgical"),
            "ward.yaml": {"group": "ward", "task": ["ward_b", "ward_a"]},
            **files,
        }
        for name, settings in written.items():
            if settings is not None:
                write(f"tasks/{name}", yaml.safe_dump(settings).encode())
        for name in "abc":
            write(f"tasks/{name}.jsonl", [{"stem": f"Is it {name}?"}])
        out: Path = run({"wards": {"format": "lm_eval", "path": path, "licence": "ours"}})
        return [(item.benchmark, item.subject, item.question) for item in read_items(out)]

    return read


def task(name: str, **settings: Any) -> dict[str, Any]:
    files = {"data_files": {"test": f"{name}.jsonl"}}
    return {"include": "_ward_yaml", "task": f"ward_{name}", "dataset_kwargs": files, **settings}


A, B = ("wards", "Ward A", "Is it a?"), ("wards", "ward_b", "Is it b?")


def test_the_tasks_of_a_folder_are_the_subjects_of_one_benchmark(tasks: Any) -> None:
    below = {"below/ward_c.yaml": task("c", include="../_ward_yaml")}
    assert tasks("tasks", **below) == [A, B]


def test_a_group_has_the_tasks_that_it_lists_in_their_order(tasks: Any) -> None:
    assert tasks("tasks/ward.yaml", **{"ward_c.yaml": task("c")}) == [B, A]


def test_a_group_may_list_groups_and_tags_and_nothing_is_read_twice(tasks: Any) -> None:
    listed = {"group": "all", "task": ["surgical", "ward", "ward_a"]}
    assert tasks("tasks/all.yaml", **{"all.yaml": listed}) == [A, B]


def test_a_group_may_call_a_task_otherwise(tasks: Any) -> None:
    listed = {"group": "ward", "task": [{"task": "ward_b", "task_alias": "Ward B"}, "ward_a"]}
    assert tasks("tasks/ward.yaml", **{"ward.yaml": listed}) == [("wards", "Ward B", "Is it b?"), A]


def test_a_task_by_itself_has_the_subjects_of_its_rows(tasks: Any) -> None:
    assert tasks("tasks/ward_a.yaml") == [("wards", "", "Is it a?")]


def test_a_file_that_is_no_task_is_passed_over_and_named(tasks: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert tasks("tasks", **{"common.yaml": TEMPLATE}) == [A, B]
    assert "tasks/common.yaml is passed over: it has no `task`" in caplog.text


def test_an_average_that_is_not_made_here_is_named(tasks: Any, caplog: pytest.LogCaptureFixture) -> None:
    means = [{"metric": "acc", "weight_by_size": False}]
    tasks("tasks/ward.yaml", **{"ward.yaml": {"group": "ward", "task": ["ward_a"], "aggregate_metric_list": means}})
    assert "tasks/ward.yaml: weight_by_size is not heeded" in caplog.text


@pytest.mark.parametrize(
    ("path", "files", "message"),
    [
        ("tasks/ward.yaml", {"ward.yaml": {"group": "ward", "task": ["ward_d"]}}, r"tasks/ward\.yaml lists 'ward_d'"),
        (
            "tasks/ward.yaml",
            {"ward.yaml": {"group": "ward", "task": [{"task": "ward_a", "num_fewshot": 2}]}},
            r"tasks/ward\.yaml lists .*: give it a file of its own",
        ),
        (
            "tasks/ward.yaml",
            {"ward.yaml": {"group": "ward", "task": ["ward_a"], "num_fewshot": 2}},
            r"tasks/ward\.yaml: num_fewshot in a group is not supported: write it into its tasks",
        ),
        ("tasks/ward.yaml", {"ward.yaml": {"group": "ward", "task": ["ward"]}}, r"tasks/ward\.yaml lists itself"),
        ("tasks/ward.yaml", {"ward.yaml": {"group": "ward", "task": []}}, r"tasks/ward\.yaml lists no task"),
        ("tasks", {"again.yaml": task("a")}, r"tasks/again\.yaml and tasks/ward_a\.yaml are both the task 'ward_a'"),
        ("tasks/ward.yaml", {"again.yaml": task("a")}, r"tasks/again\.yaml and tasks/ward_a\.yaml are both the task"),
        ("tasks", {"ward_a.yaml": task("a", process_docs="f")}, r"tasks/ward_a\.yaml cannot be scored: process_docs"),
        (
            "tasks",
            {"ward_b.yaml": task("b", target_delimiter="", metric_list=[{"metric": "acc_norm"}])},
            r"tasks/ward_b\.yaml has another target_delimiter and another metric_list than tasks/ward_a\.yaml",
        ),
        ("tasks", {"ward_b.yaml": task("b", output_type="generate_until")}, "doc_to_choice is for"),
        ("nowhere", {}, "nowhere"),
        ("tasks/below", {"below/x.yaml": {"group": "x", "task": "ward_a"}}, r"tasks/below holds no task: exp"),
    ],
)
def test_what_cannot_be_one_benchmark_is_refused_with_its_file(
    tasks: Any, path: str, files: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        tasks(path, **files)


def test_all_problems_of_a_folder_are_named_together(tasks: Any) -> None:
    broken = {"ward_a.yaml": task("a", process_docs="f"), "ward_b.yaml": task("b", output_type="loglikelihood")}
    with pytest.raises(DataError, match=r"(?s)ward_a\.yaml cannot be scored.*ward_b\.yaml cannot be scored"):
        tasks("tasks", **broken)
