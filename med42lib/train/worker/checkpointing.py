"""Saving the state of a training while it goes on, and going on from what was saved.

    training   ... step 500 ── copy into main memory ── step 501, 502, ...      all that training waits for
    a thread                            └─► write ─► put ─► all have? ─► the first process seals

Each process saves its fragments (`fragments`). The order of the chunks, the learning rate and what is drawn follow from
seed and step (`batches`, `schedule`, `loop.draw_seed`), so these, `Totals` and the metrics so far are all there is to
save. A checkpoint holds

    rank-00003.safetensors    the fragments of process 3, float32; of LoRA the adapter's alone
    fragments.json            which process has which piece of which parameter
    metrics.jsonl

and is read by any number of processes, of which each fetches the files that hold its own fragments, one after the
other: for another stage of ZeRO these may be nearly all.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import save_file
from torch import Tensor, distributed

from med42lib.core.errors import (
    STORE_REFUSALS,
    AccessError,
    DataError,
    Med42Error,
    NoSpaceError,
    StoreError,
    TrainingProcessError,
    full_disk,
)
from med42lib.core.log import log
from med42lib.store.artifacts import Target
from med42lib.store.checkpoints import Checkpoint, Checkpoints
from med42lib.store.manifest import METRICS_FILE, FileEntry
from med42lib.store.scratch import SCRATCH_VARIABLE
from med42lib.train.loop import Totals
from med42lib.train.worker.fragments import LAYOUT_FILE, Layout, TrainedState, read_layout, write_layout

T = TypeVar("T")

_MOST_LASTING = 2
"""Checkpoints in a row that a store may refuse in such a way until training ends: its output would be refused too."""

_LASTING = (AccessError, NoSpaceError)
"""Refusals that nothing but a person ends."""

_TOTALS, _NUMBERS, _SECONDS = "totals", "numbers", "seconds_saving"
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The state after a step, as far as it is this process's to save."""

    totals: Totals
    numbers: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    metrics_bytes: int
    began: float
    seconds_copying: float
    seconds_saving: float
    """As of `Checkpointing.seconds_saving`, this copy included."""
    best_step: int | None
    """The step that the output would be of if training ended here, where that is not the last."""


class _LocalDiskFull(NoSpaceError):
    """The store would take what this machine has no space to prepare."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why a process could not save its part."""

    text: str
    kind: type[Med42Error]
    lasting: bool
    """Whether it is one of the store's `_LASTING` refusals."""

    @classmethod
    def of(cls, error: Exception) -> _Problem:
        kind = next((kind for kind in STORE_REFUSALS if isinstance(error, kind)), TrainingProcessError)
        return cls(str(error), kind, kind in _LASTING and not isinstance(error, _LocalDiskFull))


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
            minutes: Between two checkpoints; 0 saves after every step, and waits for the one before.
            timeout: How long a process waits for the others to put or fetch their parts.
        """
        self.seconds_saving = 0.0
        """How long training has waited for its state to be saved, what was saved of a killed attempt included."""
        self._state = TrainedState(engine)
        self._checkpoints, self._target, self._scratch = checkpoints, target, scratch
        self._seconds, self._saved_at = 60 * minutes, time.monotonic()
        self._rank = distributed.get_rank()
        # Not over NCCL, whose watchdog ends what waits for minutes. While a checkpoint is saved it is the thread's.
        self._group = distributed.new_group(backend="gloo", timeout=timeout)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future[bool] | None = None
        self._saving_step = 0
        self._stored_step: int | None = None
        self._untold: Mapping[str, float] = {}
        self._lasting: list[_Problem] = []
        self._layout: Layout = dict(self._gather((f"rank-{self._rank:05}.safetensors", self._state.extents)))

    def due(self) -> bool:
        """Say whether it is time to save; the first process decides for all. One that is still under way is awaited."""
        if self._rank != 0:
            return False
        self._tell_when_stored()
        if self._refused_for_good() or self._has_failed():
            return True  # for all to end
        if time.monotonic() - self._saved_at < self._seconds:
            return False
        if self._seconds and self._saving is not None and not self._saving.done():
            log("train").warning(
                "it is time for a checkpoint, but the one after step %d is not stored yet: this one is left out; "
                "checkpoint_minutes = %g is too short for this store",
                self._saving_step,
                self._seconds / 60,
            )
            self._saved_at = time.monotonic()
            return False
        return True

    def resume(self) -> Totals:
        """Load the newest checkpoint that every process finds whole; returns what was done until then."""
        for checkpoint, files in self._whole():
            shutil.copyfile(files[METRICS_FILE], self._target.path(METRICS_FILE, note=True))
            self._load(checkpoint, files, "goes on after")
            self.seconds_saving = checkpoint.state.get(_SECONDS, 0.0)  # older ones do not say
            self._stored_step = checkpoint.step
            return Totals(**checkpoint.state[_TOTALS])
        return Totals()

    def go_back(self, step: int) -> None:
        """Load the checkpoint of the best step, when training is over.

        Raises:
            DataError: If it is gone or damaged: another model in its place would be a silent one.
        """
        for checkpoint, files in self._whole(step):
            self._load(checkpoint, files, "ends with the model of the lowest validation loss,")
            return
        raise DataError(
            f"the lowest validation loss is that of step {step}, whose checkpoint in {self._checkpoints.address} is "
            "gone or damaged; run again. If that says the same, remove that folder to train anew, or export the newest "
            "in it (med42 export)"
        )

    def save(self, totals: Totals, best_step: int | None = None) -> None:
        """Begin to save the state after a step, when the one before is saved; training may go on meanwhile.

        That the store does not take it is told, and ends nothing at first; but see `finish`.

        Args:
            totals: What was done until then.
            best_step: The step that the output would be of, where that is not the last; its checkpoint is kept.

        Raises:
            AccessError, NoSpaceError: In every process, if the store has refused the last ones for a reason that lasts.
        """
        waited_before = self.seconds_saving
        self.finish()
        if self._refused_for_good():
            raise self._refusal()
        self._begin(totals, best_step, waited_before)

    def _begin(self, totals: Totals, best_step: int | None, waited_before: float) -> None:
        with self._counted():
            began = time.monotonic()
            metrics_bytes = (self._target.folder / METRICS_FILE).stat().st_size if self._rank == 0 else 0
            tensors, numbers = self._state.copy(), self._state.numbers()
            copied = time.monotonic() - began
            seconds = self.seconds_saving + copied
            snapshot = _Snapshot(totals, numbers, tensors, metrics_bytes, began, copied, seconds, best_step)
            self._saving, self._saving_step = self._thread.submit(self._store, snapshot), totals.num_steps
            self._saved_at = began
        waited = self.seconds_saving - waited_before
        self._untold = {"checkpoint_seconds": waited, "checkpoint_step": totals.num_steps}

    def finish(self) -> bool:
        """Wait for what is being saved; False if the store did not take it from all.

        Raises:
            Med42Error: In every process, if that was the best step's: without it the output would be another one.
        """
        if self._saving is None:
            return True
        with self._counted():
            stored = self._saving.result()
        self._tell_when_stored()
        return stored

    def save_now(self, totals: Totals, best_step: int | None = None) -> bool:
        """Save as `save` does, and wait until it is stored; False if the store did not take it."""
        waited_before = self.seconds_saving
        self.finish()
        if self._saving is None or self._saving_step != totals.num_steps:
            self._begin(totals, best_step, waited_before)
        return self.finish()

    def _tell_when_stored(self) -> None:
        """Record a checkpoint, once, when it is one."""
        if self._untold and self._saving is not None and self._saving.done():
            if self._rank == 0 and self._stored_step == self._saving_step:
                self._target.log_metrics(self._untold, step=self._saving_step)
            self._untold = {}

    def _refused_for_good(self) -> bool:
        return len(self._lasting) >= _MOST_LASTING

    def _has_failed(self) -> bool:
        return self._saving is not None and self._saving.done() and self._saving.exception() is not None

    def _refusal(self) -> Med42Error:
        problem = self._lasting[-1]
        return problem.kind(
            f"the store refused the last {len(self._lasting)} checkpoints, as it would the output: {problem.text}. "
            f"Training ended; {self._last_good()}. Renew the credentials, or make room in the store, then run the same "
            "command again to go on"
        )

    def _best_lost(self, step: int, problem: _Problem) -> Med42Error:
        return problem.kind(
            f"could not save the checkpoint after step {step}, which load_best_model_at_end needs, as the validation "
            f"loss is the lowest there so far: {problem.text}. Training ended; {self._last_good()}. Run the same "
            "command again to go on"
        )

    def _last_good(self) -> str:
        step = self._stored_step
        return "there is no checkpoint yet" if step is None else f"the last good one is of step {step}"

    @contextmanager
    def _counted(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds_saving += time.monotonic() - began

    def _store(self, snapshot: _Snapshot) -> bool:
        """Put a checkpoint, in the thread."""
        step, mine = snapshot.totals.num_steps, self._put(snapshot)
        parts = self._gather(mine if isinstance(mine, list) else _Problem.of(mine))
        problems = [part for part in parts if isinstance(part, _Problem)]
        files = [entry for part in parts if not isinstance(part, _Problem) for entry in part]
        if self._rank == 0 and not problems and (refused := self._seal(snapshot, files)) is not None:
            mine, problems = refused, [_Problem.of(refused)]
        [problems, *_] = self._gather(problems)
        lasting = next((problem for problem in problems if problem.lasting), None)
        self._lasting = [*self._lasting, lasting] if lasting else []
        self._stored_step = self._stored_step if problems else step
        if problems and self._rank == 0:
            told = f"{problems[0].text}; {self._last_good()}"
            log("train").warning("could not save a checkpoint after step %d: %s", step, told)
            self._checkpoints.discard(step)
        elif self._rank == 0:
            log("train").info(
                "saved a checkpoint after step %d: %.2f GiB in %.1f s, for which training waited %.2f s",
                step,
                sum(entry.bytes for entry in files) / _GIB,
                time.monotonic() - snapshot.began,
                snapshot.seconds_copying,
            )
        if isinstance(mine, Exception) and not isinstance(mine, STORE_REFUSALS):
            raise mine
        if problems and step == snapshot.best_step:
            raise self._best_lost(step, problems[0])
        return not problems

    def _put(self, snapshot: _Snapshot) -> list[FileEntry] | Exception:
        """Write and put this process's files; returns them, or why that failed, for all to hear of it."""
        folder = self._scratch / "saved"
        try:
            folder.mkdir()
            step = snapshot.totals.num_steps
            return [self._checkpoints.put(step, path.name, path) for path in self._write(snapshot, folder)]
        except Exception as error:  # noqa: BLE001 (told and, if it is no refusal, raised when all have been told)
            full = full_disk(error, folder)
            return error if full is None else _LocalDiskFull(str(full))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, snapshot: _Snapshot, folder: Path) -> Iterator[Path]:
        """Write one file after the other, for each to be put before the next needs space."""
        fragments = folder / list(self._layout)[self._rank]
        _check_space(folder, sum(tensor.nbytes for tensor in snapshot.tensors.values()))
        save_file(dict(snapshot.tensors), fragments)
        yield fragments
        if self._rank == 0:
            write_layout(self._layout, folder / LAYOUT_FILE)
            yield folder / LAYOUT_FILE
            with (self._target.folder / METRICS_FILE).open("rb") as stream:
                (folder / METRICS_FILE).write_bytes(stream.read(snapshot.metrics_bytes))
            yield folder / METRICS_FILE

    def _seal(self, snapshot: _Snapshot, files: list[FileEntry]) -> Exception | None:
        """Make a checkpoint of all files; returns why that failed, as `_put` does."""
        state = {
            _TOTALS: asdict(snapshot.totals),
            _NUMBERS: snapshot.numbers,
            _SECONDS: snapshot.seconds_saving,
        }
        try:
            self._checkpoints.seal(snapshot.totals.num_steps, files, state, snapshot.best_step)
        except Exception as error:  # noqa: BLE001 (told and, if it is no refusal, raised when all have been told)
            return error
        return None

    def _whole(self, step: int | None = None) -> Iterator[tuple[Checkpoint, dict[str, Path]]]:
        """Give the checkpoints, all or of a step, that every process has read whole, with their other files."""
        for checkpoint in self._gather(list(self._checkpoints.complete()) if self._rank == 0 else [])[0]:
            if step in (None, checkpoint.step):
                files = self._fetched(checkpoint)
                if all(self._gather(files is not None)) and files is not None:
                    yield checkpoint, files

    def _fetched(self, checkpoint: Checkpoint) -> dict[str, Path] | None:
        """Read this process's fragments of a checkpoint, a file at a time: many may hold some of them.

        Returns:
            The other files, by name; None if something that this process needs is damaged.

        Raises:
            TrainingProcessError: If it was removed since it was listed. Started again, processes find what came after.
        """
        source = checkpoint.source(self._scratch / "fetched" / f"{checkpoint.step}")
        try:
            layout = read_layout(source.path(LAYOUT_FILE))
            for name in self._state.files_needed(layout):
                self._state.read(source.path(name), layout[name])
                source.drop(name)
            return {name: source.path(name) for name in (LAYOUT_FILE, METRICS_FILE)}
        except (DataError, StoreError) as error:
            if checkpoint.address not in {found.address for found in self._checkpoints.complete()}:
                raise TrainingProcessError(f"{checkpoint.address} was removed: another attempt went further") from error
            log("train").warning("a checkpoint cannot be used: %s", error)
            return None

    def _load(self, checkpoint: Checkpoint, files: dict[str, Path], why: str) -> None:
        layout = read_layout(files[LAYOUT_FILE])
        self._state.load(checkpoint.state[_NUMBERS])
        shutil.rmtree(self._scratch / "fetched", ignore_errors=True)
        if self._rank == 0:
            place = checkpoint.address
            log("train").info("%s step %d, from %s, which %d processes saved", why, checkpoint.step, place, len(layout))

    def _gather(self, mine: T) -> list[T]:
        """Give what each process has, in the order of the processes."""
        found = [mine] * distributed.get_world_size()
        distributed.all_gather_object(found, mine, group=self._group)
        return found


def _check_space(folder: Path, num_bytes: int) -> None:
    """Leave a disk alone that a checkpoint would fill: the metrics of the training itself are on it.

    Raises:
        NoSpaceError: If it would.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise _LocalDiskFull(
            f"no space left for {num_bytes:,} bytes in {folder}, where {free:,} are free; free some space, or set "
            f"{SCRATCH_VARIABLE} to another disk"
        )
