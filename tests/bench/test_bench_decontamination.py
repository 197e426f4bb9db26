import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).with_name("bench_decontamination.py")


@pytest.mark.slow
def test_the_bench_compares_equal_bytes_and_prints_a_ratio() -> None:
    small = ["--questions", "60", "--items", "20", "--shards", "1", "2"]
    run = subprocess.run([sys.executable, str(BENCH), *small], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("80 made-up questions")
    assert re.search(r"^ +2 +\d+\.\d s +\d+\.\d s +\d\.\d\d +\d+\.\d s$", run.stdout, re.MULTILINE)
    for change in ("another threshold", "a tenth more questions"):
        assert re.search(rf"^{change}: .* where embeddings are kept, the same bytes$", run.stdout, re.MULTILINE)
