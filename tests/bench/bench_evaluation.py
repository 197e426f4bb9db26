"""Scoring answers: the stage's model against lm-eval's own, in one process, on the same requests.

    python tests/bench/bench_evaluation.py
    python tests/bench/bench_evaluation.py --questions 4 --layers 2

The model has the shape of SmolLM2-135M and random weights, which takes as long as trained ones. Log-likelihoods must be
the same to 1e-4 nats a token before anything is printed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

import torch  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

from med42lib.evaluate.harness import ScoringModel, TokenisedRequest  # noqa: E402
from tests.tiny_llama import make_llama  # noqa: E402
from tests.tiny_tokenizer import byte_level  # noqa: E402

VOCABULARY = 49_152
NATS_PER_TOKEN = 1e-4


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
    ours = ScoringModel(model, tokenizer, options.batch_size)
    print(f"{'questions a second':58}{'lm-eval':>9}{'evaluate':>10}{'ratio':>7}")
    for workload in WORKLOADS:
        requests = workload.requests(options.questions)
        with torch.inference_mode():
            their_seconds, their_scores = timed(theirs._loglikelihood_tokens, requests)
            our_seconds, our_scores = timed(ours._loglikelihood_tokens, requests)
        check_same(requests, their_scores, our_scores)
        rates = [options.questions / seconds for seconds in (their_seconds, our_seconds)]
        print(f"{workload.name:58}{rates[0]:9.2f}{rates[1]:10.2f}{rates[1] / rates[0]:7.2f}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=32, help="of each kind (default: 32)")
    parser.add_argument("--layers", type=int, default=30, help="layers of the model (default: 30)")
    parser.add_argument("--batch-size", type=int, default=4, help="inputs of a forward pass (default: 4)")
    return parser.parse_args()


def timed(score: Callable[..., Any], requests: list[TokenisedRequest]) -> tuple[float, list[tuple[float, bool]]]:
    score(requests[:8], disable_tqdm=True)
    began = time.perf_counter()
    scores = score(requests, disable_tqdm=True)
    return time.perf_counter() - began, scores


def check_same(
    requests: list[TokenisedRequest], theirs: list[tuple[float, bool]], ours: list[tuple[float, bool]]
) -> None:
    for (_, _, answer), (one, _), (other, _) in zip(requests, theirs, ours, strict=True):
        if abs(one - other) > NATS_PER_TOKEN * len(answer):
            sys.exit(f"log-likelihoods differ: {one} in lm-eval, {other} here")


if __name__ == "__main__":
    main()
