"""What the driver of a training tells its processes, and what they tell it: small JSON files beside the output.

    train/<key>/<attempt>/job/job.json         settings, the addresses of what is read and written, the driver's code
    train/<key>/<attempt>/job/failure.json     why the first process that failed did; put once, and removed when all
                                               processes have started again and go on
    train/<key>/<attempt>/job/consequence.json the same of one that failed as the peers of a failed one do; counts where
                                               there is no other
    train/<key>/<attempt>/job/files.json       what was trained: the files that were put, with size and sha256
    train/<key>/<attempt>/trained/...          those files

A job holds no path of a machine, so its processes may be anywhere.
"""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from med42lib.core.environment import number_from_environment
from med42lib.core.errors import (
    STORE_REFUSALS,
    AccessError,
    DataError,
    DivergedError,
    EnvironmentProblem,
    Med42Error,
    NoProgressError,
    NoSpaceError,
    StoreError,
    StoreUnavailable,
    TrainingProcessError,
    full_disk,
)
from med42lib.core.log import log
from med42lib.core.redaction import redact
from med42lib.core.stop_signal import StopSignal
from med42lib.engine.context import TrackedAs
from med42lib.store.address import join_address, open_store
from med42lib.store.checkpoints import Checkpoints
from med42lib.store.manifest import FileEntry
from med42lib.store.patience import impatient
from med42lib.store.publish import Upload, tidy
from med42lib.train.config import TrainConfig

OUTPUT = "trained"
STOPPED = "stopped"
"""`Failure.kind` of a training that was asked to stop."""

ENDED = "ended"
"""`Failure.kind` of a process of which is only known that it ended, or that it lost another."""

NODE_VARIABLE = "MED42_NODE"
"""The machine's name; pods have others of their own."""

MAX_RESTARTS_VARIABLE = "MED42_MAX_RESTARTS"
"""How often a training may start again from the same step; the launcher tells its pods."""

GRACE_VARIABLE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
"""torchrun's own: whole seconds that training has to save its state when it is asked to stop; the launcher tells its
pods."""

GRACE_SECONDS = 30
"""Where nothing is said: as long as torchrun waits, and as Kubernetes gives a pod."""

_FOLDER, _JOB_FILE, _FILES_FILE = "job", "job.json", "files.json"
_FAILURE_FILE, _CONSEQUENCE_FILE = "failure.json", "consequence.json"
_CONSEQUENCES = (ENDED, "DistError", "DistBackendError", "DistNetworkError", "DistStoreError")
_GLOO = "/gloo/"  # raises bare RuntimeErrors, with the place in its source
_ERRORS: dict[str, type[Med42Error]] = {
    kind.__name__: kind
    for kind in (
        *(AccessError, DataError, DivergedError, EnvironmentProblem, NoProgressError, NoSpaceError, StoreError),
        StoreUnavailable,
    )
}
_LOSS_SCALE_MESSAGE = "loss scale already at minimum"  # DeepSpeed raises a bare Exception


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A training's settings, the addresses of its inputs, and where its output goes."""

    config: TrainConfig
    packed: str
    """Address of the packed data."""
    model: str
    """Address of the base model."""
    base_name: str
    """The base model's identity, which means the same on every machine: `sha256:` and its digest."""
    store: str
    """Address of the store that the output goes to."""
    prefix: str
    """Stage and key of the output."""
    attempt: str
    """Name of the attempt at it."""
    tracked: TrackedAs | None = None
    """What it is called in MLflow while it goes on; None if it is not to be seen there."""
    base_hub: str | None = None
    """Repository and revision that the base came from, `owner/name@revision`; None if it came from no hub."""
    code: Mapping[str, str] | None = None
    """The driver's code and libraries, which the output's key is made of; None of a job by hand, which has no key."""

    @property
    def address(self) -> str:
        """Where the job is written."""
        return join_address(self.store, self.prefix, self.attempt, _FOLDER)

    @property
    def upload(self) -> Upload:
        """The attempt that the job's files belong to."""
        return Upload(open_store(self.store), self.prefix, self.attempt)

    @property
    def log_place(self) -> dict[str, str]:
        """What log lines of the job's processes say of their place, on whichever machine."""
        stage, _, key = self.prefix.partition("/")
        return {"stage": stage, "key": key, "attempt": self.attempt}

    @property
    def checkpoints(self) -> Checkpoints:
        """Where the state of the unfinished training is kept."""
        return Checkpoints(open_store(self.store), self.prefix, self.attempt)

    def to_json(self) -> str:
        """Write the job as one line."""
        values = {**asdict(self), "config": self.config.model_dump()}
        return json.dumps({name: value for name, value in values.items() if value is not None})

    @classmethod
    def from_json(cls, text: str | bytes) -> TrainingJob:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        config, tracked = TrainConfig.model_validate(values.pop("config")), values.pop("tracked", None)
        return cls(config=config, tracked=tracked and TrackedAs(**tracked), **values)

    def write(self) -> None:
        """Write the job to its address; one that is there already is left."""
        open_store(self.address).put_once(_JOB_FILE, self.to_json().encode())

    @classmethod
    def read(cls, address: str) -> TrainingJob:
        """Read what `write` wrote.

        Raises:
            DataError: If there is no job at the address.
        """
        return cls.from_json(_read_job(address))

    @staticmethod
    def read_code(address: str) -> dict[str, str]:
        """Read `code` alone, since other code may not understand the rest; errors as in `read`."""
        return dict(json.loads(_read_job(address)).get("code", {}))

    @classmethod
    def of_attempt(cls, address: str) -> TrainingJob:
        """Read the job of an attempt; errors as in `read`."""
        return cls.read(join_address(address, _FOLDER))

    def write_files(self, entries: Sequence[FileEntry]) -> None:
        """Say which files of the output were put."""
        open_store(self.address).put_once(_FILES_FILE, json.dumps([asdict(entry) for entry in entries]).encode())

    def read_files(self) -> tuple[FileEntry, ...]:
        """Read what `write_files` wrote.

        Raises:
            TrainingProcessError: If training ended without having put its output.
        """
        values = json.loads(self._read(f"{_FOLDER}/{_FILES_FILE}"))
        return tuple(FileEntry.parse(entry, where=self.address) for entry in values)

    def has_files(self) -> bool:
        """Say whether the whole output was put."""
        return open_store(self.address).read(_FILES_FILE) is not None

    def read_output(self, name: str) -> bytes:
        """Read a small file of the output; errors as in `read_files`."""
        return self._read(f"{OUTPUT}/{name}")

    def _read(self, name: str) -> bytes:
        content = open_store(self.upload.address).read(name)
        if content is None:
            raise TrainingProcessError(
                f"training ended without {self.upload.address}/{name}; run the same command again to go on"
            )
        return content


def _read_job(address: str) -> bytes:
    content = open_store(address).read(_JOB_FILE)
    if content is None:
        raise DataError(f"there is no training job at {address}; give the address that the stage `train` wrote")
    return content


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a training process ended; `kind` is the error's class."""

    kind: str
    message: str
    host: str = field(default="", compare=False)
    """Machine that it was on; filled in when it is written."""
    rank: str = field(default="", compare=False)
    """Process that it was in, if it was a training process."""

    @property
    def is_consequence(self) -> bool:
        """Say whether processes fail in this way when another has failed."""
        return self.kind in _CONSEQUENCES or _GLOO in self.message

    @property
    def is_permanent(self) -> bool:
        """Say whether it comes again when the same processes are started again."""
        return self.kind in _ERRORS and self.kind != StoreUnavailable.__name__

    @classmethod
    def of(cls, error: BaseException, where: object) -> Failure:
        """Describe an error; a full disk is named as such, whichever library met it.

        Args:
            error: The error.
            where: What was written to.
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
            settings = "set zero_stage: 3 or gradient_checkpointing: true"
            message += f"\nLower train's micro_batch_size, {settings}, or train on more processes"
        return cls(type(error).__name__, message)

    def write(self, job_address: str) -> None:
        """Write the failure, without secrets, unless there is one already: the first to fail knows the reason.

        A consequence hides no reason, even if it comes first: torchrun tells of a killed process when the others have
        ended. Where the store takes nothing, it is told in the log alone.
        """
        told = replace(self, message=redact(self.message), host=_host())  # who reads may not know the secret
        name = _CONSEQUENCE_FILE if self.is_consequence else _FAILURE_FILE
        try:
            with impatient():
                open_store(job_address).put_once(name, json.dumps(asdict(told)).encode())
        except STORE_REFUSALS as error:
            log("train").error("%s. That could not be left for the driver: %s", self.message, error)

    @classmethod
    def read(cls, job_address: str) -> Failure | None:
        """Read the failure; None if none was written."""
        store = open_store(job_address)
        content = store.read(_FAILURE_FILE) or store.read(_CONSEQUENCE_FILE)
        return None if content is None else cls(**json.loads(content))

    @classmethod
    def read_if_reachable(cls, job_address: str) -> Failure | None:
        """Read the failure; None also where the store is away."""
        try:
            with impatient():
                return cls.read(job_address)
        except StoreUnavailable:
            return None

    @classmethod
    def forget(cls, job_address: str) -> None:
        """Remove the failure that training survived, so that a later one can be told. One that would come again stays.

        Call it when all processes have started again: none of those that failed with it is left to write it.
        """
        survived = cls.read(job_address)
        if survived is not None and not survived.is_permanent:
            for name in (_FAILURE_FILE, _CONSEQUENCE_FILE):
                tidy(open_store(job_address), name)

    def end(self, output_tail: str, stopping: StopSignal) -> NoReturn:
        """End the stage for this reason.

        Args:
            output_tail: Last lines of the processes' output, shown if the error is none of ours.
            stopping: Whether this process was asked to stop; if so, that is why the others ended.

        Raises:
            SystemExit: If training was asked to stop, here or on another node.
            Med42Error: Otherwise.
        """
        if self.kind == STOPPED or stopping.is_set():
            log("train").warning("%s", self.message)
            raise SystemExit(stopping.exit_code)
        raise self.to_error(output_tail)

    def to_error(self, output_tail: str) -> Med42Error:
        """Give the error to raise in the stage.

        Args:
            output_tail: Last lines of the processes' output, shown if the error is none of ours.
        """
        if self.kind in _ERRORS:
            return _ERRORS[self.kind](f"{self.message}{self._place}")
        return TrainingProcessError(
            f"a training process died: {self.message}{self._place}\nlast lines of its output:\n{output_tail}\n"
            "Run the same command again to go on: finished stages are kept"
        )

    @property
    def _place(self) -> str:
        """Say where it was; nothing of this machine."""
        if self.host in ("", _host()):
            return ""
        return f" (process {self.rank} on {self.host})" if self.rank else f" (on {self.host})"


def grace_seconds() -> int:
    """Say how long training has to save its state when it is asked to stop.

    Raises:
        EnvironmentProblem: If the environment says something that is not a whole number above 0.
    """
    return number_from_environment(GRACE_VARIABLE) or GRACE_SECONDS


def _host() -> str:
    return os.environ.get(NODE_VARIABLE) or socket.gethostname()


@contextmanager
def reported_errors(job_address: str, output: Path) -> Iterator[None]:
    """Leave an error that ends the block at the job's address, and end this process with exit code 1.

    It is also told in this process's log; with its traceback, unless it is one that the stage reports in its own words
    or the consequence of another process's error.

    Args:
        job_address: Where `Failure.read` will find it.
        output: The folder that this process writes to.
    """
    try:
        yield
    except Exception as error:
        described = replace(Failure.of(error, output), rank=os.environ.get("RANK", ""))
        log("train").error("%s", described.message)
        if described.kind not in _ERRORS and Failure.read_if_reachable(job_address) is None:
            traceback.print_exception(error)
        described.write(job_address)
        raise SystemExit(1) from error
