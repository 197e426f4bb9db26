"""The base model's config.json: at its address, or known by the model's name, so that no weights need to be here.

It is read here alone before a stage works, and all that a spec asks of it is looked at together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from med42lib.core.errors import (
    AccessError,
    ConfigError,
    DataError,
    EnvironmentProblem,
    Problem,
    StoreError,
    StoreUnavailable,
)
from med42lib.core.json_file import read_json
from med42lib.core.log import log
from med42lib.formats.model_config import CONFIG_FILE, POSITIONS, has_experts, of_text, read_config
from med42lib.pack.limits import context_problems
from med42lib.spec import RunSpec
from med42lib.store.artifacts import Source
from med42lib.train.architectures import Architecture, architecture
from med42lib.train.shapes import Shapes

_ADVICE = "check inputs.base_model"


def _llama(
    vocabulary: int, context: int, hidden: int, intermediate: int, layers: int, heads: int, key_value_heads: int
) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
    }


KNOWN_CONFIGS: Mapping[str, Mapping[str, int]] = {
    "llama-2-7b": _llama(32_000, 4_096, 4_096, 11_008, 32, 32, 32),
    "llama-2-13b": _llama(32_000, 4_096, 5_120, 13_824, 40, 40, 40),
    "llama-2-70b": _llama(32_000, 4_096, 8_192, 28_672, 80, 64, 8),
    "llama-3-8b": _llama(128_256, 8_192, 4_096, 14_336, 32, 32, 8),
    "llama-3-70b": _llama(128_256, 8_192, 8_192, 28_672, 80, 64, 8),
}
"""What the config.json of a published model says, by the model's name in small letters."""


@dataclass(frozen=True)
class BaseModel:
    """The content of a base model's config.json, None if neither file nor name is known, and where that was found.

    `why_not` says why there is no file; it is empty if there is one.
    """

    config: Mapping[str, Any] | None
    place: str
    why_not: str = ""

    @property
    def architecture(self) -> Architecture | None:
        """Give what came of trying its architecture; None if that is not known."""
        return None if self.config is None else architecture(self.config.get("model_type"))

    @property
    def shapes(self) -> Shapes | None:
        """Give its sizes; None if they are not known, which `unknown` explains."""
        return self._shapes_or_why_not[0]

    @property
    def unknown(self) -> str:
        """Say why its sizes are not known; empty if they are."""
        return self._shapes_or_why_not[1]

    @cached_property
    def _shapes_or_why_not(self) -> tuple[Shapes | None, str]:
        if self.config is None:
            return None, "name a folder with a config.json, or one of " + ", ".join(KNOWN_CONFIGS)
        try:
            return Shapes.read(self.config), ""
        except DataError as error:  # a kind whose sizes have other names, or a mixture of experts
            return None, str(error)

    @property
    def num_positions(self) -> int | None:
        """Give the length of its context; None if that is not known."""
        config = of_text(self.config or {})
        return next((config[name] for name in POSITIONS if config.get(name)), None)

    @property
    def found(self) -> str:
        """Tell people where it was found, or why not."""
        if self.config is None:
            return self.why_not
        return f"{self.place}, whose shapes are known ({self.why_not})" if self.why_not else self.place


def check_base(spec: RunSpec, cache: Path) -> BaseModel:
    """Find the base model's config.json, and make sure that the spec fits it; what is only probably wrong is a warning.

    Raises:
        ConfigError: If it does not; all problems at once.
        DataError: If the file is broken, or no later stage would take it.
    """
    base = find_base(spec, cache)
    if problems := list(base_problems(spec, base)):
        raise ConfigError("the spec and its base model", problems)
    warn_of_base(spec, base)
    return base


def find_base(spec: RunSpec, cache: Path) -> BaseModel:
    """Find the base model's config.json; only that file is fetched from a remote place.

    Raises:
        DataError: If the file is broken, or no later stage would take it.
    """
    address = spec.inputs.base_model
    path, why_not = _reach(spec, cache)
    if path is not None:
        read_config(path.parent, _ADVICE)
        return BaseModel(read_json(path, _ADVICE), address)
    name = known_name(address)
    return BaseModel(None, address, why_not) if name is None else BaseModel(KNOWN_CONFIGS[name], name, why_not)


def base_problems(spec: RunSpec, base: BaseModel) -> Iterator[Problem]:
    """List what the spec asks for and the base model has not: a longer context, layers for adapters of such a rank."""
    if base.config is None:
        return
    yield from context_problems(base.num_positions, base.place, chunk_length=spec.pack.chunk_length)
    if has_experts(base.config):
        for name, config in spec.train.items():
            if config.has_adapter and config.lora.layers == "all" and config.lora.dropout:
                what = f"must be 0 for the experts of {base.place}, or lora.layers outside_experts"
                yield Problem(f"train.{name}.lora.dropout", f"{what} (given: {config.lora.dropout:g})")
    if base.shapes is not None:
        largest = base.shapes.largest_rank
        for name, config in spec.train.items():
            if config.has_adapter and config.lora.rank > largest:
                what = f"must be at most {largest:,}, the smallest size of a linear layer of {base.place}"
                yield Problem(f"train.{name}.lora.rank", f"{what} (given: {config.lora.rank:,})")


def base_doubts(spec: RunSpec, base: BaseModel) -> Iterator[Problem]:
    """List what `train` will probably refuse, when it tries the base itself and GPUs are taken already."""
    known = base.architecture
    if known is None or not spec.train:
        return
    if known.is_refused:
        yield Problem("inputs.base_model", f"is a {known.model_type}, which train refuses: {known.full}")
    if known.reads_across and spec.pack.policy == "best_fit":
        what = f"is best_fit, but a {known.model_type} with usual settings reads one sample of a chunk into the next"
        yield Problem("pack.policy", f"{what}; train tries it, and refuses it then: set concatenate")


def warn_of_base(spec: RunSpec, base: BaseModel) -> None:
    """Write the doubts into the log."""
    for doubt in base_doubts(spec, base):
        log("spec").warning("%s", doubt)


def certain_or_warned(shapes: Shapes, problem: Problem) -> Iterator[Problem]:
    """Give what follows from a base's size as a problem if that is counted, and write it into the log if it is a guess.

    A refusal that is wrong costs a user the run.
    """
    if shapes.exact:
        yield problem
    else:
        log("spec").warning("as if the base were a Llama: %s", problem)


def known_name(address: str) -> str | None:
    """Tell which of the known models an address names: `models/Llama-2-7b-hf` is `llama-2-7b`; None if it is none."""
    last = re.sub(r"@[0-9a-f]{40}$", "", address.rstrip("/")).rpartition("/")[2].lower()
    name = last.removeprefix("meta-").removesuffix("-hf")
    return name if name in KNOWN_CONFIGS else None


def _reach(spec: RunSpec, cache: Path) -> tuple[Path | None, str]:
    """Give the path of config.json; None, and why, if it is not to be had."""
    if spec.fetch_model.format != "huggingface":
        return None, f"a {spec.fetch_model.format} file, which has no {CONFIG_FILE} before fetch_model has converted it"
    try:
        return Source(spec.inputs.base_model, cache=cache).reach(CONFIG_FILE), ""
    except (AccessError, DataError, EnvironmentProblem, StoreError, StoreUnavailable) as error:
        return None, str(error)
