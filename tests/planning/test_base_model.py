from pathlib import Path

import pytest

from med42lib.core.errors import ConfigError
from med42lib.planning.base_model import (
    KNOWN_CONFIGS,
    BaseModel,
    base_doubts,
    check_base,
    find_base,
    known_name,
)
from med42lib.spec import load_spec
from med42lib.train.shapes import Shapes, count_parameters
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
MODEL = REPOSITORY / "med42lib/demo/model"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("llama-2-70b", "llama-2-70b"),
        ("models/Llama-2-7b-hf", "llama-2-7b"),
        ("s3://bucket/models/Meta-Llama-3-8B/", "llama-3-8b"),
        (f"hub:meta-llama/Llama-2-13b-hf@{'a' * 40}", "llama-2-13b"),
        ("models/Llama-2-7b-32k", None),
        ("llama-2-7b/other", None),
    ],
)
def test_a_model_is_known_by_the_last_name_of_its_address(address: str, name: str | None) -> None:
    assert known_name(address) == name


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("llama-2-7b", 6_738_415_616),
        ("llama-2-13b", 13_015_864_320),
        ("llama-2-70b", 68_976_648_192),
        ("llama-3-8b", 8_030_261_248),
        ("llama-3-70b", 70_553_706_496),
    ],
)
def test_known_shapes_have_the_published_number_of_parameters(name: str, published: int) -> None:
    assert count_parameters(Shapes.read(KNOWN_CONFIGS[name])) == published


def test_a_file_at_the_address_counts_more_than_the_name(tmp_path: Path) -> None:
    (tmp_path / "llama-2-7b").mkdir()
    (tmp_path / "llama-2-7b" / "config.json").write_bytes((MODEL / "config.json").read_bytes())
    base = find_base(load_spec(DEMO, [f"inputs.base_model={tmp_path}/llama-2-7b"]), tmp_path)
    assert base.found == f"{tmp_path}/llama-2-7b"
    assert base.config is not None
    assert base.config["hidden_size"] == 128


@pytest.mark.parametrize(
    ("config", "why"),
    [(None, "name a folder with a config.json"), ({"num_local_experts": 8}, "experts"), ({}, "num_attention_heads")],
)
def test_of_sizes_that_are_not_known_it_is_said_why(config: dict[str, int] | None, why: str) -> None:
    base = BaseModel(config, "base")
    assert base.shapes is None
    assert why in base.unknown


def test_of_a_gguf_file_only_the_name_is_looked_at(tmp_path: Path) -> None:
    spec = load_spec(DEMO, ["fetch_model.format=gguf", "inputs.base_model=nothing://here"])
    base = find_base(spec, tmp_path)
    assert base.config is None
    assert "before fetch_model has converted it" in base.found


def test_a_hub_that_gives_no_access_leaves_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    base = find_base(load_spec(DEMO, [f"inputs.base_model=hub:meta-llama/Llama-2-7b-hf@{'0' * 40}"]), tmp_path)
    assert base.config == KNOWN_CONFIGS["llama-2-7b"]
    assert base.found.startswith("llama-2-7b, whose shapes are known (hub:meta-llama/")


def test_chunks_are_held_against_a_known_context(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the context of the model in llama-3-8b"):
        check_base(load_spec(DEMO, ["inputs.base_model=llama-3-8b", "pack.chunk_length=8193"]), tmp_path)


def test_an_adapter_larger_than_a_layer_is_refused_together_with_chunks_that_are_too_long(tmp_path: Path) -> None:
    spec = load_spec(DEMO, ["inputs.base_model=llama-3-8b", "pack.chunk_length=8193", "train.lora.lora.rank=1025"])
    with pytest.raises(ConfigError) as caught:
        check_base(spec, tmp_path)
    assert [problem.where for problem in caught.value.problems] == ["pack.chunk_length", "train.lora.lora.rank"]
    assert "must be at most 1,024, the smallest size of a linear layer of llama-3-8b" in str(caught.value)
    check_base(load_spec(DEMO, ["inputs.base_model=llama-3-8b", "train.lora.lora.rank=1024"]), tmp_path)


@pytest.mark.parametrize(
    ("model_type", "settings", "where"),
    [
        ("falcon", [], ["pack.policy"]),
        ("falcon", ["pack.policy=concatenate", "pack.too_long=null"], []),
        ("falcon", ["train={}"], []),
        ("bert", [], ["inputs.base_model"]),
        ("llama", [], []),
        ("of_next_year", [], []),
    ],
)
def test_a_base_that_train_will_refuse_is_told_from_its_settings_alone(
    model_type: str, settings: list[str], where: list[str]
) -> None:
    doubts = base_doubts(load_spec(DEMO, settings), BaseModel({"model_type": model_type}, "base"))
    assert [doubt.where for doubt in doubts] == where


@pytest.mark.slow
def test_what_an_adapter_on_experts_cannot_have_and_a_context_by_another_name_are_said_before_anything_is_spent(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mixtral", "num_local_experts": 8, "n_positions": 64}')
    settings = [f"inputs.base_model={tmp_path}", "train.lora.lora.dropout=0.1"]
    with pytest.raises(ConfigError) as error:
        check_base(load_spec(DEMO, settings), tmp_path)
    assert {problem.where for problem in error.value.problems} == {"train.lora.lora.dropout", "pack.chunk_length"}
    check_base(load_spec(DEMO, [*settings, "train.lora.lora.layers=outside_experts", "pack.chunk_length=64"]), tmp_path)


def test_of_a_remote_model_only_its_settings_are_fetched(bucket: str, tmp_path: Path) -> None:
    from med42lib.store.backends.s3 import make_client

    for name, content in (("config.json", (MODEL / "config.json").read_bytes()), ("model.safetensors", b"weights")):
        make_client().put_object(Bucket=bucket, Key=f"base/{name}", Body=content)
    base = find_base(load_spec(DEMO, [f"inputs.base_model=s3://{bucket}/base"]), tmp_path / "cache")
    assert base.config is not None
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["config.json"]
