"""One MLflow, at a database or a server: opened, and its errors told as ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from med42lib.core.errors import AccessError, TrackingError, TrackingUnavailable, full_disk
from med42lib.core.redaction import redact
from med42lib.store.scratch import attempt_folder, scratch_beside
from med42lib.tracking.address import SQLITE_SCHEME, host_refused, rejected, sqlite_file, unreachable


class Connection:
    """MLflow's own client, for what is built on it."""

    def __init__(self, address: str) -> None:
        """Open MLflow at an address."""
        # MLflow tells of every table it makes and every version it waits for.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self.address = address
        with self.translated():
            if file := sqlite_file(address):
                _create_database(file)
            self.client = MlflowClient(address)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn MLflow's errors into ours.

        Raises:
            AccessError: If credentials are missing or rejected.
            NoSpaceError: If the disk of a SQLite file is full.
            TrackingUnavailable: If MLflow does not answer.
            TrackingError: If it refuses for another reason.
        """
        try:
            yield
        except Exception as error:
            if no_space := full_disk(error, f"MLflow's {redact(self.address)}"):
                raise no_space from error
            if isinstance(error, MlflowException):
                raise _refused(self.address, error) from error
            raise


def _create_database(database: Path) -> None:
    """Make a fresh database elsewhere and move it here: MLflow cannot go on with one that has half of its tables."""
    if database.exists() and database.stat().st_size:
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with attempt_folder(scratch_beside(database.parent), database.stem) as folder:
        new = folder / database.name
        MlflowClient(f"{SQLITE_SCHEME}{new}")
        new.replace(database)


@contextmanager
def ignore_if_created() -> Iterator[None]:
    """Ignore the error if another process was quicker to create what the block creates."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _refused(address: str, error: MlflowException) -> AccessError | TrackingError | TrackingUnavailable:
    message = redact(str(error))
    if "Invalid Host header" in message:
        return host_refused(address)
    if error.error_code in ("UNAUTHENTICATED", "PERMISSION_DENIED") or "error code 401" in message:
        return rejected(address)
    if "failed with exception" in message:
        return unreachable(address, message)
    return TrackingError(f"MLflow at {redact(address)} refused: {message}")
