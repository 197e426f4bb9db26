import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.bench_join import THRESHOLD, differ, made_up, search

BENCH = Path(__file__).with_name("bench_join.py")


@pytest.mark.slow
def test_the_bench_compares_equal_pairs_and_prints_ratios() -> None:
    small = ["--questions", "2000", "--items", "100", "--rounds", "1"]
    run = subprocess.run([sys.executable, str(BENCH), *small], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("2,000 questions, 100 items, 384 dimensions")
    assert re.search(r"^ +times as fast +\d+\.\d\d +\d+\.\d\d$", run.stdout, re.MULTILINE)


def test_a_pair_or_a_nearest_that_one_of_both_misses_is_told() -> None:
    train_ND, items_MD = made_up(2000, 100)
    cosines_MN = items_MD @ train_ND.T
    best_MK = np.argsort(-cosines_MN, axis=1)[:, :10].tolist()
    hits = [[{"corpus_id": n, "score": float(cosines_MN[m, n])} for n in best] for m, best in enumerate(best_MK)]
    found = search(train_ND, items_MD)
    assert differ(found, hits) == ""

    fewer = {name: getattr(found, name)[1:] for name in ("pair_train_P", "pair_item_P", "pair_cosine_P")}
    assert "not found here" in differ(replace(found, **fewer), hits)
    assert "nearest" in differ(replace(found, nearest_cosine_M=np.full(100, THRESHOLD / 2)), hits)
