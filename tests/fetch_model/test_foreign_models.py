"""What a stranger's model may do: fail with a message that names the file, and nothing else."""

import io
import json
import re
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from med42lib.core.errors import DataError
from med42lib.fetch_model.config import FetchModelConfig
from med42lib.fetch_model.stage import fetch_model
from med42lib.store.artifacts import Source, Target
from tests.json_files import edit


@pytest.fixture
def fetch(weights: Path, tmp_path: Path) -> Callable[[], Path]:
    """Run the stage on `weights`; returns the mirrored model."""

    def run() -> Path:
        (tmp_path / "out").mkdir()
        fetch_model(
            FetchModelConfig(format="huggingface"), weights=Source(str(weights)), model=Target(tmp_path / "out")
        )
        return tmp_path / "out" / "model"

    return run


@pytest.fixture
def marker(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Is written if the code in `evil.py` beside the weights is run; whoever is asked says yes."""
    marker = tmp_path / "code-was-run"
    code = f"open({str(marker)!r}, 'w').close()\n"
    classes = (
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "class Config(LlamaConfig): model_type = 'evil'\n"
        "class Model(LlamaForCausalLM): pass\n"
        "class Tokenizer(PreTrainedTokenizerFast): pass\n"
    )
    (weights / "evil.py").write_text(code + classes)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 10))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return marker


TOKENIZER_CODE = {"AutoTokenizer": [None, "evil.Tokenizer"]}
MODEL_CODE = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}


def test_a_known_model_is_fetched_without_the_code_it_brings(
    weights: Path, marker: Path, fetch: Callable[[], Path]
) -> None:
    edit(weights / "config.json", auto_map=MODEL_CODE)
    edit(weights / "tokenizer_config.json", auto_map=TOKENIZER_CODE)

    model = fetch()

    assert not marker.exists()
    assert not list(model.glob("*.py"))


def test_a_model_that_needs_its_own_code_is_refused(weights: Path, marker: Path, fetch: Callable[[], Path]) -> None:
    edit(weights / "config.json", auto_map=MODEL_CODE, model_type="evil")

    with pytest.raises(DataError, match=r"config\.json cannot be loaded .*contains custom code"):
        fetch()

    assert not marker.exists()


def test_a_tokenizer_that_needs_its_own_code_is_refused(weights: Path, marker: Path, fetch: Callable[[], Path]) -> None:
    edit(weights / "config.json", model_type="gpt_neox")
    edit(weights / "tokenizer_config.json", auto_map=TOKENIZER_CODE, tokenizer_class="Tokenizer")

    with pytest.raises(DataError):
        fetch()

    assert not marker.exists()


@pytest.mark.parametrize(
    "entries",
    [
        {"_attn_implementation": "kernels-community/flash-attn2"},
        {"attn_implementation": "someone/kernel@main:function"},
        {"attn_implementation": {"": "someone/kernel"}},
        {"_experts_implementation": "deepgemm"},
        {"text_config": {"_attn_implementation": "someone/kernel"}},
        {"transformers_weights": "pytorch_model.bin"},
        {"fusion_config": {"norm": True}},
        {"_auto_class": "AutoConfig"},
        {"__class__": "str"},
    ],
)
def test_entries_that_choose_code_are_refused(
    weights: Path, fetch: Callable[[], Path], entries: dict[str, object]
) -> None:
    edit(weights / "config.json", **entries)

    with pytest.raises(DataError, match=r"config\.json chooses which code runs"):
        fetch()


def test_the_usual_attention_may_be_named(weights: Path, fetch: Callable[[], Path]) -> None:
    edit(weights / "config.json", _attn_implementation="flash_attention_2", quantization_config=None)
    assert fetch().is_dir()


def test_quantised_weights_are_refused_by_the_methods_name(weights: Path, fetch: Callable[[], Path]) -> None:
    edit(weights / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})

    with pytest.raises(
        DataError, match=r"config\.json says that the weights are quantised \(quantization_config: 'gptq'"
    ):
        fetch()


LONG_NUMBER = '{"a": ' + "9" * 5000 + "}"
DEEP = '{"a": ' * 20_000 + "1" + "}" * 20_000


@pytest.mark.parametrize("content", ["[]", "5", "", "{", LONG_NUMBER, DEEP], ids=lambda text: text[:8])
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "added_tokens.json"]
)
def test_a_file_that_holds_no_json_object_is_named(
    weights: Path, fetch: Callable[[], Path], name: str, content: str
) -> None:
    (weights / name).write_text(content)

    with pytest.raises(DataError, match=rf"{re.escape(name)} is broken"):
        fetch()


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        *(("vocab_size", value) for value in ("lots", -1, 0, [64], True, float("inf"), 1.5)),
        *(("max_position_embeddings", value) for value in ("lots", -1, {})),
        *(("architectures", value) for value in (5, "Llama", [7], {"a": 1})),
        *(("model_type", value) for value in (7, ["llama"], {}, "")),
        *(("num_hidden_layers", value) for value in (5_000_000, 10**12, -1)),
        *(("hidden_size", value) for value in ("lots", 16, 10**30, None)),
        *(("num_attention_heads", value) for value in (0, -3, [2])),
        *(("rope_parameters", value) for value in (5, {"rope_type": "nonsense"}, [])),
        ("num_local_experts", 10**9),
        ("num_labels", 10**12),
        ("hidden_act", "os.system"),
        ("to_dict", 5),
        ("text_config", 5),
        ("id2label", 5),
    ],
)
def test_a_forged_value_in_the_configuration_is_named(
    weights: Path, fetch: Callable[[], Path], entry: str, value: object
) -> None:
    edit(weights / "config.json", **{entry: value})

    with pytest.raises(DataError, match=r"config\.json"):
        fetch()


@pytest.mark.parametrize(
    "change",
    [
        {"model": {}},
        {"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}},
        {"model": {"type": "WordLevel", "vocab": {"a": 10**12}, "unk_token": "a"}},
        {"model": {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 7}},
        {"pre_tokenizer": {"type": "Nonsense"}},
        {"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}},
        {"added_tokens": 5},
        {"version": 5},
    ],
)
def test_a_nonsensical_tokenizer_is_named(weights: Path, fetch: Callable[[], Path], change: dict[str, object]) -> None:
    edit(weights / "tokenizer.json", **change)

    with pytest.raises(DataError, match=r"the tokenizer in \S+/model cannot be loaded .*; fetch it again"):
        fetch()


@pytest.mark.parametrize("entries", [{"eos_token": 5}, {"tokenizer_class": 7}, {"auto_map": 5}, {"unk_token": [1]}])
def test_forged_settings_of_the_tokenizer_are_refused(
    weights: Path, fetch: Callable[[], Path], entries: dict[str, object]
) -> None:
    edit(weights / "tokenizer_config.json", **entries)

    with pytest.raises(DataError, match=r"the tokenizer in \S+ cannot be loaded"):
        fetch()


def forged(header: object, *, length: int | None = None, num_bytes: int = 64) -> bytes:
    """A safetensors file whose header may lie."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(num_bytes)


def tensor(start: int, end: int, *, shape: list[int] | None = None) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [4] if shape is None else shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        forged({}, length=2**62),
        forged({}, length=2**20),
        forged({"a": tensor(0, 16), "b": tensor(8, 24)}),
        forged({"a": tensor(0, 2**40)}),
        forged({"a": tensor(16, 0)}),
        forged({"a": tensor(0, 16, shape=[2**40])}),
        forged({"a": tensor(0, 16, shape=[2**32, 2**32, 2**32])}),
        forged([1]),
        forged({"a": 5}),
    ],
    ids=["header-2^62", "header-2^20", "overlap", "beyond", "backwards", "shape", "overflow", "list", "number"],
)
def test_a_forged_header_of_the_weights_is_refused(weights: Path, fetch: Callable[[], Path], content: bytes) -> None:
    (weights / "model.safetensors").write_bytes(content)

    with pytest.raises(DataError, match=r"model\.safetensors cannot be loaded"):
        fetch()


def test_pickles_beside_safetensors_are_neither_copied_nor_loaded(
    weights: Path, fetch: Callable[[], Path], tmp_path: Path
) -> None:
    from med42lib.formats.model_loading import load_weights

    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json"):
        (weights / name).write_text("{}")

    model = fetch()

    assert not list(model.glob("pytorch_model*"))
    shutil.copy(weights / "pytorch_model.bin", model)
    assert load_weights(model, "float32").num_parameters() == sum(
        tensor.numel() for tensor in load_file(weights / "model.safetensors").values()
    )
