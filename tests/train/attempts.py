"""Attempts at one training, each the stage `train` in a process of its own, which can be killed."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from med42lib.store.address import open_store
from med42lib.store.checkpoints import Checkpoints
from med42lib.train.config import TrainConfig
from tests.conftest import REPOSITORY

PROGRAM = """
import os
import sys
from pathlib import Path
from med42lib.core.log import set_up_logging
from med42lib.engine.context import StageContext
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source, Target
from med42lib.store.cache import StageCache
from med42lib.store.manifest import files_digest
from med42lib.store.publish import Upload
from med42lib.train.config import TrainConfig
from med42lib.train.stage import train
if os.environ["MED42_START_METHOD"] == "fork":
    from med42lib.train.worker.deepspeed_engine import import_deepspeed
    import transformers.models.llama.modeling_llama
    import_deepspeed("cpu")
packed, model, store, scratch, config = sys.argv[1:]
set_up_logging()
context = StageContext("k", store, Upload(open_store(store), "train/k"), StageCache(store, "train", Path(scratch)))
trained = Target(Path(scratch, "trained"))
config = TrainConfig.model_validate_json(config)
train(config, packed=Source(packed), model=Source(model), trained=trained, context=context)
print(files_digest(trained.files()))
"""


@dataclass
class Attempts:
    """Runs attempts at one training, each in a process of its own."""

    packed: Path
    model: Path
    store: str
    folder: Path
    config: TrainConfig
    environment: dict[str, str] = field(default_factory=dict)
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(open_store(self.store), "train/k", "")

    def start(
        self,
        *,
        processes: int = 2,
        method: str = "fork",
        within: tuple[str, ...] = (),
        **settings: object,
    ) -> "subprocess.Popen[str]":
        """Start an attempt.

        Args:
            processes: Training processes.
            method: How they are started; forks begin to train in half the time.
            within: A command that runs the attempt.
            settings: What else the configuration says.
        """
        config = self.config.model_copy(update=settings).model_dump_json()
        own = {"MED42_PROCESSES_PER_NODE": str(processes), "MED42_START_METHOD": method, "CUDA_VISIBLE_DEVICES": ""}
        places = [str(self.packed), str(self.model), self.store, str(self.folder)]
        attempt = subprocess.Popen(
            [*within, sys.executable, "-c", PROGRAM, *places, config],
            env={**os.environ, **own, **self.environment, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(attempt)
        return attempt

    def finish(self, **how: object) -> tuple[str, str]:
        """Run an attempt to its end; returns its output's digest and what it said."""
        return finished(self.start(**how))  # type: ignore[arg-type]

    def saved_after(self, step: int) -> Callable[[], bool]:
        """Make the question whether there is a checkpoint of a later step."""
        return lambda: (newest := self.checkpoints.newest()) is not None and newest.step > step


def finished(attempt: "subprocess.Popen[str]") -> tuple[str, str]:
    digest, said = attempt.communicate(timeout=300)
    assert attempt.returncode == 0, said
    return digest, said


def kill(attempt: "subprocess.Popen[str]") -> None:
    attempt.kill()
    attempt.communicate()
