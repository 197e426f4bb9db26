"""Scoring answers: the stage's way against lm-eval's own, in one process, on the same requests; then in shards.

    python tests/bench/bench_evaluation.py
    python tests/bench/bench_evaluation.py --questions 4 --layers 2 --shards 1 8

The model has the shape of SmolLM2-135M and random weights, which takes as long as trained ones. Log-likelihoods must be
the same to 1e-4 nats a token before anything is printed. Measured are processor seconds of one thread, so that other
work on the machine counts less. That the stage scores two prompts of a run both ways, to be sure of the model, is not
counted. Shards run one after another, and together must give the same bits as one: of as many machines the longest
counts. The loading of the model is not counted.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

import torch  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

from med42lib.evaluate.answers import Answered, Request  # noqa: E402
from med42lib.evaluate.batches import WHOLE, Share, in_batches  # noqa: E402
from med42lib.evaluate.harness import TokenisedRequest  # noqa: E402
from med42lib.evaluate.shared_prompt import SharedPromptScorer  # noqa: E402
from tests.tiny_llama import make_llama  # noqa: E402
from tests.tiny_tokenizer import byte_level  # noqa: E402

VOCABULARY = 49_152
NATS_PER_TOKEN = 1e-4
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workload:
    """Questions that begin alike, and their answers, in tokens."""

    name: str
    beginning: int
    prompt: int
    answer: int

    def requests(self, num_questions: int) -> list[TokenisedRequest]:
        """Make up requests; lengths differ by a quarter."""
        dice = random.Random(7)
        shared, letters = tokens(dice, self.beginning), tokens(dice, 4)
        made = []
        for question in range(num_questions):
            prompt = shared + tokens(dice, varied(dice, self.prompt))
            texts = [tokens(dice, varied(dice, self.answer)) for _ in range(4)]
            answers = [[letter] for letter in letters] if self.answer == 1 else texts
            made += [((str(question), str(number)), prompt, answer) for number, answer in enumerate(answers)]
        return made


WORKLOADS = (
    Workload("4 answers of 17 tokens, 172-token prompts", 15, 157, 17),
    Workload("letters, 170-token prompts", 15, 155, 1),
    Workload("letters, 77-token questions after 5 shots of 419 tokens", 419, 77, 1),
)


def tokens(dice: random.Random, length: int) -> list[int]:
    return dice.choices(range(3, VOCABULARY), k=length)


def varied(dice: random.Random, length: int) -> int:
    return max(1, round(length * dice.uniform(0.75, 1.25)))


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    model = make_llama(
        vocab_size=VOCABULARY,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=options.layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    ).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level(["a b"]), eos_token="</s>", pad_token="</s>")
    settings = {"backend": "causal", "batch_size": options.batch_size, "softmax_dtype": "float32"}
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, **settings)
    print(f"{'processor seconds a question':58}{'lm-eval':>9}{'evaluate':>10}{'ratio':>7}")
    for workload in WORKLOADS:
        requests = workload.requests(options.questions)
        their_seconds, their_scores = timed(partial(theirs._loglikelihood_tokens, requests, disable_tqdm=True))
        asked = [Request(tuple(prompt), tuple(answer)) for _, prompt, answer in requests]
        our_seconds, our_scores = timed(partial(score, model, asked, options.batch_size))
        check_same(asked, [value for value, _ in their_scores], [our_scores[each].loglikelihood for each in asked])
        seconds = [took / options.questions for took in (their_seconds, our_seconds)]
        print(f"{workload.name:58}{seconds[0]:9.2f}{seconds[1]:10.2f}{seconds[0] / seconds[1]:7.2f}")
    print(f"\n{'processor seconds of all questions':58}{'shards':>7}{'all':>9}{'longest':>9}{'ratio':>7}")
    for workload in WORKLOADS:
        report_shards(workload, model, options)


def report_shards(workload: Workload, model: Any, options: argparse.Namespace) -> None:
    asked = [Request(tuple(prompt), tuple(answer)) for _, prompt, answer in workload.requests(options.questions)]
    first, found = 0.0, dict[Request, Answered]()
    for shards in options.shards:
        shares = [Share(shard, shards) for shard in range(1, shards + 1)]
        parts = [timed(partial(score, model, asked, options.batch_size, share)) for share in shares]
        together = {request: answer for _, own in parts for request, answer in own.items()}
        if found and together != found:
            sys.exit("the number of shards changed what was found")
        seconds = [took for took, _ in parts]
        first, found = first or max(seconds), together
        print(f"{workload.name:58}{shards:7}{sum(seconds):9.1f}{max(seconds):9.1f}{first / max(seconds):7.2f}")


def score(model: Any, requests: list[Request], batch_size: int, share: Share = WHOLE) -> dict[Request, Answered]:
    """Score as the stage does, without its files."""
    answers: dict[Request, Answered] = {}
    batches = list(in_batches(dict.fromkeys(requests), batch_size, SharedPromptScorer(model, requests).score))
    for batch in share.of(batches):
        answers.update(batch.scorer(batch.requests))
    return answers


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=32, help="of each kind (default: 32)")
    parser.add_argument("--layers", type=int, default=30, help="layers of the model (default: 30)")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4], help="numbers to try (default: 1 2 4)")
    parser.add_argument("--batch-size", type=int, default=4, help="inputs of a forward pass (default: 4)")
    return parser.parse_args()


def timed(score: Callable[[], T]) -> tuple[float, T]:
    began = time.process_time()
    scores = score()
    return time.process_time() - began, scores


def check_same(requests: list[Request], theirs: list[float], ours: list[float]) -> None:
    for request, one, other in zip(requests, theirs, ours, strict=True):
        if abs(one - other) > NATS_PER_TOKEN * len(request.answer):
            sys.exit(f"log-likelihoods differ: {one} in lm-eval, {other} here")


if __name__ == "__main__":
    main()
