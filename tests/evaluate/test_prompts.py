from collections.abc import Callable
from dataclasses import replace

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from med42lib.core.errors import DataError
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.prompts import ANSWER_DELIMITER, lm_eval_task, make_prompt, scorings
from med42lib.formats.prompt import multiple_choice, render
from med42lib.formats.records import Asked, BenchmarkItem, Exchange
from med42lib.formats.scores import METRIC_OF
from tests.evaluate.lm_eval_tasks import HUB_ROWS, MMLU, hub_items, lm_eval_task_on, requests_of

OPTIONS = ("Retinol", "Folate", "Ascorbic acid", "Thiamine")


@pytest.fixture
def vitamin(make_item: Callable[..., BenchmarkItem]) -> BenchmarkItem:
    return make_item("medqa", 1, "Which vitamin?", OPTIONS, 2)


@pytest.fixture
def abstract(make_item: Callable[..., BenchmarkItem]) -> BenchmarkItem:
    return make_item("pubmedqa", 1, "Does it?", ("yes", "no", "maybe"), 0, "It does.")


def test_letters_show_the_options_as_training_shows_them(vitamin: BenchmarkItem) -> None:
    question = make_prompt(vitamin, prompt="med42", scoring="letters", system="Be brief.")
    assert question.context == (
        "<|system|>: Be brief.\n<|prompter|>: Which vitamin?\n"
        "A. Retinol\nB. Folate\nC. Ascorbic acid\nD. Thiamine\n<|assistant|>:"
    )
    assert question.answers == ("A", "B", "C", "D")


def test_texts_hide_the_options(vitamin: BenchmarkItem) -> None:
    question = make_prompt(vitamin, prompt="med42", scoring="texts", system="")
    assert question.context == "<|prompter|>: Which vitamin?\n<|assistant|>:"
    assert question.answers == OPTIONS


def test_prompt_and_answer_together_are_the_training_text(vitamin: BenchmarkItem) -> None:
    question = make_prompt(vitamin, prompt="med42", scoring="letters", system="Be brief.")
    exchange = Exchange(multiple_choice(vitamin.question, vitamin.options), "C")
    assert question.context + ANSWER_DELIMITER + question.answers[2] == render("Be brief.", [exchange]).text


@pytest.mark.parametrize("scoring", ["letters", "texts"])
def test_the_context_comes_before_the_question(abstract: BenchmarkItem, scoring: str) -> None:
    question = make_prompt(abstract, prompt="med42", scoring=scoring, system="")  # type: ignore[arg-type]
    assert question.context.startswith("<|prompter|>: It does.\nDoes it?\n")


@pytest.mark.parametrize("benchmark", HUB_ROWS)
def test_the_plain_prompt_and_its_answers_are_those_of_lm_evals_task(benchmark: str) -> None:
    theirs = requests_of(lm_eval_task_on(benchmark))
    ours = [
        make_prompt(item, prompt="plain", scoring=lm_eval_task(benchmark).scoring, system="x")
        for item in hub_items(benchmark)
    ]
    assert theirs == [(asked.context, ANSWER_DELIMITER + answer) for asked in ours for answer in asked.answers]


@pytest.mark.parametrize("benchmark", HUB_ROWS)
def test_options_are_divided_as_for_a_figure_of_lm_evals_task(benchmark: str) -> None:
    metrics = {metric["metric"] for metric in lm_eval_task_on(benchmark).config.metric_list}
    assert {METRIC_OF[normalise] for normalise in lm_eval_task(benchmark).normalise} == metrics


def test_every_topic_of_mmlu_is_introduced_as_lm_eval_introduces_it() -> None:
    introduced = {path.stem: load_yaml(path, recursive=False)["description"] for path in MMLU.glob("mmlu_*.yaml")}
    assert len(introduced) == 57
    assert introduced == {name: lm_eval_task(name).above_question for name in introduced}


def test_a_benchmark_of_which_lm_eval_has_no_task_is_asked_like_medqa(
    make_item: Callable[..., BenchmarkItem], vitamin: BenchmarkItem
) -> None:
    own = make_item("usmle_sample_exam", 1, vitamin.question, vitamin.options)
    assert [make_prompt(item, prompt="plain", scoring="letters", system="").context for item in (own, vitamin)] == [
        "Question: Which vitamin?\nA. Retinol\nB. Folate\nC. Ascorbic acid\nD. Thiamine\nAnswer:"
    ] * 2


@pytest.mark.parametrize("prompt", ["med42", "plain"])
def test_nine_options_are_lettered_to_i(make_item: Callable[..., BenchmarkItem], prompt: str) -> None:
    """The most that a USMLE question has."""
    nine = make_item("usmle_sample_exam", 1, "Which?", tuple(f"option {n}" for n in range(1, 10)), 8)
    question = make_prompt(nine, prompt=prompt, scoring="letters", system="")  # type: ignore[arg-type]
    assert question.answers == ("A", "B", "C", "D", "E", "F", "G", "H", "I")
    assert "\nH. option 8\nI. option 9\n" in question.context
    assert "J." not in question.context


BY_TASK = Asked("Which blood group?", "\n", "none", 2)


def asked(item: BenchmarkItem, how: Asked | None = BY_TASK, options: tuple[str, ...] = OPTIONS) -> BenchmarkItem:
    return replace(item, asked=how, options=options)


def test_a_task_scores_texts_though_the_options_of_one_question_are_letters(vitamin: BenchmarkItem) -> None:
    config = EvaluateConfig(scoring="letters")
    bare = asked(vitamin, options=("A", "B"))
    assert scorings([bare], config)["medqa"].scoring == "letters"
    for items in ([bare, asked(vitamin)], [asked(vitamin), bare]):
        found = scorings(items, config)["medqa"]
        assert (found.scoring, found.normalise, found.delimiter) == ("texts", "none", "\n")
        assert found.prompt == "the task's, 2 examples"


@pytest.mark.parametrize("other", [None, replace(BY_TASK, delimiter=" "), replace(BY_TASK, normalise="bytes")])
def test_items_of_one_benchmark_that_are_asked_by_different_tasks_are_refused(
    vitamin: BenchmarkItem, other: Asked | None
) -> None:
    items = [asked(vitamin), asked(vitamin, replace(BY_TASK, prompt="Which bone?")), asked(vitamin, other)]
    items[2] = replace(items[2], id="medqa/2")
    with pytest.raises(DataError, match="'medqa/1' and 'medqa/2' of the benchmark medqa are asked by different tasks"):
        scorings(items, EvaluateConfig(scoring="letters"))
