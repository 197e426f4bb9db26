"""Tasks of lm-eval of the user's own whose answers the model writes, beside what lm-eval makes of the same files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from med42lib.core.errors import DataError
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.harness import ScoringModel, score_items
from med42lib.formats.records import BenchmarkItem, Generation, Origin, read_items, write_items
from med42lib.report.results.scores import join_answers
from tests.evaluate.base_scores import evaluate_base, rows_in
from tests.evaluate.own_tasks import make_items, samples_of_lm_eval, write_tasks

ROWS = [
    {"stem": "What prevents scurvy?", "names": ["Vitamin C", "NONE"], "dose": 4, "key": "none"},
    {"stem": "  Which bone </s> is long? ", "names": ["the femur.", "Femur"], "dose": 7, "key": "some"},
    {"stem": "fever " * 300, "names": ["x", "z"], "dose": 0, "key": "none"},
]
COMMON = {
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{stem}}\nAnswer:",
    "generation_kwargs": {"until": ["\n", "A."], "max_gen_toks": 4, "do_sample": False, "temperature": 0.0},
}
NEVER = {"function": "regex", "regex_pattern": "(never said)", "fallback": "NONE"}
FIRST = {"function": "take_first"}
TASKS: dict[str, dict[str, Any]] = {
    "plain": {"doc_to_target": "{{dose}}", "generation_kwargs": {"max_gen_toks": 3}},
    "filtered": {
        "doc_to_target": "key",
        "filter_list": [{"name": "said", "filter": [NEVER, {"function": "lowercase"}, FIRST]}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    },
    "ignoring": {
        "description": "Answer.\n\n",
        "num_fewshot": 2,
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "doc_to_target": "names",
        "filter_list": [{"name": "said", "filter": [NEVER, {"function": "remove_whitespace"}, FIRST]}],
        "metric_list": [
            {
                "metric": "exact_match",
                "ignore_case": True,
                "ignore_punctuation": True,
                "regexes_to_ignore": ["z", "^the "],
            }
        ],
    },
    "anything": {
        "doc_to_target": "{{names}}",
        "metric_list": [{"metric": "exact_match", "regexes_to_ignore": ["(?s).*"], "ignore_numbers": True}],
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_tasks(folder, {name: {**COMMON, **task} for name, task in TASKS.items()}, test=ROWS, dev=ROWS[1::-1])
    return folder


@pytest.fixture(scope="module")
def own_items(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_items(tmp_path_factory.mktemp("items"), data, TASKS)


def test_prompts_answers_and_marks_are_those_of_lm_eval(
    own_items: Path,
    data: Path,
    base: Path,
    tmp_path: Path,
    load: Callable[..., Any],
    settings: Callable[..., EvaluateConfig],
) -> None:
    model, tokenizer = load(base)
    lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=2)
    theirs = samples_of_lm_eval(lm, data, TASKS, tmp_path / "cache")
    scores = evaluate_base(own_items, base, settings(), tmp_path)
    rows = rows_in(scores)
    items = list(read_items(own_items))
    for item, row, their in zip(items, rows, theirs, strict=True):
        assert item.generation is not None
        assert item.generation.prompt == their["arguments"][0][0]
        assert row == {
            "item_id": item.id,
            "benchmark": item.benchmark,
            "gold": None,
            "prediction": None,
            "correct": bool(their["exact_match"]),
            "loglikelihoods": [],
            "truncated": "fever" in item.question,
            "generated": their["resps"][0][0],
        }
    assert len({row["generated"] for row in rows}) > 2
    assert {name: [row["correct"] for row in rows if row["benchmark"] == name] for name in TASKS} == {
        "plain": [False, False, False],
        "filtered": [True, False, True],
        "ignoring": [True, False, False],
        "anything": [True, True, True],
    }
    joined = join_answers({"base": scores / "scores.jsonl"}, {item.id: item for item in items}, {})
    assert joined.correct["base"].tolist() == [row["correct"] for row in rows]
    assert json.loads((scores / "summary.json").read_text())["ignoring"] == {
        "items": 3,
        "accuracy": 1 / 3,
        "scoring": "generated",
        "prompt": "the task's, 2 examples",
        "truncated": 1,
    }


def generated_item(**settings: Any) -> BenchmarkItem:
    how = Generation("Which?\nAnswer:", ("A",), {"metric_list": [{"metric": "exact_match"}], **settings})
    return BenchmarkItem("ward/1", "ward", "Which?", "", (), None, Origin("", "f", 1), generation=how)


def test_answers_longer_than_the_model_are_refused_with_what_to_do(
    base: Path, load: Callable[..., Any], settings: Callable[..., EvaluateConfig]
) -> None:
    with pytest.raises(DataError, match=r"up to 256 tokens do not fit the model, which takes 256.*max_gen_toks"):
        score_items([generated_item()], *load(base), settings())


def test_a_model_that_gives_no_numbers_is_an_error_and_no_wrong_answer(
    base: Path, load: Callable[..., Any], settings: Callable[..., EvaluateConfig]
) -> None:
    model, tokenizer = load(base)
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    with pytest.raises(DataError, match="the model gives no numbers"):
        score_items([generated_item(generation_kwargs={"max_gen_toks": 4})], model, tokenizer, settings())


def test_a_prompt_ends_without_the_end_token_that_the_tokenizer_adds(
    bases: dict[str, Path], load: Callable[..., Any]
) -> None:
    model, tokenizer = load(bases["closing"])
    ids, mask = ScoringModel(model, tokenizer, 2).tok_batch_encode(["Which?", "Which vitamin?"])
    assert tokenizer.eos_token_id not in ids[:, -1].tolist()
    assert ids.shape == mask.shape


def test_written_and_chosen_answers_are_scored_side_by_side_in_the_items_order(
    base: Path,
    load: Callable[..., Any],
    settings: Callable[..., EvaluateConfig],
    items: list[BenchmarkItem],
    tmp_path: Path,
) -> None:
    written = generated_item(generation_kwargs={"max_gen_toks": 4})
    mixed = [items[0], written, items[1], replace(written, id="ward/2")]
    write_items(tmp_path, mixed)
    found = score_items(list(read_items(tmp_path)), *load(base), settings())
    assert [score.item_id for score in found] == [item.id for item in mixed]
    assert [len(score.loglikelihoods) for score in found] == [3, 0, 4, 0]


def test_an_adapter_writes_other_answers_than_its_base(
    base: Path, adapter: Path, load: Callable[..., Any], settings: Callable[..., EvaluateConfig]
) -> None:
    items = [generated_item(generation_kwargs={"max_gen_toks": 4})]
    of_base, of_adapter = (score_items(items, *load(*models), settings()) for models in ((base,), (adapter, base)))
    assert of_base[0].generated != of_adapter[0].generated
