"""`med42 export ADDRESS PLACE`: a data set in the form that other trainers read, or a model as servers load it."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from med42lib.commands.command import Command, check_has_folder, check_is_free, show
from med42lib.core.errors import ConfigError, DataError, Problem, not_installed
from med42lib.core.printable import counted, printable
from med42lib.formats.model_card import CARD_FILE
from med42lib.formats.model_folder import ADAPTER_FOLDER, ADAPTER_WEIGHTS_FILE, MODEL_FOLDER
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source, give_usual_modes, listing
from med42lib.store.checkpoints import attempt_of
from med42lib.store.disk import write_errors
from med42lib.store.scratch import attempt_folder, machine_scratch
from med42lib.train.job import TrainingJob

DESCRIPTION = """\
Write an output in the form that other programs read.

Of a data set, its rows as TRL, axolotl and LLaMA-Factory train on them: a Parquet file with a column `messages`, the
turns of a conversation as {"role": ..., "content": ...} with the roles system, user and assistant, and each row's id,
source and licence.

  med42 export runs/demo/assemble/KEY/ATTEMPT/dataset messages.parquet
  med42 export s3://bucket/prefix/decontaminate/KEY/ATTEMPT/training messages.parquet

Of a model, a plain Hugging Face folder of safetensors, settings and tokenizer, which vLLM and TGI load: an adapter is
merged into its base. No GPU is needed, and memory for one file of the base's weights. The registered model of a run
takes its model card (README.md) along.

  med42 export runs/demo/package_model/KEY/ATTEMPT/package med42-merged
  med42 export runs/demo/train/KEY/ATTEMPT/trained med42-merged --base runs/demo/fetch_model/KEY/ATTEMPT/model

Of a checkpoint, the model as it was then, in the same form; it takes memory for the whole model, and scratch (see
MED42_SCRATCH) for the model and, from a bucket, its base and one file of the checkpoint: of 70B 280 GB and that file,
which is 828 GB / processes of a full training.

  med42 export runs/demo/train/KEY/checkpoints/STEP-ATTEMPT med42-by-then
"""
_SHA256 = "sha256:"
_PARQUET = ".parquet"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "address", help="address of an output of assemble, decontaminate, train or package_model, or a checkpoint"
    )
    parser.add_argument("place", type=Path, help="file to write, which is replaced; of a model, a new folder")
    parser.add_argument("--base", metavar="ADDRESS", help="output of fetch_model that an adapter of train is for")


def _run(arguments: Namespace) -> int:
    check_has_folder("export", arguments.place)
    with attempt_folder(machine_scratch(), "export") as cache:
        source = Source(arguments.address, cache=cache / "output")
        base = Source(arguments.base, cache=cache / "base") if arguments.base else None
        if attempt := attempt_of(arguments.address):
            check_is_free("export", arguments.place, "name a new folder")
            source, base = _put_together(source, attempt, base, cache)
        inside = {name.partition("/")[0] for name in source.sizes()}
        if inside & {MODEL_FOLDER, ADAPTER_FOLDER}:
            said = _export_model(source, inside, base, arguments.place) + _export_card(source, arguments.place)
        else:
            said = _export_messages(source, arguments.place)
    show(printable(said))
    return 0


def _put_together(checkpoint: Source, attempt: str, base: Source | None, cache: Path) -> tuple[Source, Source]:
    """Give what `train` would have put out by a checkpoint, and its base: the one named, or that of the training."""
    try:
        from med42lib.train.checkpointed import save_checkpointed
    except ModuleNotFoundError as error:
        raise not_installed(error, "`med42 export` of a checkpoint", "train") from error
    job, folder = TrainingJob.of_attempt(attempt), cache / "trained"
    folder.mkdir()
    base = base or Source(job.model, cache=cache / "base")
    save_checkpointed(checkpoint, job, base, folder, cache=cache)
    return Source(str(folder)), base


def _export_messages(dataset: Source, file: Path) -> str:
    try:
        from med42lib.formats.dataset import EXAMPLES_FILE
        from med42lib.formats.messages import write_messages
    except ModuleNotFoundError as error:
        raise not_installed(error, "`med42 export` of a data set", "base") from error
    if not dataset.has_file(EXAMPLES_FILE):
        raise DataError(
            f"{dataset.address} is neither a data set nor a model: it holds {listing(dataset.files)}; give an output "
            "of assemble (dataset), decontaminate (training), train (trained) or package_model (package)"
        )
    if file.suffix != _PARQUET:
        raise ConfigError("export", [Problem(str(file), f"a data set is written as {_PARQUET}; name such a file")])
    return f"{counted(write_messages(dataset.path(EXAMPLES_FILE).parent, file), 'conversation')} written to {file}"


def _export_model(source: Source, inside: set[str], base: Source | None, folder: Path) -> str:
    check_is_free("export", folder, "name a new folder")
    if ADAPTER_FOLDER not in inside:
        with write_errors(folder, instead="name another folder"), _whole_or_nothing(folder):
            shutil.copytree(source.path(MODEL_FOLDER), folder, dirs_exist_ok=True)
        return f"the model was written to {folder}"
    try:
        from med42lib.formats.merging import merge_adapter
    except ModuleNotFoundError as error:
        raise not_installed(error, "`med42 export` of an adapter", "train") from error
    adapter, model = source.path(ADAPTER_FOLDER), _base_of(source, inside, base)
    with write_errors(folder, instead="name another folder"), _whole_or_nothing(folder):
        count = merge_adapter(model, adapter, folder)
    return f"the model, with {count} matrices of an adapter merged into it, was written to {folder}"


def _export_card(source: Source, folder: Path) -> str:
    """Write the model card that `register` put beside the weights; says so, or that there is none."""
    card = open_store(source.address).read(CARD_FILE)
    if card is None:
        return "; it has no model card, as it is not the registered model of a run"
    with write_errors(folder, instead="name another folder"):
        (folder / CARD_FILE).write_bytes(card)
    return f", with its model card, {CARD_FILE}"


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[None]:
    """Make a folder for what the block writes, and remove it again if the block fails."""
    folder.mkdir()
    try:
        yield
        give_usual_modes(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _base_of(source: Source, inside: set[str], base: Source | None) -> Path:
    """Give the folder of the base: the package's own, or the one that was named, which must be what was trained on.

    Raises:
        ConfigError: If none was named.
        DataError: If the adapter was trained on another.
    """
    if MODEL_FOLDER in inside:
        return source.path(MODEL_FOLDER)
    if base is None:
        what = f"is required: this output is an adapter without its base{_trained_on(source)}"
        raise ConfigError("export", [Problem("--base", what)])
    from med42lib.formats.merging import base_of_adapter

    wanted = base_of_adapter(source.path(f"{ADAPTER_FOLDER}/{ADAPTER_WEIGHTS_FILE}"))
    if wanted is not None and wanted != f"{_SHA256}{base.digest}":
        raise DataError(
            f"{source.address} was trained on {wanted}, but {base.address} is {_SHA256}{base.digest}"
            + _trained_on(source)
        )
    return base.path(MODEL_FOLDER)


def _trained_on(source: Source) -> str:
    """Name the base that was trained on, as the output's manifest does, if it has one."""
    inputs = source.manifest.inputs if source.manifest else {}
    return f"; it was trained on {inputs['model'].address}" if "model" in inputs else ""


EXPORT = Command("export", "write a data set or a model as other programs read it", DESCRIPTION, _add_arguments, _run)
