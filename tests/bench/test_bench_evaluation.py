import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).with_name("bench_evaluation.py")


def test_the_bench_compares_equal_scores_on_three_workloads_and_in_shards() -> None:
    small = ["--questions=3", "--layers=1", "--shards", "1", "2"]
    run = subprocess.run([sys.executable, str(BENCH), *small], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    beside_lm_eval, in_shards = (table.splitlines() for table in run.stdout.split("\n\n"))
    assert beside_lm_eval[0].split()[-3:] == ["lm-eval", "evaluate", "ratio"]
    assert in_shards[0].split()[-4:] == ["shards", "all", "longest", "ratio"]
    assert [len(beside_lm_eval), len(in_shards)] == [1 + 3, 1 + 3 * 2]
    assert all(float(row.split()[-1]) > 0 for row in [*beside_lm_eval[1:], *in_shards[1:]])
