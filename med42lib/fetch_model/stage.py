"""fetch_model: base weights and tokenizer, mirrored once and checked, for every later stage."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.json_file import write_json
from med42lib.core.log import log
from med42lib.core.progress import progress
from med42lib.fetch_model.config import FetchModelConfig
from med42lib.formats.model_card import CARD_FILE, LICENCE_FILE, licence_in_card
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.model_folder import MODEL_FOLDER, TOKENIZER_FILE, TOKENIZER_FOLDER
from med42lib.store.artifacts import Source, Target, listing
from med42lib.store.disk import link_file, write_errors


def fetch_model(config: FetchModelConfig, *, weights: Source, model: Target) -> None:
    """Write `model/`, a complete Hugging Face folder, from the base weights, and its tokenizer once more for MLflow.

    Only weights, settings, tokenizer and licence texts are taken. Pickled weights (`.bin`, `.pt`) never are:
    loading one runs whatever code it holds.

    Args:
        config: The format of the weights.
        weights: A folder, `s3://`, `package:` or `hub:` address.
        model: Receives `model/`, `components/tokenizer/` and the licence, as a note.

    Raises:
        DataError: If a needed file is missing, broken or does not fit the others.
        EnvironmentProblem: If reading a GGUF file needs a package that is not installed.
    """
    from med42lib.fetch_model.check import check_model
    from med42lib.fetch_model.files import ADVICE, terms_texts, wanted_files
    from med42lib.formats.tokenizer_loading import copy_as_read

    folder = model.path(f"{MODEL_FOLDER}/{CONFIG_FILE}").parent
    if config.format == "gguf":
        stated = _convert(weights, folder, config)
        _copy(weights, terms_texts(weights), folder)
    else:
        _copy(weights, wanted_files(weights), folder)
        stated = _stated_licence(weights)
    write_json(model.path(LICENCE_FILE, note=True), {"licence": config.licence or stated})
    facts = check_model(folder)
    copy_as_read(folder, model.path(f"{TOKENIZER_FOLDER}/{TOKENIZER_FILE}").parent, ADVICE)
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


def _convert(weights: Source, folder: Path, config: FetchModelConfig) -> str:
    from med42lib.fetch_model.gguf import convert

    name = _chosen(weights, config.gguf_file)
    log("fetch_model").info("reading %s", name)
    return convert(weights.path(name), folder, dtype=config.gguf_dtype)


def _stated_licence(weights: Source) -> str:
    """Give the licence that the model's own card states; empty if there is no card, or it states none."""
    if not weights.has_file(CARD_FILE):
        return ""
    card = weights.path(CARD_FILE)
    try:
        return licence_in_card(card.read_text(encoding="utf-8"))
    except ValueError as error:
        log("fetch_model").warning("no licence is known of the base, as %s cannot be read: %s", card, error)
        return ""


def _chosen(weights: Source, wanted: str | None) -> str:
    """Choose among the .gguf files of the address: the one that was named, or the only one.

    Raises:
        DataError: If there is no such file, or there are several and none was named.
    """
    found = tuple(entry for entry in weights.files if entry.path.endswith(".gguf"))
    names = [entry.path for entry in found]
    if wanted in names or (wanted is None and len(names) == 1):
        return wanted or names[0]
    if not names:
        raise DataError(f"{weights.address} holds no .gguf file; check the address, or set format: huggingface")
    said = "" if wanted is None else f", but no {wanted}"
    raise DataError(f"{weights.address} holds {listing(found)}{said}; name the one to take in fetch_model.gguf_file")


def _copy(weights: Source, names: Sequence[str], folder: Path) -> None:
    """Copy files; weights that were fetched take their space once. What somebody may edit stays apart from ours."""
    sizes = {entry.path: entry.bytes for entry in weights.files}
    with progress("copy weights", sum(sizes[name] for name in names), unit="B") as bar:
        for name, path in zip(names, weights.paths(names), strict=True):
            put = link_file if weights.is_remote and name.endswith(".safetensors") else shutil.copyfile
            with write_errors(folder / name):
                put(path, folder / name)
            weights.drop(name)  # now, before the output is hashed: losing a name changes a file's version
            bar.advance(sizes[name])
