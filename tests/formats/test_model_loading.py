from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed import DistNetworkError
from transformers import AutoModelForCausalLM

from med42lib.core.errors import DataError, EnvironmentProblem
from med42lib.formats.model_loading import load_weights
from tests.json_files import edit
from tests.tiny_llama import make_llama


def write_model(folder: Path, *, tied: bool = False) -> Path:
    make_llama(vocab_size=16, tie_word_embeddings=tied).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("tied", [False, True])
def test_a_whole_model_is_loaded_in_the_chosen_precision(tmp_path: Path, tied: bool) -> None:
    model = load_weights(write_model(tmp_path, tied=tied), "bfloat16")
    assert model.dtype == torch.bfloat16


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation"])
def test_the_configuration_does_not_choose_how_attention_is_computed(tmp_path: Path, key: str) -> None:
    edit(write_model(tmp_path) / "config.json", **{key: "eager"})
    assert load_weights(tmp_path, "float32").config._attn_implementation == "sdpa"
    assert load_weights(tmp_path, "float32", attn_implementation="eager").config._attn_implementation == "eager"


def test_a_kernel_named_in_the_configuration_is_refused(tmp_path: Path) -> None:
    edit(write_model(tmp_path) / "config.json", **{"_attn_implementation": "someone/kernel"})
    with pytest.raises(DataError, match=r"chooses which code runs \(_attn_implementation: 'someone/kernel'\)"):
        load_weights(tmp_path, "float32")


def test_an_adapter_in_the_models_own_folder_is_refused(tmp_path: Path) -> None:
    (write_model(tmp_path) / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/model"}')
    with pytest.raises(DataError, match=r"holds a model and, in adapter_config\.json, an adapter"):
        load_weights(tmp_path, "float32")


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    path = write_model(tmp_path) / "model.safetensors"
    torch.save(load_file(path), tmp_path / "pytorch_model.bin")
    path.unlink()
    with pytest.raises(DataError, match=r"cannot be loaded .*safetensors"):
        load_weights(tmp_path, "float32")


def test_a_missing_weight_is_an_error_and_not_a_random_number(tmp_path: Path) -> None:
    path = write_model(tmp_path) / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.0.self_attn.q_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"1 weights are missing.*q_proj\.weight\); make that model again"):
        load_weights(tmp_path, "float32")


@pytest.mark.parametrize("keep", [0, 1000, -1])
def test_a_weight_file_that_was_cut_is_an_error(tmp_path: Path, keep: int) -> None:
    path = write_model(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="cannot be loaded"):
        load_weights(tmp_path, "float32")


def failing_with(error: Exception) -> Any:
    def load(*_: object, **__: object) -> None:
        raise error

    return load


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), torch.AcceleratorError("CUDA error")],
)
def test_a_full_gpu_is_not_the_models_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", failing_with(error))
    with pytest.raises(EnvironmentProblem, match=r"\(CUDA .*\); free GPU memory"):
        load_weights(tmp_path, "float32")


@pytest.mark.parametrize(
    "error",
    [
        DistNetworkError("The client socket has timed out"),
        RuntimeError(
            "[/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer"
        ),
    ],
)
def test_a_training_process_that_is_gone_is_not_the_models_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", failing_with(error))
    with pytest.raises(type(error)):
        load_weights(tmp_path, "float32")
