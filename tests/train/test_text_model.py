import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, Gemma3Config
from transformers import PreTrainedTokenizerFast as Fast

from med42lib.formats.merging import merge_adapter
from med42lib.train.adapter import without_adapter
from med42lib.train.config import ResolvedConfig
from med42lib.train.model import load_model
from med42lib.train.weights import save_adapter, save_trained
from tests.tiny_tokenizer import byte_level

TEXT = {"vocab_size": 400, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "head_dim": 8}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1}
EYES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGES = {"image_size": 28, "patch_size": 14}


@pytest.fixture
def gemma(tmp_path: Path) -> Path:
    """A tiny Gemma 3 that sees."""
    torch.manual_seed(0)
    settings = Gemma3Config(text_config=TEXT | HEADS, vision_config=EYES | IMAGES, mm_tokens_per_image=4)
    AutoModelForCausalLM.from_config(settings).save_pretrained(tmp_path / "base")
    Fast(tokenizer_object=byte_level(["fever"]), eos_token="</s>").save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_a_full_fine_tune_leaves_the_vision_tower_as_it_is(gemma: Path, config: ResolvedConfig) -> None:
    model = load_model(gemma, config)
    frozen = {name.split(".")[1] for name, weight in model.named_parameters() if not weight.requires_grad}
    trained = {name.split(".")[1] for name, weight in model.named_parameters() if weight.requires_grad}
    assert (frozen, trained) == ({"vision_tower", "multi_modal_projector"}, {"language_model"})


def test_an_adapter_is_put_on_the_text_model_alone_wherever_it_is_loaded(
    gemma: Path, tmp_path: Path, config: ResolvedConfig, recwarn: pytest.WarningsRecorder
) -> None:
    model = load_model(gemma, config.model_copy(update={"method": "lora"}))
    adapted = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert len(adapted) == 2 * 7
    assert all("language_model" in name for name in adapted)
    assert without_adapter(model) == []
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    for name in ("adapter", "merged"):
        (tmp_path / name).mkdir()
    names = {"base_name": "sha256:abc", "base_hub": None}
    save_adapter(model, tmp_path / "adapter", **names, gather=lambda weights: nullcontext(), writes=True)
    assert merge_adapter(gemma, tmp_path / "adapter", tmp_path / "merged") == 7
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(gemma), tmp_path / "adapter").eval()
    assert not [warning for warning in recwarn if "adapter keys" in str(warning.message)]
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, model.eval()(ids).logits)


def test_a_full_fine_tune_has_its_bases_processor(gemma: Path, tmp_path: Path, config: ResolvedConfig) -> None:
    (gemma / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5]}))
    shutil.copy(gemma / "preprocessor_config.json", gemma / "processor_config.json")
    names = {"base_name": "sha256:abc", "base_hub": None, "end_token_id": 1}
    (out := tmp_path / "out").mkdir()
    gather = lambda weights: nullcontext()  # noqa: E731
    save_trained(load_model(gemma, config), out, method="full", base=gemma, gather=gather, writes=True, **names)
    for name in ("preprocessor_config.json", "processor_config.json"):
        assert json.loads((out / "model" / name).read_text()) == {"image_mean": [0.5]}
