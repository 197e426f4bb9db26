import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).with_name("bench_evaluation.py")


def test_the_bench_compares_equal_scores_on_three_workloads() -> None:
    small = ["--questions=3", "--layers=1"]
    run = subprocess.run([sys.executable, str(BENCH), *small], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    heading, *rows = run.stdout.splitlines()
    assert heading.split()[-3:] == ["lm-eval", "evaluate", "ratio"]
    assert len(rows) == 3
    assert all(float(row.split()[-1]) > 0 for row in rows)
