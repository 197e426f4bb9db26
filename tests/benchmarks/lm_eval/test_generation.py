"""A task of lm-eval whose answers the model writes, through the stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from med42lib.core.errors import DataError
from med42lib.formats.records import BenchmarkItem, Generation, read_items

WARD = {"format": "lm_eval", "path": "tasks/ward.yaml", "licence": "of the ward"}
TASK: dict[str, Any] = {
    "task": "ward",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "ward.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "Question: {{stem}}\nAnswer:",
    "doc_to_target": "key",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 16, "do_sample": False, "temperature": 0.0},
    "filter_list": [
        {"name": "letter", "filter": [{"function": "regex", "regex_pattern": "[A-D]"}, {"function": "take_first"}]}
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True}],
}
ROW = {"stem": "What prevents scurvy?", "key": "Vitamin C", "subject": "diet"}


@pytest.fixture
def ask(run: Any, write: Any) -> Any:
    """Run the stage on a task with some settings changed, or left out where None, and rows."""

    def run_task(*rows: Any, **changes: Any) -> Path:
        write("tasks/ward.jsonl", list(rows) or [ROW])
        task = {name: value for name, value in {**TASK, **changes}.items() if value is not None}
        write("tasks/ward.yaml", yaml.safe_dump(task).encode())
        folder: Path = run({"ward": WARD}, max_rejected_share=1.0)
        return folder

    return run_task


def item_of(folder: Path) -> BenchmarkItem:
    (item,) = read_items(folder)
    return item


def test_a_row_has_a_prompt_and_right_answers_and_no_options(ask: Any) -> None:
    folder = ask(description="Answer.\n")
    item = item_of(folder)
    assert (item.options, item.gold, item.right, item.asked, item.subject) == ((), None, (), None, "diet")
    assert item.question == "Question: What prevents scurvy?\nAnswer:"
    assert item.generation == Generation(
        f"Answer.\n{item.question}",
        ("Vitamin C",),
        {
            "metric_list": TASK["metric_list"],
            "fewshot_delimiter": "\n\n",
            "generation_kwargs": TASK["generation_kwargs"],
            "filter_list": TASK["filter_list"],
        },
    )
    summary = json.loads((folder / "summary.json").read_text())["ward"]
    assert (summary["items"], summary["items_by_num_options"], summary["right_option_twice"]) == (1, {}, 0)


@pytest.mark.parametrize(
    ("target", "value", "answers"),
    [
        ("key", "Vitamin C", ("Vitamin C",)),
        ("key", 4, ("4",)),
        ("key", ["a", "b "], ("a", "b ")),
        ("{{key}}", 4, ("4",)),
        ("{{key}}", "007", ("007",)),
        ("{{key}}", ["a", "b"], ("a", "b")),
        ("{{key}}", "[not a list]", ("[not a list]",)),
        ("key", "[1]", ("[1]",)),
        (7, "", ("7",)),
    ],
)
def test_right_answers_are_what_lm_eval_compares_with(
    ask: Any, target: Any, value: Any, answers: tuple[str, ...]
) -> None:
    generation = item_of(ask({**ROW, "key": value}, doc_to_target=target)).generation
    assert generation is not None
    assert generation.answers == answers


@pytest.mark.parametrize("value", [None, " ", True, 2.5, [], [1], ["a", ""], {"a": "b"}], ids=repr)
def test_a_row_whose_answer_is_no_text_is_set_aside(ask: Any, value: Any) -> None:
    folder = ask({**ROW, "key": value}, ROW)
    (reject,) = map(json.loads, (folder / "rejects.jsonl").read_text().splitlines())
    assert reject["reason"] == "doc_to_target gives no text, whole number or list of texts"
    assert item_of(folder).right_answers == ("Vitamin C",)


def test_examples_stand_before_the_question_with_their_first_right_answer(ask: Any, write: Any) -> None:
    write("tasks/dev.jsonl", [{"stem": "First?", "key": ["one", "1"]}])
    item = item_of(
        ask(
            dataset_kwargs={"data_files": {"test": "ward.jsonl", "dev": "dev.jsonl"}},
            num_fewshot=1,
            fewshot_split="dev",
            fewshot_config={"sampler": "first_n"},
        )
    )
    assert item.generation is not None
    assert item.generation.prompt == f"Question: First?\nAnswer: one\n\n{item.question}"
    assert item.generation.num_examples == 1


def test_lm_evals_defaults_are_left_to_lm_eval(ask: Any) -> None:
    names = ("output_type", "generation_kwargs", "filter_list", "metric_list")
    generation = item_of(ask(**dict.fromkeys(names))).generation
    assert generation is not None
    assert generation.settings == {"metric_list": [{"metric": "exact_match"}], "fewshot_delimiter": "\n\n"}


def test_what_does_not_decide_is_named(ask: Any, caplog: pytest.LogCaptureFixture) -> None:
    other = {"name": "loose", "filter": [{"function": "multi_choice_regex"}]}
    generation = item_of(
        ask(filter_list=[*TASK["filter_list"], other], metric_list=[{"metric": "bleu"}, {"metric": "exact_match"}])
    ).generation
    assert generation is not None
    assert generation.settings["filter_list"] == TASK["filter_list"]
    assert generation.settings["metric_list"] == [{"metric": "exact_match"}]
    assert "the metric 'bleu' is not computed" in caplog.text
    assert "the filter 'loose' is not applied; the first one decides" in caplog.text


def steps(*functions: dict[str, Any]) -> dict[str, Any]:
    return {"filter_list": [{"name": "x", "filter": list(functions)}]}


FIRST = {"function": "take_first"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric_list": [{"metric": "bleu"}, {"metric": "rouge"}]}, "metric_list has bleu, rouge: exact_match, once"),
        ({"metric_list": [{"metric": "exact_match"} for _ in range(2)]}, "metric_list has exact_match, exact_match"),
        ({"metric_list": [{"metric": "exact_match", "hf_evaluate": True}]}, "exact_match.hf_evaluate is not supported"),
        ({"metric_list": [{"metric": "exact_match", "aggregation": "median"}]}, "aggregation median: only the mean"),
        ({"metric_list": [{"metric": "exact_match", "ignore_case": "no"}]}, "ignore_case 'no' is neither true nor"),
        ({"metric_list": [{"metric": "exact_match", "regexes_to_ignore": ["("]}]}, "no list of regular expressions"),
        ({"metric_list": [{"metric": "exact_match", "regexes_to_ignore": "a"}]}, "no list of regular expressions"),
        ({"generation_kwargs": {"do_sample": True}}, "generation_kwargs draws answers at random .*do_sample: false"),
        ({"generation_kwargs": {"temperature": 0.7}}, "generation_kwargs draws answers at random"),
        ({"generation_kwargs": {"top_p": 0.9}}, r"generation_kwargs\.top_p is not supported"),
        ({"generation_kwargs": {"until": [""]}}, "until .* is neither a text nor a list of texts"),
        ({"generation_kwargs": {"max_gen_toks": 0}}, "max_gen_toks 0 is no whole number from 1"),
        ({"generation_kwargs": "greedy"}, "generation_kwargs is no mapping"),
        ({"repeats": 5}, "repeats 5: an answer that is not drawn is the same every time"),
        ({"doc_to_choice": ["A", "B"]}, "doc_to_choice is for output_type multiple_choice: write the answer's text"),
        ({"doc_to_target": None}, "doc_to_target is missing"),
        ({"process_results": "x"}, "process_results is not supported"),
        (steps({"function": "custom", "filter_fn": "f"}, FIRST), "custom is not supported; there are lowercase, regex"),
        (steps({"function": ["regex"]}, FIRST), "is not supported; there are"),
        (steps({"function": "lowercase"}), "must end with take_first"),
        (steps(FIRST, {"function": "lowercase"}), "must end with take_first"),
        (steps({"function": "lowercase", "x": 1}, FIRST), r"lowercase\.x is no setting of this filter"),
        (steps({"function": "regex", "regex_pattern": "("}, FIRST), "regex_pattern '.' is no regular expression"),
        (steps({"function": "regex", "group_select": 2}, FIRST), "group_select must be 0 or -1"),
        (steps({"function": "regex", "fallback": 2}, FIRST), "fallback 2 is no text"),
        ({"filter_list": [{"name": "x"}]}, "which is no name with a list of functions"),
        ({"filter_list": "regex"}, "filter_list is no list"),
    ],
)
def test_what_cannot_be_generated_and_judged_so_is_refused_by_name(
    ask: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=rf"tasks/ward\.yaml cannot be scored: .*{message}"):
        ask(**changes)


@pytest.mark.parametrize("value", [7, "x", [{"a": ["b"]}], {"a": 1}], ids=str)
@pytest.mark.parametrize("name", ["generation_kwargs", "filter_list", "metric_list", "repeats", "fewshot_delimiter"])
def test_a_setting_of_another_kind_is_refused_or_has_its_meaning(ask: Any, name: str, value: Any) -> None:
    try:
        assert item_of(ask(**{name: value}))
    except DataError as error:
        assert "tasks/" in str(error)  # noqa: PT017
