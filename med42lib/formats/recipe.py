"""`recipe.json`: what was trained, in numbers that do not depend on the machine's speed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json, write_json

RECIPE_FILE = "recipe.json"
ADVICE = "run train again"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Method, length and size of a finished training."""

    method: str
    num_steps: int
    num_chunks: int
    num_tokens: int
    """Tokens that the model saw, over all steps."""
    num_response_tokens: int
    """Terms of the loss, over all steps."""
    trainable_parameters: int
    total_parameters: int
    """Parameters of the base model, and of the adapter if there is one."""
    world_size: int
    """Training processes."""
    zero_stage: int
    """What DeepSpeed split between them: 1 optimiser states, 2 gradients too, 3 weights too."""
    first_loss: float
    """Mean loss per response token in the first step, before its update."""
    last_loss: float
    without_adapter: list[str] = field(default_factory=list)
    """Matrices that an adapter leaves as they are, those of all layers under one name: `layers.*.mlp.gate.weight`.
    Embeddings, convolutions and the output layer never get one and are not listed."""
    device: str = ""
    """What each process computed on: a GPU's name, or CPU; empty if it was not recorded."""
    best_step: int | None = None
    """The step that the model is of, where the validation loss decided that; None, and not written, of the last."""

    @property
    def base_parameters(self) -> int:
        """Parameters of the base model alone; of those of an adapter all are trained, and of the base none."""
        return self.total_parameters - (0 if self.method == "full" else self.trainable_parameters)

    def write(self, folder: Path) -> None:
        """Write the recipe into a folder."""
        values = asdict(self)
        if self.best_step is None:
            del values["best_step"]
        write_json(folder / RECIPE_FILE, values)

    @classmethod
    def from_json(cls, content: bytes) -> Recipe:
        """Read what a training process wrote a moment ago."""
        return cls(**json.loads(content))

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read the recipe of an output.

        Raises:
            DataError: If it is broken, or another version wrote it.
        """
        values = read_json(path, ADVICE)
        try:
            return cls(**values)
        except TypeError as error:
            raise DataError(f"{path} is not a recipe of this version ({error}); {ADVICE}") from error
