import json
import tomllib
from pathlib import Path

import pytest
import yaml

from med42lib.core.errors import DataError
from med42lib.formats.model_folder import copy_tokenizer, write_mlmodel
from tests.conftest import REPOSITORY


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights")
    return folder


def flavor(folder: Path) -> dict[str, object]:
    described: dict[str, object] = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["transformers"]
    return described


def test_a_whole_model_is_described_by_its_architecture(model: Path) -> None:
    write_mlmodel(model.parent, adapter=False)
    described = flavor(model.parent)
    assert described["pipeline_model_type"] == "LlamaForCausalLM"
    assert described["model_binary"] == "model"
    assert "peft_adaptor" not in described


def test_an_adapter_is_put_on_top(model: Path) -> None:
    write_mlmodel(model.parent, adapter=True)
    assert flavor(model.parent)["peft_adaptor"] == "peft"


@pytest.mark.parametrize("adapter", [False, True])
def test_mlflow_finds_what_to_install(model: Path, adapter: bool) -> None:
    from mlflow.pyfunc import get_model_dependencies

    write_mlmodel(model.parent, adapter=adapter)
    wanted = Path(get_model_dependencies(str(model.parent))).read_text().split()
    conda = yaml.safe_load(Path(get_model_dependencies(str(model.parent), format="conda")).read_text())
    assert conda["dependencies"][-1] == {"pip": wanted}
    packages = {"accelerate", "mlflow", "torch", "transformers"} | ({"peft"} if adapter else set())
    assert {line.partition("~=")[0] for line in wanted} == packages
    stated = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lowest = {*stated["train"], *stated["tracking"]}
    assert {line.replace("~=", ">=") for line in wanted} <= lowest


def test_mlflow_reads_the_environment_that_the_model_names(model: Path) -> None:
    from mlflow.utils.virtualenv import _get_python_env

    write_mlmodel(model.parent, adapter=False)
    read = _get_python_env(model.parent)
    assert (read.python, read.dependencies) == ("3.11", ["-r requirements.txt"])


def test_the_description_is_the_same_every_time(model: Path) -> None:
    write_mlmodel(model.parent, adapter=True)
    first = (model.parent / "MLmodel").read_bytes()
    write_mlmodel(model.parent, adapter=True)
    assert (model.parent / "MLmodel").read_bytes() == first


def test_a_configuration_without_architecture_is_refused(model: Path) -> None:
    (model / "config.json").write_text("{}")
    with pytest.raises(DataError, match="names no model architecture"):
        write_mlmodel(model.parent, adapter=False)


def test_only_the_tokenizers_files_are_copied(model: Path, tmp_path: Path) -> None:
    copy_tokenizer(model, tmp_path / "components" / "tokenizer")
    assert [path.name for path in (tmp_path / "components" / "tokenizer").iterdir()] == ["tokenizer.json"]


def test_a_model_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no tokenizer"):
        copy_tokenizer(tmp_path, tmp_path / "copy")
