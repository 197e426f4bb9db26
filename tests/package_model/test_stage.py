import json
import os
from pathlib import Path

import pytest
import yaml

from med42lib.core.errors import ConfigError, DataError
from med42lib.package_model.config import PackageModelConfig
from med42lib.package_model.stage import package_model
from med42lib.store.artifacts import Source, Target
from med42lib.store.manifest import describe_folder


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Source]:
    for name, inside in (("base", "model"), ("full", "model"), ("lora", "peft")):
        folder = tmp_path / name / inside
        folder.mkdir(parents=True)
        (folder / "tokenizer.json").write_text("{}")
        (folder / "weights.safetensors").write_text(f"weights of {name}")
        (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "base/model/LICENSE").write_text("the base's terms")
    (tmp_path / "base/components/tokenizer").mkdir(parents=True)
    (tmp_path / "base/components/tokenizer/tokenizer.json").write_text('{"as": "it is read"}')
    (tmp_path / "full/MLmodel").write_text("flavors: {}")
    return {name: Source(str(tmp_path / name)) for name in ("base", "full", "lora")}


def call(candidate: str, models: dict[str, Source], folder: Path) -> Path:
    folder.mkdir()
    trained = {name: source for name, source in models.items() if name != "base"}
    config = PackageModelConfig.model_validate({"candidate": candidate})
    package_model(config, base=models["base"], trained=trained, package=Target(folder))
    return folder


def test_a_full_fine_tune_is_named_and_not_copied(models: dict[str, Source], tmp_path: Path) -> None:
    folder = call("full", models, tmp_path / "out")
    assert [path.name for path in folder.iterdir()] == ["package.json"]
    content = json.loads((folder / "package.json").read_text())
    assert content == {"base": models["base"].digest, "candidate": "full", "weights": models["full"].digest}


def test_an_adapter_is_put_together_with_its_base(models: dict[str, Source], tmp_path: Path) -> None:
    folder = call("lora", models, tmp_path / "out")
    assert (folder / "model/weights.safetensors").read_text() == "weights of base"
    assert (folder / "model/LICENSE").read_text() == "the base's terms"
    assert (folder / "peft/weights.safetensors").read_text() == "weights of lora"
    assert (folder / "components/tokenizer/tokenizer.json").read_text() == "{}"
    flavor = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["transformers"]
    assert (flavor["model_binary"], flavor["peft_adaptor"]) == ("model", "peft")


def test_a_packaged_adapter_generates_by_its_own_settings_and_the_base_keeps_its(
    models: dict[str, Source], tmp_path: Path
) -> None:
    (tmp_path / "base/model/generation_config.json").write_text("the base's")
    (tmp_path / "base/model/chat_template.json").write_text("the base's")
    (tmp_path / "lora/peft/generation_config.json").write_text("the adapter's")
    folder = call("lora", models, tmp_path / "out")
    assert (folder / "model/generation_config.json").read_text() == "the adapter's"
    assert not (folder / "model/chat_template.json").exists()
    assert (tmp_path / "base/model/generation_config.json").read_text() == "the base's"


def test_weights_on_one_disk_take_no_more_space(models: dict[str, Source], tmp_path: Path) -> None:
    folder = call("lora", models, tmp_path / "out")
    assert (folder / "model/weights.safetensors").samefile(tmp_path / "base/model/weights.safetensors")


def test_weights_are_copied_where_they_cannot_be_linked(
    models: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    copied, base = call("lora", models, tmp_path / "out") / "model/weights.safetensors", tmp_path / "base/model"
    assert copied.read_text() == "weights of base"
    assert not copied.samefile(base / "weights.safetensors")


def test_a_link_in_the_base_is_followed(models: dict[str, Source], tmp_path: Path) -> None:
    blob = tmp_path / "base/model/weights.safetensors"
    blob.rename(tmp_path / "base/blob")
    blob.symlink_to(tmp_path / "base/blob")
    packaged = call("lora", models, tmp_path / "out") / "model/weights.safetensors"
    assert not packaged.is_symlink()
    assert packaged.read_text() == "weights of base"


def test_the_same_models_give_the_same_package(models: dict[str, Source], tmp_path: Path) -> None:
    first, second = call("lora", models, tmp_path / "first"), call("lora", models, tmp_path / "second")
    assert describe_folder(first) == describe_folder(second)


def test_an_output_without_adapter_is_refused(models: dict[str, Source], tmp_path: Path) -> None:
    (tmp_path / "full/MLmodel").unlink()
    with pytest.raises(DataError, match="has no 'peft'"):
        call("lora", models | {"lora": Source(str(tmp_path / "full"))}, tmp_path / "out")


def test_any_model_may_be_the_candidate_by_its_name(models: dict[str, Source], tmp_path: Path) -> None:
    folder = call("lora_r64", models | {"lora_r64": models["lora"]}, tmp_path / "out")
    assert (folder / "peft/weights.safetensors").read_text() == "weights of lora"
    assert json.loads((folder / "package.json").read_text())["candidate"] == "lora_r64"


def test_the_base_itself_can_be_the_candidate(models: dict[str, Source], tmp_path: Path) -> None:
    folder = call("base", {"base": models["base"]}, tmp_path / "out")
    assert (folder / "model/weights.safetensors").read_text() == "weights of base"
    assert (folder / "components/tokenizer/tokenizer.json").read_text() == '{"as": "it is read"}'
    assert "peft_adaptor" not in yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["transformers"]


def test_a_candidate_that_is_no_model_is_refused(models: dict[str, Source], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="candidate: is 'lora_r8'; the models are base, full, lora"):
        call("lora_r8", models, tmp_path / "out")
