import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).with_name("bench_checkpoints.py")


@pytest.mark.slow
def test_saving_is_compared_with_the_disk_and_going_on_with_beginning() -> None:
    small = ["--hidden=64", "--layers=1", "--repeats=1", "--steps=3"]
    run = subprocess.run([sys.executable, str(BENCH), *small], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    [ours, disk] = re.findall(r"^(?:ours, each later one|the disk alone) +([\d,]+) ", run.stdout, re.MULTILINE)
    assert ours == disk
    assert re.search(
        r"^ratios: training waits 1/\d+ as long .* and \d+\.\d\d of what the disk", run.stdout, re.MULTILINE
    )
    assert re.search(r"^a training that begins has done step 1 after \d+\.\d\d s", run.stdout, re.MULTILINE)
    assert re.search(r"^a training that goes on has done step 2 after \d+\.\d\d s", run.stdout, re.MULTILINE)
