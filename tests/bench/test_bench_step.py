import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.bench_step import check_losses

BENCH = Path(__file__).with_name("bench_step.py")


@pytest.mark.slow
def test_the_worker_and_a_plain_loop_are_compared_on_the_same_losses() -> None:
    small = [
        "--model",
        "small",
        "--chunk-length",
        "64",
        "--steps",
        "2",
        "--only",
        "med42, ZeRO-1",
        "--only",
        "plain loop",
    ]
    run = subprocess.run([sys.executable, str(BENCH), *small], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert re.search(r"^med42, ZeRO-1 +[\d,]+ +\d+\.\d\d +\d+\.\d\d$", run.stdout, re.MULTILINE)
    assert re.search(r"^plain loop +[\d,]+ +\d+\.\d\d +\d+\.\d\d$", run.stdout, re.MULTILINE)


@pytest.mark.slow
def test_without_a_gpu_its_numbers_stay_open() -> None:
    command = [sys.executable, str(BENCH), "--gpu"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (run.returncode, run.stdout) == (
        0,
        "bench of a step on a GPU: there is none here, so its numbers stay open\n",
    )


def test_trainers_that_did_other_work_are_not_compared() -> None:
    outcomes = {"one": {"method": "full", "losses": [4.0, 3.0]}, "other": {"method": "full", "losses": [4.0, 3.1]}}
    with pytest.raises(SystemExit, match="the losses of other"):
        check_losses(outcomes, 1e-3)
    check_losses({**outcomes, "other": {"method": "lora", "losses": [4.0, 3.1]}}, 1e-3)
