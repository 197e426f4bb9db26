"""Answers that the model writes: generated, filtered and compared by lm-eval itself, as the item's task says.

`benchmarks` has written the prompts down and checked the settings, which go to lm-eval as they are.
"""

from __future__ import annotations

import copy
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from typing import Any

import datasets
import torch
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs
from transformers import LogitsProcessor, LogitsProcessorList

from med42lib.core.errors import DataError
from med42lib.core.progress import Progress, progress
from med42lib.evaluate.batches import Share
from med42lib.evaluate.journal import Memory
from med42lib.formats.records import BenchmarkItem
from med42lib.formats.scores import MOST_GENERATED, Score


class MirroredTask(ConfigurableTask):  # type: ignore[misc]  # lm_eval is untyped
    """One benchmark as an lm-eval task: a row for each item, of which `context` is the prompt, already written out."""

    def __init__(self, benchmark: str, rows: list[dict[str, Any]], **settings: Any) -> None:
        super().__init__(
            config={
                "task": benchmark,
                "custom_dataset": lambda: {"test": datasets.Dataset.from_list(rows)},
                "test_split": "test",
                "doc_to_text": "context",
                "num_fewshot": 0,
                **settings,
            }
        )

    def build_all_requests(self, **options: Any) -> None:
        """Build the requests without lm-eval's bar, which comes and goes in milliseconds."""
        with redirect_stderr(io.StringIO()):
            super().build_all_requests(**options)


class GenerationTask(MirroredTask):
    """One benchmark whose items have all the same `Generation.settings`."""

    def __init__(self, benchmark: str, items: Sequence[BenchmarkItem]) -> None:
        asked = [(item.id, item.generation) for item in items if item.generation]
        rows = [{"id": name, "context": how.prompt, "answers": list(how.answers)} for name, how in asked]
        settings = copy.deepcopy(dict(asked[0][1].settings))  # lm-eval changes them
        super().__init__(benchmark, rows, output_type="generate_until", doc_to_target="answers", **settings)


class GeneratingModel(HFLM):  # type: ignore[misc]  # lm_eval is untyped
    """lm-eval's Hugging Face model, which writes batch by batch, and of a shard its own batches alone.

    Once it was asked, `written` are the answers of its share, by the numbers of their prompts.
    """

    _bar: Progress
    _ends_itself: bool
    _memory: Memory | None
    _share: Share
    written: Mapping[int, str]

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """Generate answers without lm-eval's own bars; gives those of this share alone.

        Raises:
            DataError: If the model has no room for so long answers, or gives no numbers.
        """
        for request in requests:
            self._most_read(request.args[1])
        known = self._memory.written(len(requests)) if self._memory else {}
        self.written = known or dict(self._write(requests))
        return [self.written[number] for number in sorted(self.written)]

    def _write(self, requests: Sequence[Any]) -> Iterator[tuple[int, str]]:
        batches = self._share.of(list(self._batches_of_prompts(requests)))
        with progress("generating", sum(map(len, batches)), unit="answers") as self._bar:
            for numbers in batches:
                texts = super().generate_until([requests[number] for number in numbers], disable_tqdm=True)
                yield from zip(numbers, texts, strict=True)

    def _batches_of_prompts(self, requests: Sequence[Any]) -> Iterator[list[int]]:
        """Gather prompts as lm-eval does, those of the same settings, the longest first; gives their numbers."""
        by_settings: dict[str, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            by_settings[json.dumps(request.args[1], sort_keys=True)].append(number)
        for numbers in by_settings.values():
            numbers.sort(key=lambda number: -len(self.tok_encode(requests[number].args[0])))
            for start in range(0, len(numbers), self.batch_size):
                yield numbers[start : start + self.batch_size]

    def score_generated(self, item: BenchmarkItem, row: Mapping[str, Any]) -> Score:
        """Give what lm-eval found of a written answer, from its row of samples."""
        ((prompt, settings),) = row["arguments"]
        ((generated,),) = row["resps"]
        return Score(
            item_id=item.id,
            benchmark=item.benchmark,
            gold=None,
            prediction=None,
            correct=bool(row["exact_match"]),
            loglikelihoods=(),
            truncated=self.tok_batch_encode([prompt])[0].shape[1] > self._most_read(settings),
            generated=generated[:MOST_GENERATED],
        )

    def _most_read(self, settings: dict[str, Any]) -> int:
        """Give the most tokens of a prompt that leave room for an answer; lm-eval cuts off what stands before."""
        most_written = normalize_gen_kwargs(settings, self.max_gen_toks)["max_gen_toks"]
        if most_written >= self.max_length:
            raise DataError(
                f"answers of up to {most_written:,} tokens do not fit the model, which takes {self.max_length:,} with "
                "the question: set a lower max_gen_toks in the task's generation_kwargs"
            )
        return int(self.max_length - most_written)

    def tok_batch_encode(self, strings: list[str], **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokenise prompts as `tok_encode` does: the end token that some tokenizers add belongs after the answer."""
        ids_BT, mask_BT = super().tok_batch_encode(strings, **options)
        return (ids_BT[:, :-1], mask_BT[:, :-1]) if self._ends_itself else (ids_BT, mask_BT)

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **settings: Any) -> torch.Tensor:
        checked = LogitsProcessorList([_Numbers()])
        ids_BT: torch.Tensor = super()._model_generate(context, max_length, stop, logits_processor=checked, **settings)
        self._bar.advance(context.shape[0])
        return ids_BT


class _Numbers(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Lets no answer be made of what are no numbers: the likeliest token would be the first one then."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if scores.isnan().any():
            raise DataError(
                "the model gives no numbers to write an answer by: its weights are damaged or its training diverged; "
                "train again, with a lower rate"
            )
        return scores
