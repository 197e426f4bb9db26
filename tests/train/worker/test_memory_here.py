import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import distributed

from med42lib.formats.packed import PackInfo
from med42lib.train.config import ResolvedConfig
from med42lib.train.memory import Workload, gpu_memory
from med42lib.train.shapes import Shapes, count_parameters
from med42lib.train.worker import memory_here
from med42lib.train.worker.memory_here import choose_here
from tests.train.conftest import FULL

AUTO = FULL.model_copy(update={"zero_stage": "auto", "gradient_checkpointing": "auto"})
MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def on_a_machine_of(
    mebibytes: float, base_model: Path, packed_data: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, bool]:
    monkeypatch.setattr(memory_here, "memory_bytes", lambda: int(mebibytes * MEBIBYTE))
    info = PackInfo.read(packed_data)
    found = choose_here(AUTO, base_model, info)
    return found.zero_stage, found.gradient_checkpointing


def test_main_memory_decides_where_there_is_no_gpu_and_processes_share_it(
    base_model: Path, packed_data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = base_model / "model"
    with caplog.at_level("INFO"):
        assert on_a_machine_of(2, model, packed_data, monkeypatch) == (1, False)
    assert "trains with ZeRO-1, without gradient checkpointing" in caplog.text
    assert on_a_machine_of(0.5, model, packed_data, monkeypatch) == (3, True)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert on_a_machine_of(2, model, packed_data, monkeypatch) == (3, True)


def test_the_copy_that_a_checkpoint_is_saved_from_takes_memory_too(
    base_model: Path, packed_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = Shapes.read(json.loads((base_model / "model/config.json").read_text()))
    fastest = ResolvedConfig.model_validate({**AUTO.model_dump(), "zero_stage": 1, "gradient_checkpointing": False})
    trained = gpu_memory(shapes, Workload(fastest, 24, masked=False), 1).total * 1.1 / 0.92
    copied = 12 * count_parameters(shapes) / 0.92
    model = base_model / "model"
    assert on_a_machine_of((trained + 0.9 * copied) / MEBIBYTE, model, packed_data, monkeypatch) != (1, False)
    assert on_a_machine_of((trained + 1.1 * copied) / MEBIBYTE, model, packed_data, monkeypatch) == (1, False)


def test_main_memory_that_cannot_hold_the_copy_beside_a_gpu_is_told(
    base_model: Path, packed_data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    on_a_machine_of(0.01, base_model / "model", packed_data, monkeypatch)
    assert "the first checkpoint may end the training" in caplog.text


def test_a_model_of_another_kind_is_split_as_far_as_can_be(
    packed_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"n_embd": 64, "num_local_experts": 8}))
    with caplog.at_level("INFO"):
        assert on_a_machine_of(1000, tmp_path, packed_data, monkeypatch) == (3, False)
    assert "the memory that this model needs is not worked out: the base model is a mixture of experts" in caplog.text
