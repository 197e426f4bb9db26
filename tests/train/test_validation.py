from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from med42lib.formats.packed import PackedDataset
from med42lib.train.config import TrainConfig
from med42lib.train.loss import make_batch, response_loss
from med42lib.train.validation import validation_loss
from tests.train.plain_engine import PlainEngine


@pytest.fixture(autouse=True)
def _one_process() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture
def model(base_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base_model / "model")


@pytest.mark.parametrize("micro_batch_size", [1, 2, 4])
def test_it_is_the_mean_over_response_tokens_of_held_out_chunks_alone(
    model: Any, packed_with_validation: Path, config: TrainConfig, micro_batch_size: int
) -> None:
    data = PackedDataset(packed_with_validation)
    settings = config.model_copy(update={"micro_batch_size": micro_batch_size})
    batch = make_batch(data, [9, 10, 11], torch.device("cpu"))
    with torch.no_grad():
        expected = float(response_loss(model, batch)) / batch.num_response_tokens
    assert validation_loss(PlainEngine(model, 1), data, settings) == pytest.approx(expected, rel=1e-6)


def test_a_measurement_that_breaks_off_leaves_the_model_in_training(
    model: Any, packed_with_validation: Path, config: TrainConfig
) -> None:
    model.train()
    model.lm_head.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        validation_loss(PlainEngine(model, 1), PackedDataset(packed_with_validation), config)
    assert model.training
    assert torch.is_grad_enabled()


def test_it_leaves_no_gradient_and_goes_on_in_training(
    model: Any, packed_with_validation: Path, config: TrainConfig
) -> None:
    modes: list[bool] = []
    model.train()
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    validation_loss(PlainEngine(model, 1), PackedDataset(packed_with_validation), config)
    assert modes == [False] * 3
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
