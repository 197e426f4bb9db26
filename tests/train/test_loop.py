"""The loop with plain PyTorch in DeepSpeed's place, in one process."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from torch import distributed

from med42lib.core.errors import DivergedError
from med42lib.formats.packed import PackedDataset
from med42lib.train.batches import steps
from med42lib.train.config import TrainConfig
from med42lib.train.fit import count_steps
from med42lib.train.loop import StepResult, Totals, check_finite, train_steps
from med42lib.train.schedule import Schedule
from tests.train.plain_engine import PlainEngine


@pytest.fixture(autouse=True)
def _one_process() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def run(base_model: Path, packed_data: Path, config: TrainConfig) -> list[StepResult]:
    from transformers import AutoModelForCausalLM

    data = PackedDataset(packed_data)
    model = AutoModelForCausalLM.from_pretrained(base_model / "model")
    engine = PlainEngine(model, config.global_batch_size // config.micro_batch_size)
    schedule = Schedule(config.learning_rate, config.warmup_steps, count_steps(len(data), config), 0.1)
    return list(train_steps(engine, data, steps(len(data), config), schedule, config))


def test_every_epochs_tokens_are_counted_and_the_loss_falls(
    base_model: Path, packed_data: Path, config: TrainConfig
) -> None:
    results = run(base_model, packed_data, config.model_copy(update={"epochs": 5, "learning_rate": 1.0}))
    info = PackedDataset(packed_data).info
    assert sum(result.num_tokens for result in results) == 5 * info.num_tokens
    assert sum(result.num_response_tokens for result in results) == 5 * info.num_response_tokens
    assert results[-2].loss < results[0].loss - 0.05


def test_how_chunks_meet_in_forward_passes_does_not_change_the_result(
    base_model: Path, packed_data: Path, config: TrainConfig
) -> None:
    one = run(base_model, packed_data, config)
    four = run(base_model, packed_data, config.model_copy(update={"micro_batch_size": 4}))
    assert [result.loss for result in four] == pytest.approx([result.loss for result in one], rel=1e-5)
    assert [result.grad_norm for result in four] == pytest.approx([result.grad_norm for result in one], rel=1e-4)


def test_the_loss_is_a_mean_per_response_token(base_model: Path, packed_data: Path, config: TrainConfig) -> None:
    first = run(base_model, packed_data, config)[0]
    assert first.loss == pytest.approx(4.16, abs=0.2)  # an untrained model: about the logarithm of 64


def test_a_step_says_what_its_parts_took_and_what_attention_joined(
    base_model: Path, packed_data: Path, config: TrainConfig
) -> None:
    results = run(base_model, packed_data, config)
    assert sum(result.num_pairs for result in results) == 2 * 9 * (8**2 + 14**2)  # two samples to each of nine chunks
    for result in results:
        assert result.part_seconds.keys() == {"data", "wait", "forward", "backward", "optimizer"}
        assert 0.5 * result.seconds < sum(result.part_seconds.values()) <= result.seconds
        assert result.peak_memory_bytes > 10 << 20
        assert result.loss_scale is None


def test_rates_follow_the_schedule(base_model: Path, packed_data: Path, config: TrainConfig) -> None:
    rates = [result.learning_rate for result in run(base_model, packed_data, config)]
    assert rates[0] == config.learning_rate
    assert rates[-1] == pytest.approx(config.learning_rate / 10)


def test_a_loss_that_is_no_number_ends_training_with_the_step_and_the_rate(
    base_model: Path, packed_data: Path, config: TrainConfig
) -> None:
    fast = config.model_copy(update={"learning_rate": 1e30})
    first, second, *_ = run(base_model, packed_data, fast)
    check_finite(1, first, fast)
    with pytest.raises(DivergedError, match=r"at step 2: loss nan.*learning_rate \(now 1e\+30\)"):
        check_finite(2, second, fast)


def test_an_infinite_gradient_is_normal_in_float16_alone_and_a_loss_that_is_no_number_never(
    base_model: Path, packed_data: Path, config: TrainConfig
) -> None:
    step, *_ = run(base_model, packed_data, config)
    half = config.model_copy(update={"precision": "float16"})
    check_finite(1, replace(step, grad_norm=math.inf), half)
    for wrong, precision in (
        (replace(step, grad_norm=math.inf), config),
        *((replace(step, loss=math.nan), c) for c in (config, half)),
    ):
        with pytest.raises(DivergedError):
            check_finite(1, wrong, precision)


def test_the_first_loss_is_that_of_the_first_step(base_model: Path, packed_data: Path, config: TrainConfig) -> None:
    totals, steps_done = Totals(), run(base_model, packed_data, config)
    for step in steps_done:
        totals = totals.after(step)
    assert (totals.first_loss, totals.last_loss) == (steps_done[0].loss, steps_done[-1].loss)
    assert totals.num_steps == len(steps_done) > 1
