import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.bench_join import THRESHOLD, differ, made_up, search, search_semantically

BENCH = Path(__file__).with_name("bench_join.py")


@pytest.mark.slow
def test_the_bench_compares_equal_pairs_and_prints_ratios() -> None:
    small = ["--questions", "2000", "--items", "100", "--rounds", "1"]
    run = subprocess.run([sys.executable, str(BENCH), *small], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("2,000 questions, 100 items, 384 dimensions")
    assert re.search(r"^ +times as fast +\d+\.\d\d +\d+\.\d\d$", run.stdout, re.MULTILINE)


@pytest.mark.slow
def test_a_pair_or_a_nearest_that_one_of_both_misses_is_told() -> None:
    vectors = made_up(2000, 100)
    found, hits = search(*vectors), search_semantically(*vectors)
    assert differ(found, hits) == ""

    fewer = {name: getattr(found, name)[1:] for name in ("pair_train_P", "pair_item_P", "pair_cosine_P")}
    assert "not found here" in differ(replace(found, **fewer), hits)
    wrong = replace(found, nearest_cosine_M=np.full(100, THRESHOLD / 2))
    assert "nearest" in differ(wrong, hits)
