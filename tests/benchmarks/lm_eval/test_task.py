"""A task of lm-eval of the user's own, through the stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.core.errors import DataError
from med42lib.formats.records import Asked, BenchmarkItem, read_items

WARD = {"format": "lm_eval", "path": "tasks/ward.yaml", "licence": "of the ward"}
TASK: dict[str, Any] = {
    "task": "ward",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "ward.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{stem}}\nAnswer:",
    "doc_to_choice": "options",
    "doc_to_target": "key",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
ROW = {"stem": "What prevents scurvy?", "options": ["Iron", "Vitamin C"], "key": 1, "explanation": "It is known."}


FIRST: dict[str, Any] = {
    "num_fewshot": 1,
    "fewshot_split": "dev",
    "fewshot_config": {"sampler": "first_n"},
    "dataset_kwargs": {"data_files": {"test": "ward.jsonl", "dev": "dev.jsonl"}},
}


@pytest.fixture
def ask(run: Any, write: Any) -> Any:
    """Run the stage on a task with some settings changed, or with YAML of its own, and rows."""

    def run_task(*rows: Any, yaml_text: str = "", **changes: Any) -> Path:
        write("tasks/ward.jsonl", list(rows) or [ROW])
        write("tasks/ward.yaml", (yaml_text or yaml.safe_dump({**TASK, **changes})).encode())
        folder: Path = run({"ward": WARD}, max_rejected_share=1.0)
        return folder

    return run_task


def items_of(folder: Path) -> list[BenchmarkItem]:
    return list(read_items(folder))


def reasons(folder: Path) -> list[str]:
    return [json.loads(line)["reason"] for line in (folder / "rejects.jsonl").read_text().splitlines()]


def test_a_row_is_asked_as_the_task_says_and_compared_by_its_rendered_question(ask: Any) -> None:
    (item,) = items_of(ask(description="About {{options[0]}}.\n", target_delimiter="\n"))
    assert item.question == "Question: What prevents scurvy?\nAnswer:"
    assert item.asked == Asked("About Iron.\nQuestion: What prevents scurvy?\nAnswer:", "\n", "none")
    assert (item.benchmark, item.options, item.gold) == ("ward", ("Iron", "Vitamin C"), 1)
    assert item.origin.file == "tasks/ward.jsonl"


@pytest.mark.parametrize("arguments", ["'s.urvy', 'gout', 1", "pattern='s.urvy', repl='gout', count=1"])
def test_a_template_replaces_by_regular_expression_with_the_parameters_of_lm_eval(ask: Any, arguments: str) -> None:
    (item,) = items_of(ask(doc_to_text=f"{{{{stem | regex_replace({arguments})}}}}"))
    assert item.question == "What prevents gout?"


def test_the_tasks_own_query_is_what_is_compared(ask: Any) -> None:
    query = {"doc_to_decontamination_query": "stem"}
    assert items_of(ask(should_decontaminate=True, **query))[0].question == "What prevents scurvy?"
    assert items_of(ask(should_decontaminate=False, **query))[0].question.startswith("Question:")


@pytest.mark.parametrize(
    ("metrics", "normalise"),
    [(["acc_norm", "acc"], "characters"), (["f1", "acc_bytes"], "bytes"), (["acc"], "none"), (None, "none")],
)
def test_the_first_metric_that_is_right_or_wrong_decides(ask: Any, metrics: list[str] | None, normalise: str) -> None:
    listed = metrics and [{"metric": name} for name in metrics]
    (item,) = items_of(ask(metric_list=listed))
    assert item.asked is not None
    assert item.asked.normalise == normalise


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({"doc_to_target": "{{key}}"}, {}),
        ({"doc_to_target": "{{options[key]}}"}, {}),
        ({"doc_to_target": "{{['A', 'B'][key]}}", "doc_to_choice": ["A", "B"]}, {}),
        ({"doc_to_choice": {"a": "A", "b": "B"}}, {}),
        ({"doc_to_choice": "{{[options[0], options[1]]}}"}, {}),
        ({"doc_to_target": 1}, {}),
        ({}, {"key": "Vitamin C"}),
        ({}, {"key": [1]}),
    ],
)
def test_options_and_answer_are_fields_templates_lists_or_numbers(
    ask: Any, changes: dict[str, Any], row: dict[str, Any]
) -> None:
    (item,) = items_of(ask({**ROW, **row}, **changes))
    assert item.gold == 1


def test_options_that_are_letters_alone_are_asked(ask: Any) -> None:
    (item,) = items_of(ask(doc_to_choice=["A", "B"]))
    assert item.options == ("A", "B")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"stem": " "}, None),
        ({"key": 2}, "the answer is outside the options"),
        ({"key": -1}, "the answer is outside the options"),
        ({"key": None}, "the answer is outside the options"),
        ({"key": "1"}, "the answer is outside the options"),
        ({"key": [0, 1]}, "several options are right, which is not supported"),
        ({"options": ["Iron"]}, "doc_to_choice gives no list of 2 to 26 options"),
        ({"options": "Iron"}, "doc_to_choice gives no list of 2 to 26 options"),
        ({"options": ["Iron", " "]}, "an option is blank or not text"),
        ({"options": ["Iron", "Iron"]}, "all options say the same"),
        ([1], "the record is not a JSON object"),
    ],
)
def test_a_broken_row_is_set_aside_and_the_rest_goes_on(ask: Any, row: Any, reason: str | None) -> None:
    folder = ask({**ROW, **row} if isinstance(row, dict) else row, ROW)
    assert reasons(folder) == ([reason] if reason else [])
    assert len(items_of(folder)) == 2 - bool(reason)


OPTIONAL = "{% if case %}{{case}}\n{% endif %}{{stem}}"


def test_a_field_that_only_some_rows_have_is_null_in_the_others(ask: Any) -> None:
    asked = [item.question for item in items_of(ask({**ROW, "case": "At sea."}, ROW, doc_to_text=OPTIONAL))]
    assert asked == ["At sea.\nWhat prevents scurvy?", "What prevents scurvy?"]


def test_a_field_that_no_example_has_is_null_in_them(ask: Any, write: Any) -> None:
    write("tasks/dev.jsonl", [ROW])
    (item,) = items_of(ask({**ROW, "case": "At sea."}, **FIRST, doc_to_text=OPTIONAL))
    assert item.asked is not None
    assert item.asked.prompt == "What prevents scurvy? Vitamin C\n\nAt sea.\nWhat prevents scurvy?"


@pytest.mark.parametrize("row", [{"options": ["a", "b"], "key": 1}, {**ROW, "stem": None}], ids=["missing", "null"])
def test_a_row_without_a_field_that_the_template_writes_is_set_aside(ask: Any, row: dict[str, Any]) -> None:
    folder = ask(row, ROW)
    assert reasons(folder) == ["doc_to_text cannot be rendered"]
    assert len(items_of(folder)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output_type": "generate_until"}, "doc_to_choice is for output_type multiple_choice"),
        ({"output_type": "loglikelihood_rolling"}, "output_type loglikelihood_rolling: only"),
        ({"metric_list": [{"metric": "f1"}]}, "metric_list has none of acc, acc_norm, acc_bytes"),
        ({"num_fewshot": 5}, "num_fewshot 5 of random examples: set fewshot_config.sampler to first_n"),
        ({"num_fewshot": "five"}, "num_fewshot five is no whole number"),
        ({"num_fewshot": 5, "fewshot_config": {"sampler": "first_n"}}, "fewshot_split None must be one of data_files"),
        ({**FIRST, "fewshot_split": "test"}, "fewshot_split test must be one of data_files, and not what is asked"),
        (
            {**FIRST, "fewshot_config": {"sampler": "first_n", "doc_to_text": "x"}},
            r"fewshot_config\.doc_to_text is not supported",
        ),
        ({"dataset_path": "cais/mmlu"}, "dataset_path cais/mmlu: the data must be files beside the task"),
        ({"dataset_kwargs": {"data_dir": "x"}}, "dataset_kwargs must have data_files and nothing else"),
        ({"dataset_kwargs": {"data_files": "a.jsonl", "trust_remote_code": True}}, "data_files and nothing else"),
        ({"test_split": "validation"}, "data_files has no split validation"),
        ({"doc_to_choice": None}, "doc_to_choice is missing"),
        ({"process_docs": "utils.f"}, "process_docs is not supported"),
        ({"filter_list": [{"name": "x"}]}, "filter_list is not supported"),
        ({"gen_prefix": "The"}, "gen_prefix is not supported"),
        ({"unsafe_code": True}, "unsafe_code is not supported"),
        ({"task": ["a", "b"]}, "task lists several tasks, as a group does"),
    ],
)
def test_a_task_that_cannot_be_compared_is_refused_by_name(ask: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"tasks/ward\.yaml cannot be scored: .*{message}"):
        ask(**changes)


def test_the_first_examples_stand_before_every_question_and_are_not_compared(ask: Any, write: Any) -> None:
    write("tasks/dev.jsonl", [{**ROW, "stem": "First?"}, {**ROW, "stem": "Second?"}])
    (item,) = items_of(ask(**FIRST, description="Answer.\n"))
    assert item.question == "Question: What prevents scurvy?\nAnswer:"
    assert item.asked is not None
    assert item.asked.prompt == f"Answer.\nQuestion: First?\nAnswer: Vitamin C\n\n{item.question}"
    assert item.asked.num_examples == 1


def test_too_few_or_broken_examples_are_refused(ask: Any, write: Any) -> None:
    write("tasks/dev.jsonl", [ROW, {**ROW, "key": 7}])
    with pytest.raises(DataError, match=r"dev\.jsonl:2 .* is broken: the answer is outside the options"):
        ask(**{**FIRST, "num_fewshot": 3})
    write("tasks/dev.jsonl", [ROW])
    with pytest.raises(DataError, match="num_fewshot is 3, but there are 1 examples"):
        ask(**{**FIRST, "num_fewshot": 3})


@pytest.mark.parametrize("name", ["doc_to_text", "doc_to_choice", "doc_to_target", "process_docs", "custom_dataset"])
def test_code_of_a_task_is_named_and_never_run(ask: Any, write: Any, tmp_path: Path, name: str) -> None:
    write("tasks/utils.py", f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f(*_): return 1\n".encode())
    task = {key: value for key, value in TASK.items() if key != name}
    with pytest.raises(DataError, match=rf"{name} is code \(!function utils\.f\), and no code of a task is run"):
        ask(yaml_text=f"{yaml.safe_dump(task)}\n{name}: !function utils.f\n")
    assert not (tmp_path / "ran").exists()


def test_code_inside_a_setting_is_named_too_with_what_to_do(ask: Any) -> None:
    task = {key: value for key, value in TASK.items() if key != "metric_list"}
    text = f"{yaml.safe_dump(task)}\nmetric_list: [{{metric: acc, aggregation: !function utils.f}}]\n"
    with pytest.raises(
        DataError, match=r"metric_list is code \(!function utils\.f\).* write it as a template, or prep"
    ):
        ask(yaml_text=text)


def test_code_of_a_metric_that_does_not_decide_is_not_run_and_does_not_matter(
    ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    task = {key: value for key, value in TASK.items() if key != "metric_list"}
    metrics = "[{metric: f1, aggregation: !function utils.f}, {metric: !function utils.g}, {metric: acc}]"
    assert items_of(ask(yaml_text=f"{yaml.safe_dump(task)}\nmetric_list: {metrics}\n"))
    assert "the metric 'f1' is not computed" in caplog.text
    assert "the metric '!function utils.g' is not computed" in caplog.text


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__ }}", "{{ stem.__init__.__globals__ }}", "{{ cycler.__init__.__globals__.os }}"],
)
def test_a_template_that_reaches_into_python_is_refused(ask: Any, template: str) -> None:
    with pytest.raises(DataError, match=r"tasks/ward\.yaml: doc_to_text reaches beyond the row"):
        ask(doc_to_text=template)


@pytest.mark.parametrize(
    "text",
    [
        *("!!python/object/apply:os.system [id]", "a: [", "- a list", "a: !unknown b"),
        *("metadata: 2024-13-45", "a: !!timestamp x", "a: !!bool maybe", f"metadata: {'[' * 3_000}{']' * 3_000}"),
        *("metadata: &a [*a]", "a: &a [1, 1]\nb: &b [*a, *a]\nmetadata: [*b, *b]", "a: &a {b: 1}\nmetadata: {<<: *a}"),
    ],
    ids=range(11),
)
def test_yaml_that_is_no_task_is_refused(ask: Any, text: str) -> None:
    with pytest.raises(DataError, match=r"tasks/ward\.yaml is not the YAML of a task"):
        ask(yaml_text=text)


def test_an_alias_of_a_plain_value_is_read(ask: Any) -> None:
    text = yaml.safe_dump({**TASK, "doc_to_text": "TEXT"}).replace("TEXT", "&text stem")
    (item,) = items_of(ask(yaml_text=f"{text}doc_to_decontamination_query: *text\n"))
    assert item.question == "What prevents scurvy?"


def test_a_template_that_is_none_is_named(ask: Any) -> None:
    with pytest.raises(DataError, match="doc_to_text is neither a field nor a template"):
        ask(doc_to_text="{{ stem")


def test_a_field_that_is_misspelt_is_not_asked_as_it_stands(ask: Any) -> None:
    with pytest.raises(DataError, match="doc_to_text is no field of the row, and no template"):
        ask(doc_to_text="steem")


@pytest.mark.parametrize("value", [7, [{"metric": ["acc"]}], {"a": 1}], ids=str)
@pytest.mark.parametrize("name", [*TASK, *FIRST, "description", "should_decontaminate", "include", "target_delimiter"])
def test_a_setting_of_another_kind_is_refused_or_has_its_meaning(ask: Any, write: Any, name: str, value: Any) -> None:
    write("tasks/dev.jsonl", [ROW])
    try:
        assert items_of(ask(**{**FIRST, name: value}))
    except DataError as error:
        assert "tasks/" in str(error) or "record" in str(error)  # noqa: PT017


def test_what_a_task_includes_lies_beneath_its_own_settings(ask: Any, write: Any) -> None:
    write("shared/_default", yaml.safe_dump({**TASK, "doc_to_text": "theirs", "target_delimiter": "-"}).encode())
    (item,) = items_of(ask(yaml_text="include: ../shared/_default\ndoc_to_text: 'Mine: {{stem}}'\n"))
    assert item.asked == Asked("Mine: What prevents scurvy?", "-", "none")


def test_a_task_that_includes_itself_is_refused(ask: Any) -> None:
    with pytest.raises(DataError, match=r"tasks/ward\.yaml includes itself"):
        ask(yaml_text="include: ward.yaml\n")


@pytest.mark.parametrize("place", ["/etc/passwd", "../../secrets.jsonl", "s3://bucket/x.jsonl"])
def test_files_outside_the_data_folder_are_refused(ask: Any, place: str) -> None:
    with pytest.raises(DataError, match="lies outside the data folder"):
        ask(dataset_kwargs={"data_files": {"test": place}})
    with pytest.raises(DataError, match="lies outside the data folder"):
        ask(yaml_text=f"include: {place}\n")


def test_a_table_of_texts_alone_is_refused_as_lm_eval_would_find_numbers_in_it(ask: Any, write: Any) -> None:
    write("tasks/ward.csv", b"stem,key\nWhich?,1\n")
    with pytest.raises(DataError, match=r"ward\.csv does not end in \.jsonl or \.json"):
        ask(dataset_kwargs={"data_files": {"test": "ward.csv"}})


@pytest.mark.parametrize("settings", [{"fields": {"question": "stem"}}, {"answers": "letter"}, {"topics": ["heart"]}])
def test_settings_of_other_formats_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} is not for"):
        BenchmarksConfig.model_validate({"include": {"ward": {**WARD, **settings}}})


def test_a_benchmarks_task_needs_a_licence() -> None:
    with pytest.raises(ValueError, match="licence is required"):
        BenchmarksConfig.model_validate({"include": {"ward": {**WARD, "licence": None}}})
