"""What the stage tells its training processes, and what they tell it when they fail: two small JSON files."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from med42lib.core.errors import (
    DataError,
    DivergedError,
    EnvironmentProblem,
    Med42Error,
    NoSpaceError,
    StoreError,
    TrainingProcessError,
    full_disk,
)
from med42lib.train.config import TrainConfig

_ERRORS: dict[str, type[Med42Error]] = {
    kind.__name__: kind for kind in (DataError, DivergedError, EnvironmentProblem, NoSpaceError, StoreError)
}
_LOSS_SCALE_MESSAGE = "loss scale already at minimum"  # DeepSpeed raises a bare Exception


@dataclass(frozen=True, slots=True)
class Request:
    """What to train, on what, and where to."""

    config: TrainConfig
    packed: Path
    """Folder of the packed data."""
    model: Path
    """Folder of the base model."""
    base_name: str
    """What the adapter calls its base model: a name that means the same on every machine."""
    trained: Path
    """Folder of the output."""
    failure: Path
    """Where a process that fails says why."""

    def write(self, path: Path) -> None:
        """Write the request as JSON."""
        path.write_text(json.dumps({**asdict(self), "config": self.config.model_dump()}, default=str), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read what `write` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        config = TrainConfig.model_validate(values.pop("config"))
        base_name = values.pop("base_name")
        return cls(config=config, base_name=base_name, **{name: Path(value) for name, value in values.items()})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a training process ended; `kind` is the error's class."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: BaseException, where: Path) -> Failure:
        """Describe an error; a full disk is named as such, whichever library met it.

        Args:
            error: The error.
            where: The folder that was written to.
        """
        error = full_disk(error, f"below {where}") or error
        if _LOSS_SCALE_MESSAGE in str(error):
            return cls(
                DivergedError.__name__,
                "training diverged: with float16, gradients overflow however far the loss is scaled down. Lower "
                "train's learning_rate, lengthen warmup_steps, or set precision to bfloat16 or float32, then run again",
            )
        message = str(error) if isinstance(error, Med42Error) else f"{type(error).__name__}: {error}"
        if type(error).__name__ == "OutOfMemoryError":
            message += "\nLower train's micro_batch_size, set gradient_checkpointing: true, or train on more processes"
        return cls(type(error).__name__, message)

    def write(self, path: Path) -> None:
        """Write the failure unless there is one already: the first to fail knows the reason."""
        own = path.with_name(f"{path.name}.{os.getpid()}")
        own.write_text(json.dumps(asdict(self)), encoding="utf-8")
        if not path.exists():
            own.rename(path)

    @classmethod
    def read(cls, path: Path) -> Failure | None:
        """Read the failure; None if none was written."""
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def to_error(self, output_tail: str) -> Med42Error:
        """Give the error to raise in the stage.

        Args:
            output_tail: Last lines of the processes' output, shown if the error is none of ours.
        """
        if self.kind in _ERRORS:
            return _ERRORS[self.kind](self.message)
        return TrainingProcessError(
            f"a training process died: {self.message}\nlast lines of its output:\n{output_tail}\n"
            "Run the same command again to go on: finished stages are kept"
        )


@contextmanager
def reported_errors(failure: Path, output: Path) -> Iterator[None]:
    """Leave an error that ends the block in the file `failure`, and end this process with exit code 1.

    It is also shown with its traceback, unless it is one that the stage reports in its own words or the
    consequence of another process's error.

    Args:
        failure: Where `Failure.read` will find it.
        output: The folder that this process writes to.
    """
    try:
        yield
    except Exception as error:
        described = Failure.of(error, output)
        if described.kind not in _ERRORS and not failure.exists():
            traceback.print_exception(error)
        described.write(failure)
        raise SystemExit(1) from error
