import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).with_name("bench_launcher.py")


def test_the_bench_watches_a_training_to_its_end_within_its_memory() -> None:
    run = subprocess.run([sys.executable, str(BENCH), "--seconds=2"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert re.search(r"at its peak .*\nrequests to the API server: [1-9]\d* an hour$", run.stdout.strip())
