"""Every error a user can meet, and the exit code it ends the process with.

    Med42Error                      code
    ├── ConfigError                    2   the spec or a stage's settings are wrong
    ├── DataError                      3   input data is missing, broken or does not match its manifest
    ├── EnvironmentProblem             4   this machine or image lacks something the stage needs
    ├── DivergedError                  5   training diverged: the loss is not a number
    ├── TrainingProcessError           6   a training process died
    ├── AccessError                    7   credentials missing or rejected
    ├── StoreError                     8   the store or bucket does not exist or cannot hold the output
    ├── NoSpaceError                   9   no space left while writing
    ├── TrackingError                 10   MLflow refused or cannot be used with this store
    ├── RunFailedError                11   a run that was submitted to a cluster failed, or was ended there
    ├── NoProgressError               12   training started again and again from the same step
    ├── StoreUnavailable             172   the object store did not answer; trying again may help
    ├── ClusterUnavailable           173   the Kubernetes or Kubeflow API server did not; trying again may help
    └── TrackingUnavailable          174   the MLflow server did not; trying again may help

Codes 1 to 63 are permanent: a retry without a change will fail the same way. From 128 on a retry may
help. 1 is a bug of ours (with a traceback), 130 is Ctrl-C, 137 a killed process, 143 a request to stop.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from med42lib.core.excerpts import cut
from med42lib.core.printable import one_line

_MOST_CHARACTERS = 1_500
MOST_PROBLEMS = 50


class Med42Error(Exception):
    """An error whose message tells the user what, where, the value, and what to do."""

    exit_code = 1


def _line(text: str) -> str:
    return one_line(cut(text, _MOST_CHARACTERS))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a setting.

    `where` is the field's path (`train.full.epochs`), `what` the sentence, with the value in it.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{_line(self.where)}: {_line(self.what)}"


class ConfigError(Med42Error):
    """Settings that cannot be used; carries every problem found, not only the first, and shows the first 50."""

    exit_code = 2

    def __init__(self, title: str, problems: list[Problem]) -> None:
        self.title = title
        self.problems = problems
        more = [f"and {len(problems) - MOST_PROBLEMS:,} more"] if len(problems) > MOST_PROBLEMS else []
        super().__init__("\n  ".join([_line(title), *map(str, problems[:MOST_PROBLEMS]), *more]))


class DataError(Med42Error):
    """Input data that is missing, broken, or differs from its manifest."""

    exit_code = 3


class EnvironmentProblem(Med42Error):
    """Something this machine or container image lacks."""

    exit_code = 4


class DivergedError(Med42Error):
    """Training whose loss is no longer a finite number."""

    exit_code = 5


class TrainingProcessError(Med42Error):
    """A training process that ended with an error of its own."""

    exit_code = 6


class AccessError(Med42Error):
    """Credentials that are missing or were rejected."""

    exit_code = 7


class StoreError(Med42Error):
    """A store that does not exist or refuses what it is asked to hold."""

    exit_code = 8


class NoSpaceError(Med42Error):
    """A disk that filled up while an output was being written."""

    exit_code = 9


class TrackingError(Med42Error):
    """An MLflow server that refused, or that cannot serve this kind of store."""

    exit_code = 10


class RunFailedError(Med42Error):
    """A run on a cluster, submitted from here, that failed there or was ended."""

    exit_code = 11


class NoProgressError(Med42Error):
    """Training that breaks down each time before it has saved anything."""

    exit_code = 12


class StoreUnavailable(Med42Error):
    """An object store that did not answer within all its retries."""

    exit_code = 172


class ClusterUnavailable(Med42Error):
    """A Kubernetes API server, or that of Kubeflow Pipelines, that did not answer within all retries."""

    exit_code = 173


class TrackingUnavailable(Med42Error):
    """An MLflow server that did not answer, or with an error of its own."""

    exit_code = 174


_FULL_DISK_NUMBERS = (errno.ENOSPC, errno.EDQUOT)
_FULL_DISK_MESSAGES = ("No space left on device", "os error 28", "Disk quota exceeded", "database or disk is full")


def not_installed(error: ModuleNotFoundError, needed_by: str, extra: str) -> EnvironmentProblem:
    """Say which extra of the package has a library that is missing."""
    return EnvironmentProblem(
        f"{error.name} is not installed; {needed_by} needs it: in a clone, {install_command(extra)}"
    )


def install_command(extra: str) -> str:
    """Write what installs an extra in the versions that are tested."""
    return f"pip install --constraint constraints.txt '.[{extra}]'"


def full_disk(error: BaseException, where: object) -> NoSpaceError | None:
    """Recognise a full disk, whichever library met it: each wraps the system's error in its own way.

    Args:
        error: What was raised.
        where: What was being written, for the message.

    Returns:
        The error to raise instead, or None if it is about something else, or ours already.
    """
    if isinstance(error, Med42Error):
        return None
    numbered = isinstance(error, OSError) and error.errno in _FULL_DISK_NUMBERS
    if not numbered and not any(message in str(error) for message in _FULL_DISK_MESSAGES):
        return None
    return NoSpaceError(
        f"no space left while writing {where}; free some space, or choose another --store or MED42_SCRATCH, then run "
        "the same command again: finished stages are kept"
    )


_LONG_ADDRESS = re.compile(r"(?:[\w+.-]+:/)?/\S{40,}")
_LINE_CHARACTERS = 100


def last_line(error: Med42Error) -> str:
    """Say what matters of an error in about 100 characters, the reason first: Kubeflow's pane of a log cuts lines.

    Kubeflow also loses the exit code, which is at the end. Of a long address, only the end is shown.
    """
    if isinstance(error, ConfigError) and error.problems:
        more = f" (and {len(error.problems) - 1:,} more, above)" if len(error.problems) > 1 else ""
        reason = f"{error.problems[0]}{more}"
    else:
        reason = str(error).partition("\n")[0]
    reason = one_line(_LONG_ADDRESS.sub(lambda match: f"…{match[0][-30:]}", reason))
    return f"{cut(reason, _LINE_CHARACTERS)} [exit code {error.exit_code}]"


INTERRUPTED_EXIT_CODE = 130
TERMINATED_EXIT_CODE = 143


STORE_REFUSALS = (AccessError, NoSpaceError, StoreError, StoreUnavailable)
"""What a store raises that does not take something."""
