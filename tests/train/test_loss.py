from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from med42lib.formats.packed import PackedDataset
from med42lib.train.batches import BLANK
from med42lib.train.config import ResolvedConfig
from med42lib.train.loss import make_batch, response_loss
from med42lib.train.model import load_model

CPU = torch.device("cpu")


@pytest.fixture
def data(packed_data: Path) -> PackedDataset:
    return PackedDataset(packed_data)


@pytest.fixture(params=["auto", "sdpa"])
def model(base_model: Path, config: ResolvedConfig, request: pytest.FixtureRequest) -> Any:
    return load_model(base_model / "model", config.model_copy(update={"attention": request.param}))


def test_the_loss_is_the_sum_over_response_tokens_alone(model: Any, data: PackedDataset) -> None:
    batch = make_batch(data, [1, 2], CPU)
    logits = model(input_ids=batch.input_ids_BL, position_ids=batch.position_ids_BL, use_cache=False).logits
    expected = 0.0
    for row in range(2):
        for slot in range(1, data.info.chunk_length):
            if batch.labels_BL[row, slot] != -100:
                expected -= float(
                    functional.log_softmax(logits[row, slot - 1], dim=-1)[batch.labels_BL[row, slot]].detach()
                )
    assert float(response_loss(model, batch)) == pytest.approx(expected, rel=1e-5)
    assert batch.num_response_tokens == 2 * (4 + 7)


def test_prompt_tokens_do_not_change_the_loss_by_being_labels(model: Any, data: PackedDataset) -> None:
    batch = make_batch(data, [1], CPU)
    before = float(response_loss(model, batch))
    batch.labels_BL[0, 3] = 5  # the last token of the first sample's question
    assert float(response_loss(model, batch)) > before


def test_samples_in_a_chunk_do_not_see_each_other(model: Any, data: PackedDataset) -> None:
    batch = make_batch(data, [1], CPU)
    batch.labels_BL[0, :8] = -100
    second_sample_only = float(response_loss(model, batch))
    batch.input_ids_BL[0, :8] = 60
    assert float(response_loss(model, batch)) == pytest.approx(second_sample_only, rel=1e-6)


def test_padding_does_not_change_the_loss(model: Any, data: PackedDataset) -> None:
    batch = make_batch(data, [1], CPU)
    before = float(response_loss(model, batch))
    batch.input_ids_BL[0, 22:] = 60
    assert float(response_loss(model, batch)) == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize("chunks", [[BLANK], [0], [0, BLANK]], ids=["blank", "prompts only", "both"])
def test_without_response_tokens_loss_and_gradient_are_zero(model: Any, data: PackedDataset, chunks: list[int]) -> None:
    batch = make_batch(data, chunks, CPU)
    loss = response_loss(model, batch)
    loss.backward()
    assert float(loss) == 0.0
    assert all(float(parameter.grad.abs().sum()) == 0.0 for parameter in model.parameters())


def test_a_blank_has_no_tokens(data: PackedDataset) -> None:
    assert make_batch(data, [BLANK], CPU).num_tokens == 0
    assert make_batch(data, [BLANK, 3], CPU).num_tokens == 22
    assert np.all(make_batch(data, [BLANK], CPU).labels_BL.numpy() == -100)
