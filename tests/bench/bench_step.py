"""A training step: the worker against transformers' Trainer, TRL's SFTTrainer and a plain loop, side by side.

    python tests/bench/bench_step.py
    python tests/bench/bench_step.py --model small --rounds 3
    python tests/bench/bench_step.py --method lora --response-share 0.1
    python tests/bench/bench_step.py --gpu          # needs no network; TRL is left out where it is not installed

Same model (random weights in a known shape), chunks, order, precision, threads, learning rates and AdamW; each trainer
in a process of its own, in turn, with a time limit. A trainer's speed is that of its best step in all rounds, the first
of each round left out: what else the machine does slows steps down and never speeds them up. Each line is printed when
its trainer is done, and marked where the losses of its steps are not those of the first trainer of its method, which is
the plain loop; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402

from med42lib.formats.packed import PackedDataset, PackInfo  # noqa: E402
from med42lib.pack.packing import best_fit  # noqa: E402
from med42lib.pack.writer import PackedWriter  # noqa: E402
from med42lib.train.config import ResolvedConfig  # noqa: E402
from tests.bench.measured import run_within  # noqa: E402
from tests.processes import ALONE  # noqa: E402

PROGRAM = Path(__file__).with_name("step_program.py")
GIBIBYTE = 1 << 30
SHAPES: dict[str, dict[str, Any]] = {
    "smollm2-135m": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "llama-3.2b": {
        "vocab_size": 32_000,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
    },
    "small": {
        "vocab_size": 8192,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
}
MEDIAN_LENGTH, LENGTH_SPREAD = 192, 1.15
"""Of the samples, in tokens: lognormal, as in mixtures of instructions; the mean is 372 before long ones are cut."""

TOLERANCE = {"float32": 2e-4, "bfloat16": 2e-2, "float16": 2e-2}
"""How far losses may lie apart, as a share."""


@dataclass(frozen=True)
class Variant:
    """A trainer with settings of its own."""

    name: str
    trainer: str
    processes: int = 1
    settings: dict[str, Any] = field(default_factory=dict)

    def command(self, training: Path) -> list[str]:
        program = [str(PROGRAM), self.trainer, str(training)]
        if self.processes == 1:
            return [sys.executable, *program]
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.processes}"]
        return [sys.executable, *torchrun, *program]

    def environment(self, options: argparse.Namespace) -> dict[str, str]:
        threads = str(max(1, options.threads // self.processes))
        alone = ALONE if self.trainer == "med42" and self.processes == 1 else {}
        return {**os.environ, **alone, "OMP_NUM_THREADS": threads}


SDPA, CHECKPOINTING = {"attention": "sdpa"}, {"gradient_checkpointing": True}
VARIANTS = [
    Variant("plain loop", "plain"),
    Variant("med42, ZeRO-1", "med42", settings={"zero_stage": 1}),
    Variant("  checkpointing", "med42", settings={"zero_stage": 1, **CHECKPOINTING}),
    Variant("med42, ZeRO-3", "med42", settings={"zero_stage": 3}),
    Variant("med42, 2 processes", "med42", 2, {"zero_stage": 1}),
    Variant("Trainer", "trainer", settings=SDPA),
    Variant("TRL", "trl", settings=SDPA),
]

GPU_VARIANTS = [
    Variant("plain loop", "plain"),
    Variant("med42, ZeRO-1", "med42", settings={"zero_stage": 1}),
    Variant("  4 chunks a pass", "med42", settings={"zero_stage": 1, "micro_batch_size": 4}),
    Variant("  with a mask", "med42", settings={"zero_stage": 1, **SDPA}),
    Variant("  checkpointing", "med42", settings={"zero_stage": 1, **CHECKPOINTING}),
    Variant("med42, LoRA, ZeRO-1", "med42", settings={"method": "lora", "zero_stage": 1}),
    Variant("Trainer", "trainer", settings=SDPA),
    Variant("Trainer, checkpointing", "trainer", settings={**SDPA, **CHECKPOINTING}),
    Variant("TRL", "trl", settings=SDPA),
    Variant("TRL, checkpointing", "trl", settings={**SDPA, **CHECKPOINTING}),
]
GPU_DEFAULTS = {"model": "llama-3.2b", "precision": "bfloat16", "chunk_length": 4096, "batch": 8, "limit": 45}
"""With these limits all trainers together take less than eight minutes."""


def main() -> None:
    options = parse_options()
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_device(options.gpu)
    if options.gpu and not has_gpu():
        print("bench of a step on a GPU: there is none here, so its numbers stay open")
        return
    every = GPU_VARIANTS if options.gpu else VARIANTS
    variants = [variant for variant in every if not options.only or variant.name in options.only]
    if importlib.util.find_spec("trl") is None:
        print("TRL is left out: it is not installed")
        variants = [variant for variant in variants if variant.trainer != "trl"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # In a process of its own, whose memory on the GPU goes with it.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
            child.submit(make_model, folder / "model", options).result()
        info = make_packed(folder / "packed", options)
        print(
            f"{options.model}, {options.method}, {options.precision}, {options.batch} chunks of "
            f"{options.chunk_length:,} tokens per step, {info.num_response_tokens / info.num_tokens:.0%} responses, "
            f"{options.threads} threads, load {os.getloadavg()[0]:.1f}"
        )
        table = Table(info.num_tokens / info.num_chunks * options.batch, TOLERANCE[options.precision])
        for variant in variants * options.rounds:
            table.add(variant.name, run(variant, folder, options))
    if table.problems:
        sys.exit("\n".join(table.problems))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="smollm2-135m")
    parser.add_argument("--method", choices=["full", "lora"], default="full")
    parser.add_argument("--precision", choices=TOLERANCE, default="float32")
    parser.add_argument("--chunk-length", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=2, help="chunks per step (default: 2)")
    parser.add_argument("--steps", type=int, default=3, help="steps of a round, the first not counted (default: 3)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of all trainers, in turn (default: 1)")
    parser.add_argument("--response-share", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="over all processes")
    parser.add_argument("--limit", type=int, default=600, help="seconds that a trainer may take (default: 600)")
    parser.add_argument("--gpu", action="store_true", help="on one GPU: a model of 3.2 billion weights, in bfloat16")
    parser.add_argument("--only", action="append", metavar="NAME", help="this trainer; may be given several times")
    if "--gpu" in sys.argv:
        parser.set_defaults(**GPU_DEFAULTS)
    return parser.parse_args()


def visible_device(gpu: bool) -> str:
    """Name the device that all processes see: the first of those that the user gives; none for figures of CPUs."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] if gpu else ""


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def make_model(folder: Path, options: argparse.Namespace) -> None:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    from tests.tiny_llama import make_llama

    torch.manual_seed(0)
    with torch.device("cuda" if options.gpu else "cpu"):
        llama = make_llama(
            **SHAPES[options.model], max_position_embeddings=options.chunk_length, bos_token_id=0, eos_token_id=1
        )
    llama.to(getattr(torch, options.precision)).save_pretrained(folder)
    words = Tokenizer(WordLevel({"w0": 0, "w1": 1, "w2": 2}, unk_token="w2"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1", unk_token="w2").save_pretrained(folder)


def make_packed(folder: Path, options: argparse.Namespace) -> PackInfo:
    """Pack samples of random tokens, lengths lognormal; the last part of each is its response."""
    folder.mkdir()
    dice = np.random.default_rng(0)
    vocabulary, length = SHAPES[options.model]["vocab_size"], options.chunk_length
    with PackedWriter(folder, vocabulary) as writer:
        while writer.lengths.sum() < 1.1 * options.steps * options.batch * length:
            count = int(np.clip(dice.lognormal(math.log(MEDIAN_LENGTH), LENGTH_SPREAD), 8, length))
            response_T = np.arange(count) >= round((1 - options.response_share) * count)
            # Squared, so that some tokens are more frequent and there is something to learn.
            writer.add("random", 3 + (dice.random(count) ** 2 * (vocabulary - 3)).astype(np.int64), response_T)
        layout = best_fit(writer.lengths, length, 0)
        info = PackInfo(
            policy="best_fit",
            chunk_length=length,
            num_examples=len(writer.lengths),
            num_chunks=len(layout.chunk_starts) - 1,
            num_tokens=int(writer.lengths.sum()),
            num_response_tokens=writer.count_labels(layout),
            num_dropped=0,
            num_truncated=0,
            eos_token_id=1,
            pad_token_id=1,
            vocabulary_size=vocabulary,
        )
        writer.finish(layout, info)
    PackedDataset(folder)
    return info


def run(variant: Variant, folder: Path, options: argparse.Namespace) -> dict[str, Any] | str:
    """Run a trainer; returns its outcome, or why there is none."""
    config = ResolvedConfig(
        zero_stage=1,
        gradient_checkpointing=False,
        method=options.method,
        learning_rate=3e-4,
        warmup_steps=1,
        epochs=1,
        global_batch_size=options.batch,
        max_steps=options.steps,
        seed=0,
        precision=options.precision,
    )
    training = folder / "training.json"
    settings = {**config.model_dump(mode="json"), **variant.settings}
    training.write_text(
        json.dumps(
            {
                "model": str(folder / "model"),
                "packed": str(folder / "packed"),
                "config": settings,
                "num_steps": options.steps,
            }
        )
    )
    try:
        done = run_within(options.limit, variant.command(training), environment=variant.environment(options))
    except subprocess.TimeoutExpired:
        return f"not done in {options.limit} seconds"
    if done.returncode:
        return f"failed: {done.stderr[-4000:]}"
    outcome: dict[str, Any] = {"method": settings["method"], **json.loads(done.stdout.splitlines()[-1])}
    return outcome


class Table:
    """Prints a line when a trainer is done: its best step in all rounds so far."""

    def __init__(self, tokens_per_step: float, tolerance: float) -> None:
        self.problems: list[str] = []
        """What failed, and who did other work than the first trainer of its method."""
        self._tokens_per_step, self._tolerance = tokens_per_step, tolerance
        self._outcomes: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._expected: dict[str, tuple[str, list[float]]] = {}
        print(f"{'':24}{'tokens/s':>10}{'CPU s/step':>12}{'GiB':>7}", flush=True)

    def add(self, name: str, outcome: dict[str, Any] | str) -> None:
        if isinstance(outcome, str):
            self.problems.append(f"{name} {outcome}")
            print(f"{name:24}  {outcome.partition(':')[0]}", flush=True)
            return
        self._outcomes[name].append(outcome)
        print(self._line(name), "" if self._is_expected(name, outcome) else "  other losses", sep="", flush=True)

    def _line(self, name: str) -> str:
        outcomes = self._outcomes[name]
        seconds = min(second for outcome in outcomes for second in outcome["seconds"])
        cpu_seconds = min(second for outcome in outcomes for second in outcome["cpu_seconds"])
        peak = max(outcome["peak_bytes"] for outcome in outcomes) / GIBIBYTE
        return f"{name:24}{self._tokens_per_step / seconds:10,.0f}{cpu_seconds:12.2f}{peak:7.2f}"

    def _is_expected(self, name: str, outcome: dict[str, Any]) -> bool:
        losses: list[float] = outcome["losses"]
        other, expected = self._expected.setdefault(outcome["method"], (name, losses))
        same = len(losses) == len(expected) and np.allclose(losses, expected, rtol=self._tolerance)
        if not same:
            self.problems.append(f"the losses of {name}, {losses}, are not those of {other}, {expected}")
        return same


if __name__ == "__main__":
    main()
