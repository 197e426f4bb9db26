"""fetch_model: base weights and tokenizer, mirrored once and checked, for every later stage."""

from __future__ import annotations

import shutil
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.log import log
from med42lib.core.progress import progress
from med42lib.fetch_model.config import FetchModelConfig
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.model_folder import MODEL_FOLDER
from med42lib.store.artifacts import Source, Target
from med42lib.store.disk import write_errors


def fetch_model(config: FetchModelConfig, *, weights: Source, model: Target) -> None:
    """Write `model/`, a complete Hugging Face folder, from the base weights.

    Only weights, settings, tokenizer and licence texts are taken. Pickled weights (`.bin`, `.pt`) never are:
    loading one runs whatever code it holds.

    Args:
        config: The format of the weights.
        weights: A folder, `s3://`, `package:` or `hub:` address.
        model: Receives `model/`.

    Raises:
        DataError: If a needed file is missing, broken or does not fit the others.
        EnvironmentProblem: If reading a GGUF file needs a package that is not installed.
    """
    from med42lib.fetch_model.check import check_model

    folder = model.path(f"{MODEL_FOLDER}/{CONFIG_FILE}").parent
    if config.format == "gguf":
        _convert(weights, folder, config.gguf_dtype)
    else:
        _copy(weights, folder)
    facts = check_model(folder)
    model.metric("total_parameters", facts.total_parameters)
    model.metric("bytes", facts.total_bytes)
    log("fetch_model").info(
        "%s with %s parameters in %s, %s MB, vocabulary of %s",
        facts.architecture,
        f"{facts.total_parameters:,}",
        "/".join(facts.dtypes),
        f"{facts.total_bytes / 1e6:,.1f}",
        f"{facts.num_tokens:,}",
    )


def _convert(weights: Source, folder: Path, dtype: str) -> None:
    from med42lib.fetch_model.gguf import convert

    names = [entry.path for entry in weights.files if entry.path.endswith(".gguf")]
    if len(names) != 1:
        raise DataError(
            f"{weights.address} holds {len(names)} .gguf files, expected one; "
            "name a folder with one, or set format: huggingface"
        )
    log("fetch_model").info("reading %s", names[0])
    convert(weights.path(names[0]), folder, dtype=dtype)


def _copy(weights: Source, folder: Path) -> None:
    from med42lib.fetch_model.files import wanted_files

    names = wanted_files(weights)
    sizes = {entry.path: entry.bytes for entry in weights.files}
    with progress("copy weights", sum(sizes[name] for name in names), unit="B") as bar:
        for name in names:
            with write_errors(folder / name):
                shutil.copyfile(weights.path(name), folder / name)
            bar.advance(sizes[name])
