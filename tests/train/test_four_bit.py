"""With bitsandbytes, which no image of ours has: `make test-qlora`. Without it, what computes with it is skipped."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from med42lib.core.errors import EnvironmentProblem
from med42lib.formats.model_folder import ADAPTER_WEIGHTS_FILE
from med42lib.train.four_bit import check_four_bit
from med42lib.train.memory import Workload, gpu_memory
from med42lib.train.model import load_model
from med42lib.train.shapes import Shapes, count_parameters
from med42lib.train.weights import count_elements
from tests.tiny_llama import make_llama
from tests.train.conftest import FULL, RESOLVED, VOCABULARY, job_of, output_of, read_metric, train_alone

CPU = torch.device("cpu")
QLORA = RESOLVED.model_copy(update={"method": "qlora", "zero_stage": 1})
SIZES: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}


@pytest.fixture
def _bitsandbytes() -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed; make test-qlora")


@pytest.fixture
def base(base_model: Path, tmp_path: Path) -> Path:
    """A base whose layers have whole blocks of 64 weights; its tokenizer is the other base's."""
    torch.manual_seed(0)
    llama = make_llama(
        vocab_size=VOCABULARY, num_key_value_heads=2, max_position_embeddings=64, eos_token_id=1, **SIZES
    )
    llama.save_pretrained(tmp_path / "base/model")
    for path in (base_model / "model").glob("tokenizer*"):
        (tmp_path / "base/model" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "base"


def test_without_its_library_it_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(
        EnvironmentProblem, match=r"qlora, which needs the package bitsandbytes .* set train's method to"
    ):
        check_four_bit(CPU)


@pytest.mark.usefixtures("_bitsandbytes")
def test_a_device_that_cannot_compute_so_is_refused() -> None:
    check_four_bit(CPU)
    with pytest.raises(EnvironmentProblem, match="cannot compute on meta"):
        check_four_bit(torch.device("meta"))


@pytest.mark.usefixtures("_bitsandbytes")
def test_the_base_is_in_four_bits_but_for_embedding_and_output_layer_and_takes_what_is_planned(base: Path) -> None:
    model = load_model(base / "model", QLORA)
    frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    packed = {name for name, p in frozen.items() if p.dtype == torch.uint8}
    assert len(packed) == 2 * 7
    shapes = Shapes.read(model.config.to_dict())
    assert count_elements(frozen.values()) == count_parameters(shapes)
    taken = sum(p.nbytes for p in frozen.values()) + sum(_scale_bytes(p) for p in frozen.values())
    planned = gpu_memory(shapes, Workload(QLORA, 24, masked=False), 1).weights
    adapter = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    assert planned == pytest.approx(taken + adapter, rel=0.05)


def _scale_bytes(weight: Any) -> int:
    state = getattr(weight, "quant_state", None)
    return 0 if state is None else int(state.absmax.nbytes + state.state2.absmax.nbytes)


@pytest.mark.usefixtures("_bitsandbytes")
def test_its_loss_is_near_the_unpacked_bases_and_the_same_in_training_and_outside(base: Path) -> None:
    ids = torch.arange(3, 27)[None]
    model, plain = load_model(base / "model", QLORA), load_model(base / "model", RESOLVED)
    trained = [model(input_ids=ids, use_cache=False).logits for _ in range(2)]
    with torch.no_grad():
        outside = model.eval()(input_ids=ids, use_cache=False).logits
        expected = plain(input_ids=ids, use_cache=False).logits
    again = model.train()(input_ids=ids, use_cache=False).logits
    assert torch.equal(trained[0], trained[1])
    assert torch.equal(trained[0], outside)
    assert torch.equal(trained[0], again)
    assert 0 < float((outside - expected).abs().max()) < 0.2 * float(expected.abs().max())


@pytest.mark.slow
@pytest.mark.usefixtures("_bitsandbytes")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_adapter_is_trained_on_it_that_fits_the_base_itself(
    base: Path, packed_data: Path, tmp_path: Path, precision: str
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    settings = {"method": "qlora", "zero_stage": "auto", "epochs": 4, "precision": precision}
    job = job_of(FULL.model_copy(update=settings), packed_data, base, tmp_path / "store")
    job.write()
    train_alone([job], tmp_path)
    losses = read_metric(output_of(job), "loss")
    assert losses[-1] < losses[0] - 0.05
    adapter = output_of(job) / "peft"
    assert (adapter / ADAPTER_WEIGHTS_FILE).exists()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base / "model"), adapter)
    assert torch.isfinite(model(input_ids=torch.arange(3, 27)[None]).logits).all()
