"""`package_model`: put the chosen model into one folder that MLflow loads, if it is not one already."""

from __future__ import annotations

from pathlib import Path

from med42lib.core.errors import ConfigError, Problem
from med42lib.core.json_file import write_json
from med42lib.core.log import log
from med42lib.formats.model_folder import (
    ADAPTER_FOLDER,
    MLMODEL_FILE,
    MODEL_FOLDER,
    TOKENIZER_FOLDER,
    copy_tokenizer,
    put_trained_settings,
    write_mlmodel,
)
from med42lib.formats.models import BASE
from med42lib.package_model.config import PackageModelConfig
from med42lib.store.artifacts import Source, Sources, Target
from med42lib.store.disk import link_file, write_errors

PACKAGE_FILE = "package.json"


def package_model(config: PackageModelConfig, *, base: Source, trained: Sources, package: Target) -> None:
    """Write what is missing to load the candidate from one address.

    A full fine-tune is such a folder as it is, so only `package.json` is written, which says so. An adapter is
    not: MLflow can follow a reference to its base model on this machine's disks or the hub, but not into a
    bucket. So the package is base and adapter together. On one file system the base's files are hard-linked,
    which takes no space; on S3 they are stored once more for each adapter that becomes a candidate, and for no other.
    The base itself, as a candidate, is described for MLflow in the same way.

    Args:
        config: Which model it is.
        base: Its `model/` is what adapters were trained on, its `components/tokenizer/` what `pack` read.
        trained: The fine-tunes by the models' names: whole models, or adapters in `peft/`.
        package: Gets `package.json` and, unless the candidate can be loaded where it is, `MLmodel`, `model/`,
            `components/tokenizer/` and an adapter's `peft/`.

    Raises:
        ConfigError: If there is no model of the candidate's name.
        DataError: If the base model or the adapter is not complete.
    """
    chosen = _candidate(config, {BASE: base, **trained})
    content = {"candidate": config.candidate, "weights": chosen.digest, "base": base.digest}
    write_json(package.path(PACKAGE_FILE), content)
    loadable = chosen is not base and chosen.has(MLMODEL_FILE)
    if not loadable:
        _put_together(base, chosen, package)
    log("package_model").info(
        "the candidate is %s (%s)",
        config.candidate,
        "loadable where it is" if loadable else f"put together, {_size(package.folder)}",
    )


def _candidate(config: PackageModelConfig, models: Sources) -> Source:
    if config.candidate not in models:
        problem = Problem("candidate", f"is {config.candidate!r}; the models are {', '.join(models)}")
        raise ConfigError("settings of package_model", [problem])
    return models[config.candidate]


def _put_together(base: Source, chosen: Source, package: Target) -> None:
    """Put base and adapter, or the base alone, into one folder with a description for MLflow."""
    _link_folder(base.path(MODEL_FOLDER), package.folder / MODEL_FOLDER)
    adapter = chosen is not base
    if adapter:
        _link_folder(chosen.path(ADAPTER_FOLDER), package.folder / ADAPTER_FOLDER)
        put_trained_settings(package.folder / ADAPTER_FOLDER, package.folder / MODEL_FOLDER)
    tokenizer = package.folder / ADAPTER_FOLDER if adapter else base.path(TOKENIZER_FOLDER)
    copy_tokenizer(tokenizer, package.folder / TOKENIZER_FOLDER)
    write_mlmodel(package.folder, adapter=adapter)


def _link_folder(source: Path, target: Path) -> None:
    """Give every file of a folder a second name below `target`, or copy it where that cannot be."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            with write_errors(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                link_file(path, place)


def _size(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:,.1f} MB"
