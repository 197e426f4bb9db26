from typing import Any

import pytest

from med42lib.planning.base_model import KNOWN_CONFIGS
from med42lib.planning.duration import default_mfu, plan_duration
from med42lib.planning.hardware import parse_cluster
from med42lib.train.config import ResolvedConfig
from med42lib.train.memory import Workload
from med42lib.train.shapes import Shapes

LLAMA_2_7B = Shapes.read(KNOWN_CONFIGS["llama-2-7b"])
SETTLED: dict[str, Any] = {"zero_stage": 3, "gradient_checkpointing": False}
BASE: dict[str, Any] = {"learning_rate": 1e-4, "warmup_steps": 0, "global_batch_size": 128, "seed": 1}
PAPER: dict[str, Any] = {"chunks": 56_250, "tokens": 230_400_000.0, "span": 4096.0}


def config(method: str = "full", **settings: Any) -> ResolvedConfig:
    return ResolvedConfig(**{**BASE, **SETTLED, "method": method, "precision": "float16", "epochs": 3, **settings})


def work_of(**settings: Any) -> Workload:
    return Workload(config(**settings), 4096, masked=False)


def test_a_training_takes_the_arithmetic_of_its_tokens_at_a_share_of_the_gpus_speed() -> None:
    took = plan_duration(LLAMA_2_7B, work_of(), parse_cluster("v100-8x16"), **PAPER, mfu=0.5)
    assert took.steps == 3 * 440
    assert took.tokens == 3 * 230_400_000
    # 6 for each weight but the embedding's, and a sixth of that for attention over 4,096 positions.
    assert took.flops == pytest.approx(took.tokens * 6 * 6.607e9 * (1 + 1 / 6.15), rel=0.01)
    assert took.gpu_hours == pytest.approx(took.flops / (125e12 * 0.5) / 3600)
    assert took.hours == pytest.approx(took.gpu_hours / 128)


def test_a_training_that_stops_early_takes_its_share() -> None:
    whole, stopped = (
        plan_duration(LLAMA_2_7B, work_of(max_steps=steps), parse_cluster("h200-1x8"), **PAPER, mfu=0.4)
        for steps in (None, 132)
    )
    assert stopped.steps == 132
    assert stopped.hours == pytest.approx(whole.hours / 10)


def test_float32_is_slower_by_what_the_data_sheet_says() -> None:
    half, single = (
        plan_duration(LLAMA_2_7B, work_of(precision=precision), parse_cluster("h200-1x8"), **PAPER, mfu=0.4)
        for precision in ("float16", "float32")
    )
    assert single.hours / half.hours == pytest.approx(989 / 67)


@pytest.mark.parametrize(("span", "of_attention"), [(0.0, 0.0), (4096.0, 0.14)])
def test_lora_takes_two_thirds_of_the_arithmetic_and_all_of_attentions(span: float, of_attention: float) -> None:
    full, lora = (
        plan_duration(LLAMA_2_7B, work_of(method=method), parse_cluster("h200-1x8"), **PAPER | {"span": span}, mfu=0.4)
        for method in ("full", "lora")
    )
    assert lora.flops / full.flops == pytest.approx(2 / 3 * (1 - of_attention) + of_attention, abs=0.01)


def test_the_share_is_the_one_that_was_measured_with_such_settings() -> None:
    assert default_mfu(config(zero_stage=3)) == 0.15
    assert default_mfu(config(zero_stage=3, gradient_checkpointing=True)) == pytest.approx(0.10)
    assert default_mfu(config(zero_stage=1)) == 0.28
    assert default_mfu(config("lora", zero_stage=3)) == 0.05
