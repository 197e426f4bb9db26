import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from med42lib.train.config import ResolvedConfig
from tests.bench.bench_step import GPU_DEFAULTS, GPU_VARIANTS, REPOSITORY, Table, Variant, visible_device

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


def outcome(*losses: float, method: str = "full") -> dict[str, Any]:
    return {"method": method, "losses": losses, "seconds": [0.5, 0.25], "cpu_seconds": [1.0], "peak_bytes": 1 << 30}


def test_a_trainer_that_did_other_work_is_marked_and_all_figures_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table(100, 1e-3)
    table.add("one", outcome(4.0, 3.0))
    table.add("other", outcome(4.0, 3.1))
    table.add("shorter", outcome(4.0))
    table.add("lora", outcome(4.0, 3.1, method="lora"))
    table.add("same", outcome(4.0, 3.001))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    figures = ["400", "1.00", "1.00"]
    assert lines == [
        ["one", *figures],
        ["other", *figures, "other", "losses"],
        ["shorter", *figures, "other", "losses"],
        ["lora", *figures],
        ["same", *figures],
    ]
    assert [problem.split(", (")[0] for problem in table.problems] == ["the losses of other", "the losses of shorter"]


def test_what_failed_is_a_line_and_the_reason_comes_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(100, 1e-3)
    table.add("one", "failed: a traceback\nof lines")
    table.add("slow", "not done in 5 seconds")
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["one", "failed"],
        ["slow", "not", "done", "in", "5", "seconds"],
    ]
    assert table.problems == ["one failed: a traceback\nof lines", "slow not done in 5 seconds"]


def test_a_line_is_of_the_best_step_in_all_rounds_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(100, 1e-3)
    table.add("one", outcome(4.0))
    table.add("one", {**outcome(4.0), "seconds": [0.4, 0.3]})
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first == second


@pytest.mark.slow
def test_the_process_that_starts_the_trainers_holds_no_memory_of_torch() -> None:
    code = "from tests.bench.bench_step import main; main(); import sys; sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "--model", "small", "--chunk-length", "64", "--only", "none of them"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert "small, full, float32" in done.stdout


@pytest.mark.parametrize(
    ("given", "gpu", "seen"),
    [(None, True, "0"), ("3,5", True, "3"), ("GPU-8f", True, "GPU-8f"), ("", True, ""), ("3", False, "")],
)
def test_of_the_devices_that_the_user_gives_the_first_is_used(
    monkeypatch: pytest.MonkeyPatch, given: str | None, gpu: bool, seen: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_device(gpu) == seen


def test_all_time_limits_on_a_gpu_and_making_the_model_take_at_most_eight_minutes() -> None:
    assert len(GPU_VARIANTS) * GPU_DEFAULTS["limit"] + 30 <= 8 * 60


@pytest.mark.parametrize("variant", GPU_VARIANTS, ids=lambda variant: variant.name.strip())
def test_settings_of_a_variant_are_those_of_a_training_and_divide_its_batch(variant: Variant) -> None:
    given = {"method": "full", "learning_rate": 1e-4, "warmup_steps": 1, "epochs": 1, "seed": 0, "zero_stage": 1}
    batch = {"global_batch_size": GPU_DEFAULTS["batch"], "gradient_checkpointing": False}
    config = ResolvedConfig.model_validate({**given, **batch, **variant.settings})
    assert config.global_batch_size % (config.micro_batch_size * variant.processes) == 0


@pytest.mark.slow
def test_a_trainer_that_takes_several_chunks_a_pass_has_the_same_losses() -> None:
    several = Variant("several", "med42", settings={"zero_stage": 1, "micro_batch_size": 2})
    code = f"from tests.bench.bench_step import *; VARIANTS.append({several}); main()"
    small = ["--model", "small", "--chunk-length", "64", "--steps", "2", "--only", "plain loop", "--only", "several"]
    command = [sys.executable, "-c", code, *small]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^several +[\d,]+ +\d+\.\d\d +\d+\.\d\d$", done.stdout, re.MULTILINE)
