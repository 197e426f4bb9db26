import shutil
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.evaluate.locate import ModelFolders, locate_model
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from tests.json_files import edit


def locate(model: Path, base: Path) -> ModelFolders:
    return locate_model(Source(str(model)), Source(str(base)))


def test_whole_weights_are_taken_as_they_are(base: Path, tmp_path: Path) -> None:
    assert locate(base, tmp_path / "not-needed") == ModelFolders(base / "model", None)


def test_an_adapter_goes_on_top_of_the_base(base: Path, adapter: Path) -> None:
    assert locate(adapter, base) == ModelFolders(base / "model", adapter / "peft")


def test_a_folder_without_a_model_is_an_error(base: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError, match="neither model/ nor peft/"):
        locate(tmp_path, base)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_an_incomplete_model_is_an_error_that_names_what_is_missing(base: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(base, tmp_path / "cut")
    (tmp_path / "cut" / "model" / name).unlink()
    with pytest.raises(DataError, match=name.removeprefix("model")):
        locate(tmp_path / "cut", base)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_incomplete_adapter_is_an_error(base: Path, adapter: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(adapter, tmp_path / "cut")
    (tmp_path / "cut" / "peft" / name).unlink()
    with pytest.raises(DataError, match=name.removeprefix("adapter_model")):
        locate(tmp_path / "cut", base)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_cut_in_the_middle_is_an_error(base: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(base, tmp_path / "cut")
    path = tmp_path / "cut" / "model" / name
    path.write_text(path.read_text()[:100])
    with pytest.raises(DataError, match=f"{name} is broken .*; make that model again"):
        locate(tmp_path / "cut", base)


def edited(folder: Path, source: Path, name: str, **entries: object) -> Path:
    shutil.copytree(source, folder)
    edit(folder / name, **entries)
    return folder


@pytest.mark.parametrize(
    "entries",
    [{"vocab_size": "lots"}, {"architectures": 5}, {"model_type": 7}, {"_attn_implementation": "someone/kernel"}],
)
def test_a_forged_configuration_is_named(base: Path, tmp_path: Path, entries: dict[str, object]) -> None:
    model = edited(tmp_path / "forged", base, "model/config.json", **entries)
    with pytest.raises(DataError, match=rf"config\.json .*{next(iter(entries))}"):
        locate(model, base)


@pytest.mark.parametrize(
    "entries",
    [
        {"peft_type": "nonsense"},
        {"peft_type": ["LORA"]},
        {"megatron_config": {"a": 1}, "megatron_core": "os"},
        {"layer_replication": [[0, 100_000]]},
    ],
)
def test_an_adapter_that_chooses_code_or_grows_the_base_is_refused(
    base: Path, adapter: Path, tmp_path: Path, entries: dict[str, object]
) -> None:
    forged = edited(tmp_path / "forged", adapter, "peft/adapter_config.json", **entries)
    with pytest.raises(DataError, match=rf"adapter_config\.json says {next(iter(entries))}"):
        locate(forged, base)


def test_an_adapter_kept_as_a_pickle_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    shutil.copytree(adapter, tmp_path / "pickled")
    folder = tmp_path / "pickled" / "peft"
    (folder / "adapter_model.safetensors").rename(folder / "other.safetensors")
    (folder / "adapter_model.bin").write_bytes(b"never read")
    with pytest.raises(DataError, match=r"has no adapter_model\.safetensors"):
        locate(tmp_path / "pickled", base)


@pytest.mark.slow
def test_weights_that_are_not_wanted_are_not_fetched(bucket: str, base: Path, adapter: Path, tmp_path: Path) -> None:
    for name, folder in (("base", base), ("adapter", adapter)):
        store = open_store(f"s3://{bucket}/{name}")
        for path in (path for path in folder.rglob("*") if path.is_file()):
            store.put(path.relative_to(folder).as_posix(), path)
    sources = {name: Source(f"s3://{bucket}/{name}", cache=tmp_path / name) for name in ("adapter", "base")}
    folders = locate_model(sources["adapter"], sources["base"], weights=False)
    assert (folders.weights / "config.json").is_file()
    assert folders.adapter is not None
    assert (folders.adapter / "adapter_config.json").is_file()
    assert not list(tmp_path.rglob("*.safetensors"))
