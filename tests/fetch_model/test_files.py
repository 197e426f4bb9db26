import json
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.fetch_model.files import tensors_by_shard, wanted_files
from med42lib.formats.model_folder import PROCESSOR_FILES, TOKENIZER_FILES
from med42lib.store.artifacts import Source

INDEX = "model.safetensors.index.json"


def make(folder: Path, *names: str, index: object = None) -> Source:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    if index is not None:
        (folder / INDEX).write_text(json.dumps(index))
    return Source(str(folder))


def test_only_weights_settings_tokenizer_and_licence_are_taken(tmp_path: Path) -> None:
    wanted = ["LICENSE.txt", "USE_POLICY.md", "config.json", "model.safetensors", "tokenizer.json", "vocab.json"]
    source = make(tmp_path, *wanted, "README.md", "modeling_evil.py", "pytorch_model.bin", "onnx/config.json", ".git/x")

    assert wanted_files(source) == wanted


def test_terms_of_use_are_taken_as_texts_and_never_as_programs(tmp_path: Path) -> None:
    texts = ["LICENSE", "LICENSE.txt", "NOTICE.md", "USE_POLICY.pdf", "LICENCE-MODEL"]
    programs = ["LICENSE_x.py", "LICENSE.so", "NOTICE.sh", "LICENSE.bin", "USE_POLICY.html"]
    needed = ["config.json", "model.safetensors", "tokenizer.json"]
    source = make(tmp_path, *needed, *texts, *programs)

    assert wanted_files(source) == sorted([*needed, *texts])


def test_nothing_below_the_models_folder_is_taken(tmp_path: Path) -> None:
    needed = ["config.json", "model.safetensors", "tokenizer.json"]
    source = make(tmp_path, *needed, "LICENSE/code", "original/tokenizer.model", "NOTICES/a.txt")

    assert wanted_files(source) == needed


def test_shards_are_taken_as_the_index_names_them_and_a_second_copy_of_the_weights_is_not(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}
    source = make(
        tmp_path,
        "config.json",
        "tokenizer.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "consolidated.safetensors",
        index=index,
    )

    assert wanted_files(source) == [
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
        INDEX,
        "tokenizer.json",
    ]
    assert tensors_by_shard(tmp_path / INDEX) == {"model-1.safetensors": {"a", "c"}, "model-2.safetensors": {"b"}}


def test_every_file_that_a_tokenizer_or_a_processor_may_consist_of_is_taken(tmp_path: Path) -> None:
    wanted = sorted(["config.json", "model.safetensors", *TOKENIZER_FILES, *PROCESSOR_FILES])

    assert wanted_files(make(tmp_path, *wanted)) == wanted


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = make(tmp_path, "config.json", "tokenizer.json", index={"weight_map": {"a": "model-1.safetensors"}})

    with pytest.raises(DataError, match=r"has no model-1\.safetensors"):
        wanted_files(source)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["config.json", "tokenizer.json", "pytorch_model.bin"], "only as pickles"),
        (["tiny.Q4_1.gguf"], "set format: gguf"),
        (["README.md"], "holds neither"),
        (["tokenizer.json", "model.safetensors"], r"has no config\.json; check the address"),
        (["config.json", "model.safetensors", "tokenizer.model"], "character offsets the loss mask needs"),
    ],
)
def test_a_folder_that_is_no_complete_model_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    source = make(tmp_path, *names)

    with pytest.raises(DataError, match=message):
        wanted_files(source)


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": {}},
        {"weight_map": {"a": "../elsewhere.safetensors"}},
        {"weight_map": {"a": "weights.bin"}},
        {"weight_map": {"a": 1}},
    ],
)
def test_an_index_that_leads_out_of_its_folder_or_to_pickles_is_refused(tmp_path: Path, index: object) -> None:
    make(tmp_path, index=index)

    with pytest.raises(DataError, match=r"weight|does not stay in its folder"):
        tensors_by_shard(tmp_path / INDEX)


@pytest.mark.parametrize("text", ['{"a": ', "[1, 2]", "\x00\x01", '"text"'])
def test_a_file_that_holds_no_json_object_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_text(text)

    with pytest.raises(DataError, match=r"index\.json is broken \(.*; fetch it again"):
        tensors_by_shard(tmp_path / INDEX)
