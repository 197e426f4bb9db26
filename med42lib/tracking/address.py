"""Which MLflow is used, and whether it can be: known without importing MLflow.

The address is a fact of the place, not a setting. `MLFLOW_TRACKING_URI` names it; without it, MLflow works on the
SQLite file `mlflow.db` in the folder `MED42_HOME` (`runs` under the current directory if unset), and keeps reports
in `mlflow-artifacts` beside it.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from med42lib.core.authorities import TRACKING_AUTHORITY_VARIABLE
from med42lib.core.environment import in_pod
from med42lib.core.errors import AccessError, TrackingError, TrackingUnavailable
from med42lib.core.log import log
from med42lib.core.redaction import redact
from med42lib.store.base import S3_SCHEME
from med42lib.tracking.rest import ask, logs_in_otherwise

if TYPE_CHECKING:
    from requests import Response

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
HOME_VARIABLE = "MED42_HOME"
SQLITE_SCHEME = "sqlite:///"
DATABASE_FILE = "mlflow.db"
ARTIFACTS_FOLDER = "mlflow-artifacts"
PROBE_SECONDS = 5
_MLFLOW_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_SQLITE_MAGIC = b"SQLite format 3\0"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_HOST_REFUSED = "Invalid Host header"
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


def tracking_address() -> str:
    """Give the address of MLflow: the environment's, or that of the SQLite file.

    Raises:
        TrackingError: If it is neither a server's nor a database's. MLflow 3 no longer accepts a folder.
    """
    address = os.environ.get(TRACKING_VARIABLE, "").strip()
    if not address:
        return f"{SQLITE_SCHEME}{home_folder() / DATABASE_FILE}"
    scheme = urlsplit(address).scheme.partition("+")[0]
    if not is_server(address) and scheme not in _DATABASES:
        raise TrackingError(
            f"{TRACKING_VARIABLE}={redact(address)} is not supported: use a server's address (http://, https://) or a "
            f"database's ({', '.join(_DATABASES)}), such as {SQLITE_SCHEME}/path/to/{DATABASE_FILE}, or unset it; "
            "MLflow 3 keeps no runs in a folder"
        )
    return address.rstrip("/")


def is_server(address: str) -> bool:
    """Say whether an address is that of an MLflow server, rather than of a database opened from here."""
    return address.startswith(("http://", "https://"))


def sqlite_file(address: str) -> Path | None:
    """Give the file of a SQLite address; None for other addresses."""
    return Path(address.removeprefix(SQLITE_SCHEME)).absolute() if address.startswith(SQLITE_SCHEME) else None


def artifacts_address(address: str) -> str | None:
    """Say where a new experiment keeps its reports: beside a SQLite file, else where MLflow's server says (None)."""
    file = sqlite_file(address)
    return (file.parent / ARTIFACTS_FOLDER).as_uri() if file else None


@contextmanager
def sqlite_lock(address: str) -> Iterator[None]:
    """Keep other processes of the suite off a SQLite file as long as the block runs; does nothing for other addresses.

    Two that open a fresh file at once fail in MLflow's making of tables, or both make the same run.
    """
    file = sqlite_file(address)
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("register").info("waiting for another run that is being recorded in %s", file)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ui_command() -> str:
    """Give what a user opens in a browser, or types first, to look at the runs.

    MLflow's interface starts four workers unless told otherwise, which takes small machines a minute.
    """
    address = tracking_address()
    if is_server(address):
        return redact(address)
    return f"mlflow ui --workers 1 --backend-store-uri {shlex.quote(address)}"


def loading_code(model: str) -> str:
    """Write the Python that loads a registered model and asks it, on this machine.

    Without MLflow's address it would make an empty database where it is run, and transformers' pipelines draw their
    words by chance unless told otherwise.

    Args:
        model: Its address: `models:/name@alias`, or that of its folder.
    """
    return f"""import mlflow

mlflow.set_tracking_uri({redact(tracking_address())!r})
pipeline = mlflow.transformers.load_model({model!r})
question = [{{"role": "user", "content": "Which vitamin prevents scurvy?"}}]
print(pipeline(question, max_new_tokens=50, do_sample=False))"""


def check_tracking(store_address: str) -> bool:
    """Make sure, before anything is computed, that models of this store can be registered.

    Takes at most a few seconds and writes nothing. Gives what `check_answers` does.

    Raises:
        TrackingError: If MLflow is a server and the store a local folder, if the server refuses its name or its
            certificate is not trusted, if the SQLite file cannot be used, or if it would go with a pod that ends.
        TrackingUnavailable: If the server does not answer.
        AccessError: If it rejects the credentials.
    """
    _check_lasting(store_address)
    address = tracking_address()
    if is_server(address):
        _check_store(address, store_address)
    return check_answers(address)


def check_answers(address: str) -> bool:
    """Make sure that there is an MLflow at an address, before a client is made for it.

    Gives True if it is known to let us in: of some servers only MLflow's own client can tell, and of databases.

    Raises:
        TrackingError: If a server refuses its name or its certificate is not trusted, or a SQLite file cannot be used.
        TrackingUnavailable: If a server does not answer.
        AccessError: If it rejects the credentials.
    """
    if is_server(address):
        return _check_server(address)
    if file := sqlite_file(address):
        _check_sqlite(file)
    return False


def quiet_mlflow() -> None:
    """Set what MLflow reads from the environment, unless the user has; call before importing it.

    Its client would wait four minutes for a server that is down, report its use over the network, and print a
    line per run.
    """
    for variable, value in _MLFLOW_DEFAULTS.items():
        os.environ.setdefault(variable, value)


def home_folder() -> Path:
    """Name the folder of what a user keeps on this machine, outside any store: MLflow's file, and reports."""
    return Path(os.environ.get(HOME_VARIABLE) or "runs").expanduser().absolute()


def _check_lasting(store_address: str) -> None:
    """Refuse to record a cluster's run on the disk of one of its pods, unless somebody says so."""
    if in_pod() and store_address.startswith(S3_SCHEME) and not os.environ.get(TRACKING_VARIABLE, "").strip():
        raise TrackingError(
            f"{TRACKING_VARIABLE} is not set, so this run would be recorded in a SQLite file that goes with this pod; "
            f"set it to the address of an MLflow server (or to {SQLITE_SCHEME}/path on a volume that stays), or say "
            "register.enabled: false in the spec"
        )


def _check_store(address: str, store_address: str) -> None:
    if not store_address.startswith(S3_SCHEME):
        raise TrackingError(
            f"the MLflow server {redact(address)} cannot register models in the local store {store_address}: "
            f"servers refuse local paths; use --store s3://bucket/prefix, or unset {TRACKING_VARIABLE} to record "
            "this run in a SQLite file"
        )


def _check_sqlite(file: Path) -> None:
    folder = next(parent for parent in file.parents if parent.exists())
    if not folder.is_dir() or not all(os.access(path, os.W_OK) for path in (folder, file) if path.exists()):
        raise TrackingError(f"MLflow's file {file} cannot be written; set {HOME_VARIABLE} to a folder of yours")
    if file.exists() and file.stat().st_size and not _is_sqlite(file):
        raise TrackingError(f"{file} is not a SQLite database; move it away, or set {TRACKING_VARIABLE}")


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def _check_server(address: str) -> bool:
    """Ask the server for one experiment: MLflow's own client would wait minutes for one that is down."""
    try:
        answer = ask("GET", address, "experiments/search", timeout=PROBE_SECONDS, params={"max_results": 1})
    except OSError as error:
        cause = error.args[0] if error.args else error
        raise unreachable(address, str(getattr(cause, "reason", error))) from error
    _check_answer(address, answer)
    return answer.ok and not logs_in_otherwise()


def _check_answer(address: str, answer: Response) -> None:
    """Refuse answers that mean the same to MLflow's own client, which meets the rest."""
    code = answer.status_code
    if code == 403 and _HOST_REFUSED in answer.text:
        raise host_refused(address)
    if code == 404:
        raise TrackingError(
            f"what answers at {redact(address)} is not an MLflow server (404); check {TRACKING_VARIABLE}"
        )
    if code in (401, 403) and not logs_in_otherwise():
        raise rejected(address)
    if code >= 500:
        raise unreachable(address, f"{code} {answer.reason}")


def rejected(address: str) -> AccessError:
    """Say that the server does not let us in."""
    return AccessError(
        f"the MLflow server {redact(address)} rejected the credentials; set MLFLOW_TRACKING_TOKEN, or "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (on a cluster: the Secret med42-mlflow)"
    )


def unreachable(address: str, detail: str) -> TrackingError | TrackingUnavailable:
    """Say that the server does not answer, or that its certificate is not trusted, which waiting does not mend."""
    if _UNTRUSTED in detail:
        return TrackingError(
            f"the certificate of the MLflow server {redact(address)} is not trusted ({redact(detail)}); name the file "
            f"of its authority in REQUESTS_CA_BUNDLE, or in {TRACKING_AUTHORITY_VARIABLE}"
        )
    return TrackingUnavailable(
        f"the MLflow server {redact(address)} does not answer ({redact(detail)}); start it, correct "
        f"{TRACKING_VARIABLE}, or unset it to use a SQLite file. Finished stages are kept: run the same command again"
    )


def host_refused(address: str) -> TrackingError:
    """Say that the server does not know itself by the name it was called."""
    host = urlsplit(address).netloc.rpartition("@")[2]
    return TrackingError(
        f"the MLflow server refuses requests for the host name {host!r} (403 {_HOST_REFUSED}); start it with "
        f'`mlflow server --allowed-hosts "{host}"`, adding every name it is called by, port included'
    )
