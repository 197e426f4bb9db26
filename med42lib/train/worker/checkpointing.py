"""Saving the state of a training while it goes on, and going on from what was saved.

Every process saves its own part to its disk and puts it into the store; when all have, the first one seals. The order
of the chunks, the learning rate and what is drawn follow from seed and step (`batches`, `schedule`, `loop.draw_seed`),
so weights, optimiser, `Totals` and the metrics so far are all there is to save. Of LoRA the adapter alone is saved.
"""

from __future__ import annotations

import copyreg
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed

from med42lib.core.errors import AccessError, DataError, NoSpaceError, StoreError, StoreUnavailable
from med42lib.core.log import log
from med42lib.store.artifacts import Target
from med42lib.store.checkpoints import Checkpoint, Checkpoints
from med42lib.store.manifest import METRICS_FILE, FileEntry
from med42lib.train.job import NUM_PROCESSES
from med42lib.train.loop import Totals

T = TypeVar("T")

_REFUSALS = (AccessError, NoSpaceError, StoreError, StoreUnavailable)
_TOTALS = "totals"
_PART_OF = re.compile(r"zero_pp_rank_(\d+)_")  # DeepSpeed's files that one process alone reads
_FOLDER, _FETCHED = "state", "fetched"


class Checkpointing:
    """One process's part in saving and loading; every process has to make the same calls."""

    def __init__(
        self,
        engine: Any,
        checkpoints: Checkpoints,
        target: Target,
        scratch: Path,
        *,
        minutes: float,
        timeout: timedelta,
    ) -> None:
        """Prepare it.

        Args:
            engine: A DeepSpeed engine that has not trained yet.
            checkpoints: Where to save, and where from to go on.
            target: Where the first process writes the metrics.
            scratch: A folder of this process's own.
            minutes: Between two checkpoints.
            timeout: How long a process waits for the others to put or fetch their parts.
        """
        self._engine, self._checkpoints, self._target, self._scratch = engine, checkpoints, target, scratch
        self._seconds, self._saved_at = 60 * minutes, time.monotonic()
        self._rank = distributed.get_rank()
        # Not over NCCL, whose watchdog ends what waits for minutes.
        self._group = distributed.new_group(backend="gloo", timeout=timeout)

    def due(self) -> bool:
        """Say whether it is time to save; the first process decides for all."""
        return self._rank == 0 and time.monotonic() - self._saved_at >= self._seconds

    def resume(self) -> Totals:
        """Load the newest checkpoint that every process finds whole; returns what was done until then."""
        found = self._gather(list(self._checkpoints.complete()) if self._rank == 0 else [])[0]
        for checkpoint in found:
            folder = self._fetched(checkpoint)
            if all(self._gather(folder is not None)) and folder is not None:
                self._load(folder)
                shutil.rmtree(self._scratch / _FETCHED, ignore_errors=True)
                if self._rank == 0:
                    log("train").info("goes on after step %d, from %s", checkpoint.step, checkpoint.address)
                return Totals(**checkpoint.state[_TOTALS])
        return Totals()

    def save(self, totals: Totals) -> bool:
        """Save the state after a step; False if the store does not take it from all, which is told and ends nothing."""
        started = time.monotonic()
        folder = self._scratch / "saved" / _FOLDER
        _save_enums_by_value()
        self._engine.save_checkpoint(str(folder.parent), tag=_FOLDER, save_latest=False, exclude_frozen_parameters=True)
        if self._rank == 0:
            shutil.copyfile(self._target.folder / METRICS_FILE, folder / METRICS_FILE)
        parts = self._gather(self._put(totals.num_steps, folder))
        shutil.rmtree(folder.parent)
        problems = [part for part in parts if isinstance(part, str)]
        if self._rank == 0 and not problems:
            files = [entry for part in parts for entry in part if isinstance(entry, FileEntry)]
            problems = self._seal(totals, files)
        [problems, *_] = self._gather(problems)
        self._saved_at = time.monotonic()
        seconds = self._saved_at - started
        if problems and self._rank == 0:
            log("train").warning("could not save a checkpoint after step %d: %s", totals.num_steps, problems[0])
        elif self._rank == 0:
            log("train").info("saved a checkpoint after step %d in %.1f s", totals.num_steps, seconds)
        return not problems

    def _put(self, step: int, folder: Path) -> list[FileEntry] | str:
        """Put this process's files; returns them, or what went wrong."""
        paths = [path for path in sorted(folder.iterdir()) if path.suffix == ".pt" or path.name == METRICS_FILE]
        try:
            return [self._checkpoints.put(step, path.name, path) for path in paths]
        except _REFUSALS as error:
            return str(error)

    def _seal(self, totals: Totals, files: list[FileEntry]) -> list[str]:
        state = {_TOTALS: asdict(totals), NUM_PROCESSES: distributed.get_world_size()}
        try:
            self._checkpoints.seal(totals.num_steps, files, state)
        except _REFUSALS as error:
            return [str(error)]
        return []

    def _fetched(self, checkpoint: Checkpoint) -> Path | None:
        """Give the folder with what this process needs of a checkpoint; None if something there is damaged."""
        source = checkpoint.source(self._scratch / _FETCHED / f"{checkpoint.step}")
        paths = []
        try:
            for name in source.sizes():
                part = _PART_OF.search(name)
                if part is None or int(part[1]) == self._rank:
                    paths.append(source.path(name))
        except DataError as error:
            log("train").warning("a checkpoint cannot be used: %s", error)
            return None
        return paths[0].parent

    def _load(self, folder: Path) -> None:
        with _numbers_alone():
            # Frozen weights are not in it: the base model has them.
            self._engine.load_checkpoint(str(folder.parent), tag=folder.name, load_module_strict=False)
        if self._rank == 0:
            shutil.copyfile(folder / METRICS_FILE, self._target.path(METRICS_FILE, note=True))

    def _gather(self, mine: T) -> list[T]:
        """Give what each process has, in the order of the processes."""
        found = [mine] * distributed.get_world_size()
        distributed.all_gather_object(found, mine, group=self._group)
        return found


def _save_enums_by_value() -> None:
    """Have DeepSpeed save what `_numbers_alone` loads: Python 3.11.0 to 3.11.3 would save a `getattr`."""
    from deepspeed.runtime.zero.config import ZeroStageEnum

    copyreg.pickle(ZeroStageEnum, lambda stage: (ZeroStageEnum, (stage.value,)))


@contextmanager
def _numbers_alone() -> Iterator[None]:
    """Have torch load tensors, plain values and what DeepSpeed adds, and nothing else: a file could bring code."""
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # as DeepSpeed asks for all; it may stay
    with torch.serialization.safe_globals([DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address]):
        yield
