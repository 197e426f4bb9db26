import time

import pytest
import torch

from med42lib.train.timing import StepTimer


def test_a_part_takes_the_time_since_the_last_one_ended_and_adds_up() -> None:
    timer = StepTimer(torch.device("cpu"))
    for _ in range(2):
        time.sleep(0.02)
        timer.end("forward")
        timer.end("backward")
    seconds = timer.seconds()
    assert seconds["forward"] == pytest.approx(0.04, abs=0.03)
    assert seconds["forward"] >= 0.04
    assert seconds["backward"] < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_work_is_timed_and_not_its_start() -> None:
    matrix = torch.randn(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    timer, started = StepTimer(matrix.device), time.perf_counter()
    for _ in range(20):
        matrix @ matrix
    timer.end("forward")
    submitted = time.perf_counter() - started
    torch.cuda.synchronize()
    assert timer.seconds()["forward"] > 5 * submitted
