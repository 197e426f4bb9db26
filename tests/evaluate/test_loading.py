import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from med42lib.core.errors import DataError
from med42lib.evaluate.loading import load_model, load_outline
from med42lib.evaluate.locate import ModelFolders
from tests.json_files import edit

Load = Callable[..., tuple[Any, Any]]
TOKENS = torch.tensor([[5, 6, 7, 8, 9]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits  # type: ignore[no-any-return]


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    """A base that a test may break."""
    shutil.copytree(base, tmp_path / "copy")
    return tmp_path / "copy"


def test_weights_are_loaded_in_the_chosen_precision(base: Path) -> None:
    folders = ModelFolders(base / "model", None)
    assert load_model(folders, "float32")[0].dtype == torch.float32
    assert load_model(folders, "bfloat16")[0].dtype == torch.bfloat16


def test_an_adapter_changes_the_base_it_is_put_on(base: Path, adapter: Path, load: Load) -> None:
    plain, adapted = logits(load(base)[0]), logits(load(adapter, base)[0])
    assert (plain - adapted).abs().max() > 0.1


def test_an_adapter_gives_what_its_merged_weights_give(base: Path, adapter: Path, load: Load) -> None:
    adapted = load(adapter, base)[0]
    expected = logits(adapted)
    torch.testing.assert_close(logits(adapted.merge_and_unload()), expected, atol=1e-4, rtol=1e-4)


def test_a_weight_file_cut_in_the_middle_is_an_error(copy: Path, load: Load) -> None:
    path = copy / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be loaded"):
        load(copy)


def test_a_missing_weight_is_an_error_and_not_a_random_number(copy: Path, load: Load) -> None:
    path = copy / "model" / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"1 weights are missing.*layers\.1\.mlp\.up_proj"):
        load(copy)


def test_a_weight_of_another_shape_is_an_error(copy: Path, load: Load) -> None:
    path = copy / "model" / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = torch.ones(16)
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match="cannot be loaded"):
        load(copy)


def test_an_adapter_that_lacks_a_weight_is_an_error(base: Path, adapter: Path, tmp_path: Path, load: Load) -> None:
    shutil.copytree(adapter, tmp_path / "cut")
    path = tmp_path / "cut" / "peft" / "adapter_model.safetensors"
    weights = load_file(path)
    del weights[next(name for name in weights if "layers.0.mlp.up_proj.lora_B" in name)]
    save_file(weights, path)
    with pytest.raises(DataError, match="missing adapter keys"):
        load(tmp_path / "cut", base)


@pytest.mark.parametrize("entries", [{"r": "lots"}, {"r": 0}, {"target_modules": 5}, {"lora_alpha": []}, {"bias": 7}])
def test_a_forged_setting_of_an_adapter_is_an_error(
    base: Path, adapter: Path, tmp_path: Path, load: Load, entries: dict[str, object]
) -> None:
    shutil.copytree(adapter, tmp_path / "forged")
    edit(tmp_path / "forged" / "peft" / "adapter_config.json", **entries)
    with pytest.raises(DataError, match="peft cannot be loaded"):
        load(tmp_path / "forged", base)


def test_an_adapter_for_another_base_is_an_error(base: Path, adapter: Path, tmp_path: Path, load: Load) -> None:
    shutil.copytree(adapter, tmp_path / "other")
    path = tmp_path / "other" / "peft" / "adapter_model.safetensors"
    save_file({name: torch.ones(4, 64) for name in load_file(path)}, path)
    with pytest.raises(DataError, match="cannot be loaded"):
        load(tmp_path / "other", base)


def test_an_outline_has_the_models_context_and_tokenizer_and_not_one_weight(copy: Path, load: Load) -> None:
    model, tokenizer = load(copy)
    (copy / "model" / "model.safetensors").unlink()
    outline, of_outline = load_outline(ModelFolders(copy / "model", None))
    assert all(weight.is_meta for weight in outline.parameters())
    assert outline.config.max_position_embeddings == model.config.max_position_embeddings
    assert of_outline("Does aspirin lower fever?") == tokenizer("Does aspirin lower fever?")
