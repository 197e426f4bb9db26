"""Finding pairs above 0.8 and each question's nearest: this project beside sentence-transformers' semantic_search.

    python tests/bench/bench_join.py
    OMP_NUM_THREADS=1 python tests/bench/bench_join.py --questions 100000 --items 5000

Both get the same vectors and all cores, in turn, in several rounds of which the best counts: seconds of the clock, and
of the processor, which say more on a machine that is busy otherwise. Vectors are made up with the spectrum that
all-MiniLM-L6-v2 has on real medical questions; every twentieth item is near a training question. That both find the
same is checked before anything is printed: all pairs above 0.8, as far as semantic_search's ten of each item reach, and
each item's nearest.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from med42lib.decontaminate.config import DecontaminateConfig  # noqa: E402
from med42lib.decontaminate.similarity import Comparison, compare  # noqa: E402

T = TypeVar("T")
Vectors = NDArray[np.float32]

THRESHOLD, TOP_K = 0.8, 10
DIMENSIONS = 384
QUESTIONS_PER_TOPIC = 40
ROUNDING = 1e-5
SPECTRUM = {
    0: 0.194,
    1: 0.0477,
    2: 0.033,
    4: 0.0245,
    8: 0.0172,
    16: 0.0103,
    32: 0.0058,
    64: 0.0032,
    128: 0.00145,
    256: 0.00028,
    383: 1e-6,
}
"""Mean squared length along an axis, of 1,024 questions in the publishers' files; the first is what all have in common.
Between these it is interpolated."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """What a search took."""

    clock: float
    processor: float


def main() -> None:
    options = parse_options()
    train_ND, items_MD = made_up(options.questions, options.items)
    ours: list[Seconds] = []
    theirs: list[Seconds] = []
    for _ in range(options.rounds):
        found = timed(lambda: search(train_ND, items_MD), ours)
        hits = timed(lambda: search_semantically(train_ND, items_MD), theirs)
        if difference := differ(found, hits):
            sys.exit(f"the two found other pairs: {difference}")
    report(options, len(found.pair_train_P), ours, theirs)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=300_000, help="in training (default: 300000)")
    parser.add_argument("--items", type=int, default=10_000, help="evaluation items (default: 10000)")
    parser.add_argument("--rounds", type=int, default=2, help="of which the best counts (default: 2)")
    return parser.parse_args()


def made_up(num_questions: int, num_items: int) -> tuple[Vectors, Vectors]:
    """Draw unit vectors of questions and items around the same topics, every twentieth item near a question."""
    dice = np.random.default_rng(0)
    known = np.log1p(list(SPECTRUM)), np.log(list(SPECTRUM.values()))
    spread_D = np.sqrt(np.exp(np.interp(np.log1p(np.arange(DIMENSIONS)), *known))).astype(np.float32)
    axes_DD = np.linalg.qr(dice.normal(size=(DIMENSIONS, DIMENSIONS)))[0].astype(np.float32)

    def draw(number: int) -> Vectors:
        drawn = dice.standard_normal((number, DIMENSIONS), dtype=np.float32) * spread_D
        drawn[:, 0] = spread_D[0]
        return drawn

    topics = draw(max(1, num_questions // QUESTIONS_PER_TOPIC))
    train_ND, items_MD = (
        unit(np.float32(0.75) * topics[dice.integers(len(topics), size=number)] + np.float32(0.66) * draw(number))
        for number in (num_questions, num_items)
    )
    near = slice(0, num_items, 20)
    away = dice.uniform(0.1, 0.7, size=(len(items_MD[near]), 1)).astype(np.float32)
    items_MD[near] = train_ND[dice.integers(num_questions, size=len(away))] + away * items_MD[near]
    return unit(train_ND @ axes_DD), unit(items_MD @ axes_DD)


def unit(rows: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths


def timed(work: Callable[[], T], seconds: list[Seconds]) -> T:
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    seconds.append(Seconds(time.perf_counter() - clock, time.process_time() - processor))
    return result


def search(train_ND: Vectors, items_MD: Vectors) -> Comparison:
    rows_per_block = DecontaminateConfig().rows_per_block
    return compare(train_ND, items_MD, threshold=THRESHOLD, rows_per_block=rows_per_block)


def search_semantically(train_ND: Vectors, items_MD: Vectors) -> list[list[dict[str, Any]]]:
    import torch
    from sentence_transformers.util import semantic_search

    hits: list[list[dict[str, Any]]]
    hits = semantic_search(torch.from_numpy(items_MD), torch.from_numpy(train_ND), top_k=TOP_K)
    return hits


def differ(found: Comparison, hits: list[list[dict[str, Any]]]) -> str:
    """Name what one found and the other did not; float32 decides nothing within 1e-5 of the threshold or of a tie."""
    ours: dict[int, dict[int, float]] = {item: {} for item in range(len(hits))}
    for item, train, cosine in zip(found.pair_item_P, found.pair_train_P, found.pair_cosine_P, strict=True):
        ours[int(item)][int(train)] = float(cosine)
    for item, best in enumerate(hits):
        theirs = {hit["corpus_id"]: hit["score"] for hit in best if hit["score"] > THRESHOLD}
        missed = {train for train in theirs.keys() - ours[item].keys() if theirs[train] > THRESHOLD + ROUNDING}
        least = min(theirs.values()) if len(theirs) == TOP_K else THRESHOLD
        more = {train for train in ours[item].keys() - theirs.keys() if ours[item][train] > least + ROUNDING}
        if missed or more:
            return f"item {item}: {sorted(missed)} not found here, {sorted(more)} not found by semantic_search"
        if abs(best[0]["score"] - found.nearest_cosine_M[item]) > ROUNDING:
            return f"item {item}: nearest {best[0]['score']}, here {found.nearest_cosine_M[item]}"
    return ""


def report(options: argparse.Namespace, num_pairs: int, ours: list[Seconds], theirs: list[Seconds]) -> None:
    asked = f"{options.questions:,} questions, {options.items:,} items, {DIMENSIONS} dimensions"
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    print(f"{asked}, {threads} threads; the same {num_pairs:,} pairs and nearest from both, checked")
    print(f"{'':>22}{'clock':>12}{'processor':>14}")
    best = [Seconds(min(s.clock for s in all), min(s.processor for s in all)) for all in (theirs, ours)]
    for name, seconds in zip(("semantic_search", "compare"), best, strict=True):
        print(f"{name:>22}{seconds.clock:10.1f} s{seconds.processor:12.1f} s")
    print(f"{'times as fast':>22}{best[0].clock / best[1].clock:12.2f}{best[0].processor / best[1].processor:14.2f}")


if __name__ == "__main__":
    main()
