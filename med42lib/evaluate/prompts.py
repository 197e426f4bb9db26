"""What the model reads for a benchmark item, and which answers it is scored on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Literal

from med42lib.core.errors import DataError
from med42lib.evaluate.config import AskingConfig, Prompt
from med42lib.formats.prompt import (
    MultipleChoice,
    lettered_options,
    multiple_choice,
    open_question,
    render_question,
)
from med42lib.formats.records import Asked, BenchmarkItem, Generation
from med42lib.formats.scores import METRIC_OF, Normalise

ANSWER_DELIMITER = " "

Scored = MultipleChoice | Literal["generated"]
"""What of an answer is scored: the option's letter or its text, by log-likelihood, or what the model writes."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the items of a benchmark are asked and compared; `prompt` as tables call it.

    `normalise` is None where the answer is written.
    """

    scoring: Scored
    normalise: Normalise | None
    prompt: str
    delimiter: str = ANSWER_DELIMITER

    @property
    def metric(self) -> str:
        """What lm-eval calls the accuracy."""
        return METRIC_OF[self.normalise] if self.normalise else "exact_match"


def scorings(items: Iterable[BenchmarkItem], config: AskingConfig) -> dict[str, Scoring]:
    """Say how each benchmark is scored: as its task of lm-eval says, or else as the settings do.

    Raises:
        DataError: If items of one benchmark were asked by different tasks.
    """
    groups: dict[str, list[BenchmarkItem]] = defaultdict(list)
    for item in items:
        groups[item.benchmark].append(item)
    return {benchmark: _scoring_of(benchmark, group, config) for benchmark, group in groups.items()}


def _scoring_of(benchmark: str, items: Sequence[BenchmarkItem], config: AskingConfig) -> Scoring:
    asked, written = _of_task(items[0])
    if other := next((item for item in items if _of_task(item) != (asked, written)), None):
        raise DataError(
            f"items {items[0].id!r} and {other.id!r} of the benchmark {benchmark} are asked by different tasks; run "
            "benchmarks again"
        )
    if written:
        return Scoring("generated", None, _prompt_of_task(written.num_examples))
    if asked is None:
        how = config.scoring_of(benchmark)
        return Scoring(how.scoring, how.normalise, config.prompt)
    # A single question may have the letters themselves for options: which blood group, A or B?
    letters = all(item.has_bare_letters for item in items)
    return Scoring(
        "letters" if letters else "texts", asked.normalise, _prompt_of_task(asked.num_examples), asked.delimiter
    )


def _of_task(item: BenchmarkItem) -> tuple[Asked | None, Generation | None]:
    """Give what an item's task of lm-eval says of all its items."""
    asked, written = item.asked, item.generation
    return asked and replace(asked, prompt=""), written and replace(written, prompt="", answers=())


def _prompt_of_task(num_examples: int) -> str:
    return f"the task's, {num_examples} examples" if num_examples else "the task's"


@dataclass(frozen=True, slots=True)
class PromptedItem:
    """An item as the model sees it.

    Scored is log p(delimiter + answer | context) for each answer, in the order of the item's options.
    """

    context: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LmEvalTask:
    """What a plain task of lm-eval 0.4.13 scores, and what it writes around a question and its options.

    `name` is empty where lm-eval has no task, and `normalise` is of each of its figures.
    """

    name: str
    scoring: MultipleChoice
    normalise: tuple[Normalise, ...] = ("none", "characters")
    above_question: str = "Question: "
    above_options: str = ""


_TASKS = {
    "headqa": LmEvalTask("headqa_en", "texts"),
    "medmcqa": LmEvalTask("medmcqa", "letters", above_options="Choices:\n"),
    "medqa": LmEvalTask("medqa_4options", "letters"),
    "pubmedqa": LmEvalTask("pubmedqa", "texts", ("none",)),
}
_MMLU = "mmlu_"
_NO_TASK = LmEvalTask("", "letters")


def lm_eval_task(benchmark: str) -> LmEvalTask:
    """Give lm-eval's task for a benchmark; where it has none, one that asks as it asks MedQA."""
    if benchmark.startswith(_MMLU):
        topic = benchmark.removeprefix(_MMLU).replace("_", " ")
        description = f"The following are multiple choice questions (with answers) about {topic}.\n\n"
        return LmEvalTask(benchmark, "letters", ("none",), above_question=description)
    return _TASKS.get(benchmark, _NO_TASK)


def make_prompt(item: BenchmarkItem, *, prompt: Prompt, scoring: Scored, system: str) -> PromptedItem:
    r"""Write an item as a prompt, with the answers that are scored; a task of lm-eval has written its own.

    The same item in the `med42` prompt, first by letters and then by texts:

        <|system|>: You are ...                 <|system|>: You are ...
        <|prompter|>: Which vitamin ...?        <|prompter|>: Which vitamin ...?
        A. Retinol                              <|assistant|>:
        B. Folate
        <|assistant|>:                          answers: "Retinol", "Folate"
        answers: "A", "B"
    """
    if item.asked:
        return PromptedItem(item.asked.prompt, item.options)
    write = _plain if prompt == "plain" else _med42
    if scoring == "letters":
        return PromptedItem(write(item, item.options, system), tuple(ascii_uppercase[: len(item.options)]))
    return PromptedItem(write(item, (), system), item.options)


def _med42(item: BenchmarkItem, shown: Sequence[str], system: str) -> str:
    if shown:
        return render_question(system, multiple_choice(item.question, shown, context=item.context))
    return render_question(system, open_question(item.question, context=item.context))


def _plain(item: BenchmarkItem, shown: Sequence[str], system: str) -> str:
    """Write the prompt of lm-eval's task for the item's benchmark; it has no system text."""
    task = lm_eval_task(item.benchmark)
    lettered = f"\n{task.above_options}{lettered_options(shown)}" if shown else ""
    context = f"Abstract: {item.context}\n" if item.context else ""
    return f"{context}{task.above_question}{item.question}{lettered}\nAnswer:"
