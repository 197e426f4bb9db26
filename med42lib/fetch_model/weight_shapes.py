"""Whether the model that config.json describes is the one whose weights lie beside it.

The model is built without memory for its numbers (PyTorch's meta device) and given tensors that have shapes and nothing
else. So transformers itself says what is missing or of another shape, with all it knows of tied weights and of names
that changed between its versions, and no weight is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.library_errors import library_errors
from med42lib.core.log import log
from med42lib.fetch_model.files import ADVICE
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.stored_weights import Header, StoredNames, empty_model, load_headers

_MODULES_PER_TENSOR = 10
"""Of real models it is about 1.5: a layer's parts have a weight each, but for dropout and activation."""
_SMALL_MODEL_MODULES = 1_000
_SMALL_MODEL_BYTES = 2**30
_MOST_UNUSED = 0.5


def check_weight_shapes(
    folder: Path, description: Any, tensors: Mapping[str, Header], *, architecture: str | None
) -> None:
    """Make sure that a folder's weights are those of the model that its config.json describes.

    Args:
        folder: Where both lie, for messages.
        description: The configuration that `load_description` gave.
        tensors: What the weight files hold.
        architecture: The class that its config.json names, by which others load it.

    Raises:
        DataError: If weights are missing or of another shape, the model described is far larger than the weights, or
            what would be trained is a part of it.
    """
    path = folder / CONFIG_FILE
    with library_errors(path, ADVICE), module_limit(len(tensors), path):
        model = empty_model(description)
        _check_buffers(path, model, _num_parameters(tensors.values()))
        model, report = load_headers(model, tensors)
    name = type(model).__name__
    if report["missing_keys"]:
        lacking = sorted(report["missing_keys"])
        raise DataError(
            f"the weights in {folder} lack {len(lacking)} tensors of the {name} that {CONFIG_FILE} describes, such as "
            f"{lacking[0]}; {ADVICE}"
        )
    if report["mismatched_keys"]:
        tensor, stored, described = min(report["mismatched_keys"])
        raise DataError(
            f"{tensor} has the shape {list(stored)} in the weights of {folder}, but {CONFIG_FILE} describes a {name} "
            f"with {list(described)}; {ADVICE}"
        )
    stored = StoredNames(model, tensors)
    if architecture not in (None, name):
        _check_whole(path, name, architecture, stored.left_over())
    _check_unused(path, name, sorted(report["unexpected_keys"]), tensors)
    if others := stored.others():
        log("fetch_model").warning(
            "%s can be trained with method lora alone: transformers would save %d tensors of it under other names or "
            "in other shapes than its files have, such as %s",
            name,
            len(others),
            others[0],
        )


def _check_whole(path: Path, name: str, architecture: str, left_over: list[str]) -> None:
    """Refuse a model of which a part alone would be trained, such as Qwen3.5's text model without its eyes.

    Whoever loads a fine-tune goes by the class in config.json: there an adapter's tensors have other names and are
    passed over, and what a whole model lacks is filled with random numbers. transformers' report is silent of tensors
    that the part is known to lack.
    """
    if left_over:
        raise DataError(
            f"{path} describes a {architecture}, of which a {name} alone would be trained, without {len(left_over)} "
            f"tensors such as {left_over[0]}, and the fine-tune would not fit the {architecture} that others load; use "
            f"a checkpoint of the {name} alone. transformers writes one with "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder); copy the tokenizer there too"
        )


def _check_unused(path: Path, name: str, unused: list[str], tensors: Mapping[str, Header]) -> None:
    """Warn of weights that the model has no place for, such as a vision tower's; refuse a folder of mostly such."""
    if not unused:
        return
    problem = f"the {name} that {path} describes has no place for {len(unused)} tensors, such as {unused[0]}"
    num_unused = _num_parameters(tensors[tensor] for tensor in unused if tensor in tensors)
    share = num_unused / max(1, _num_parameters(tensors.values()))
    if share > _MOST_UNUSED:
        raise DataError(f"{problem}: {share:.0%} of all weights; {ADVICE}")
    log("fetch_model").warning("%s: %.0f%% of all weights, left out", problem, 100 * share)


def _num_parameters(tensors: Iterable[Header]) -> int:
    return sum(tensor.num_parameters for tensor in tensors)


@contextmanager
def module_limit(num_tensors: int, where: Path) -> Iterator[None]:
    """Stop the building of a model that has far more parts than its file has tensors.

    Raises:
        DataError: As soon as it does.
    """
    from torch.nn.modules.module import register_module_module_registration_hook

    most, num_modules = _SMALL_MODEL_MODULES + _MODULES_PER_TENSOR * num_tensors, 0

    def count(*_: object) -> None:
        nonlocal num_modules
        num_modules += 1
        if num_modules > most:
            raise DataError(
                f"{where} describes a model of more than {most:,} parts, but the weights are {num_tensors:,} tensors; "
                f"{ADVICE}"
            )

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _check_buffers(path: Path, model: Any, num_parameters: int) -> None:
    """Bound what is computed and not stored, such as a mask for every pair of positions."""
    num_bytes, most = sum(buffer.nbytes for buffer in model.buffers()), max(num_parameters, _SMALL_MODEL_BYTES)
    if num_bytes > most:
        raise DataError(
            f"{path} describes a model with {num_bytes / 1e9:,.1f} GB of tables beside its weights, expected at most "
            f"{most / 1e9:,.1f} GB; {ADVICE}"
        )
