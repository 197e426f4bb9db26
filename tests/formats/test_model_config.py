import json
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.model_config import read_config

ADVICE = "fetch it again"


def write(folder: Path, content: object) -> Path:
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def test_what_is_stated_is_read_and_the_rest_is_none(tmp_path: Path) -> None:
    stated = {"model_type": "llama", "architectures": ["LlamaForCausalLM", "X"], "vocab_size": 64, "rope_theta": 1e4}
    config = read_config(write(tmp_path, stated), ADVICE)

    assert (config.model_type, config.architecture, config.vocab_size) == ("llama", "LlamaForCausalLM", 64)
    assert config.num_positions is None


def test_a_multimodal_models_sizes_are_those_of_its_text_model(tmp_path: Path) -> None:
    text = {"vocab_size": 64, "max_position_embeddings": 128}
    config = read_config(write(tmp_path, {"model_type": "gemma3", "text_config": text, "vision_config": {}}), ADVICE)
    assert (config.model_type, config.vocab_size, config.num_positions) == ("gemma3", 64, 128)
    assert config.path == tmp_path / "config.json"


def test_a_value_of_the_wrong_kind_is_named_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json says vocab_size: 'lots', expected a positive whole number$"):
        read_config(write(tmp_path, {"vocab_size": "lots"}), ADVICE)
    with pytest.raises(DataError, match=r"says architectures: 5, expected a list of names$"):
        read_config(write(tmp_path, {"architectures": 5}), ADVICE)


def test_a_long_value_is_shortened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^.{1,400}$"):
        read_config(write(tmp_path, {"vocab_size": "x" * 100_000}), ADVICE)


def test_nested_configurations_are_searched_however_deep(tmp_path: Path) -> None:
    nested: dict[str, object] = {"attn_implementation": "someone/kernel"}
    for _ in range(200):
        nested = {"text_config": nested}
    with pytest.raises(DataError, match=r"chooses which code runs \(attn_implementation: 'someone/kernel'\)"):
        read_config(write(tmp_path, nested), ADVICE)


def test_settings_of_published_models_pass(tmp_path: Path) -> None:
    published = {
        "_attn_implementation_autoset": True,
        "_name_or_path": "someone/model",
        "attn_implementation": "flash_attention_2",
        "auto_map": {"AutoConfig": "configuration.Config"},
        "decoder_layerdrop": 0.0,
        "id2label": {"0": "LABEL_0"},
        "layer_norm_eps": 1e-5,
        "max_window_layers": 28,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 126,
        "quantization_config": None,
        "shared_expert_intermediate_size": 20_480,
        "torch_dtype": "bfloat16",
        "vocab_size_per_layer_input": 262_144,
    }
    read_config(write(tmp_path, published), ADVICE)


@pytest.mark.parametrize("name", ["max_position_embeddings", "n_positions", "max_seq_len"])
def test_the_context_is_known_by_whichever_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", name: 1024}))
    assert read_config(tmp_path, "fetch it again").num_positions == 1024
