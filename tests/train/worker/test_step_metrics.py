from dataclasses import replace

import pytest

from med42lib.formats.models import Precision
from med42lib.train.flops import ModelFlops
from med42lib.train.loop import StepResult, no_wishes
from med42lib.train.worker import step_metrics
from med42lib.train.worker.step_metrics import StepMetrics

STEP = StepResult(
    loss=1.5,
    learning_rate=1e-4,
    grad_norm=0.5,
    loss_scale=None,
    num_tokens=1000,
    num_response_tokens=300,
    num_pairs=50_000,
    seconds=2.0,
    part_seconds={"data": 0.1, "forward": 0.6},
    peak_memory_bytes=3 << 30,
    wishes=no_wishes(),
)
FLOPS = ModelFlops(weights=10**6, output_weights=10**5, adapter_weights=0, attention=10**3)


def test_a_steps_numbers_have_the_fields_names() -> None:
    assert StepMetrics(num_devices=4, flops=FLOPS, peak=1e10).of_step(STEP) == {
        "loss": 1.5,
        "learning_rate": 1e-4,
        "grad_norm": 0.5,
        "tokens_per_second": 500.0,
        "tokens_per_second_per_device": 125.0,
        "mfu": pytest.approx((6 * (10**9 + 3 * 10**7) + 12 * 10**3 * 50_000) / (2.0 * 4 * 1e10)),
        "peak_memory_gib": 3.0,
        "step_seconds": 2.0,
        "data_seconds": 0.1,
        "forward_seconds": 0.6,
    }


@pytest.mark.parametrize("unknown", [{"flops": None}, {"peak": None}])
def test_what_is_not_known_is_absent(unknown: dict[str, None]) -> None:
    metrics = replace(StepMetrics(1, FLOPS, 1e10), **unknown).of_step(STEP)
    assert "mfu" not in metrics
    assert "loss_scale" not in metrics


def test_the_loss_scale_is_there_with_float16() -> None:
    assert StepMetrics(1, None, None).of_step(replace(STEP, loss_scale=65536.0))["loss_scale"] == 65536.0


@pytest.mark.parametrize(
    ("gpu", "precision", "told"),
    [
        ("NVIDIA H100 80GB HBM3", "float32", True),
        ("NVIDIA H100 80GB HBM3", "bfloat16", False),
        ("", "float32", False),
    ],
)
def test_float32_is_warned_of_on_gpus_that_are_faster_in_16_bits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, gpu: str, precision: Precision, told: bool
) -> None:
    monkeypatch.setattr(step_metrics, "gpu_name", lambda: gpu)
    step_metrics.warn_of_float32(precision)
    assert ("trains in float32, in which NVIDIA H100 80GB HBM3 is 15 times slower" in caplog.text) is told
