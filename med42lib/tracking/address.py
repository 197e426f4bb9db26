"""Which MLflow is used, and whether it can be: known without importing MLflow.

The address is a fact of the place, not a setting. `MLFLOW_TRACKING_URI` names it; without it, MLflow works on the
SQLite file `mlflow.db` in the folder `MED42_HOME` (`runs` under the current directory if unset), and keeps reports
in `mlflow-artifacts` beside it.
"""

from __future__ import annotations

import base64
import fcntl
import http.client
import os
import shlex
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from med42lib.core.environment import in_pod
from med42lib.core.errors import AccessError, TrackingError, TrackingUnavailable
from med42lib.core.log import log
from med42lib.core.redaction import redact
from med42lib.store.base import S3_SCHEME

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
_OTHER_LOG_INS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
_FILES_OF_LOG_INS = ("~/.mlflow/credentials", "~/.netrc")


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


def check_tracking(store_address: str) -> None:
    """Make sure, before anything is computed, that models of this store can be registered.

    Takes at most a few seconds and writes nothing.

    Raises:
        TrackingError: If MLflow is a server and the store a local folder, if the server refuses its name, if the
            SQLite file cannot be used, or if it would go with a pod that ends.
        TrackingUnavailable: If the server does not answer.
        AccessError: If it rejects the credentials.
    """
    _check_lasting(store_address)
    address = tracking_address()
    if is_server(address):
        _check_store(address, store_address)
    check_answers(address)


def check_answers(address: str) -> None:
    """Make sure that there is an MLflow at an address, before a client is made for it.

    Raises:
        TrackingError: If a server refuses its name, or a SQLite file cannot be used.
        TrackingUnavailable: If a server does not answer.
        AccessError: If it rejects the credentials.
    """
    if is_server(address):
        _check_server(address)
    elif file := sqlite_file(address):
        _check_sqlite(file)


def login_header(address: str) -> str | None:
    """Give the header by which MLflow's own client logs in to a server: of what there is, it takes the first.

    That is a user in the address, which the library under it sends whatever else is said; the environment's user; or a
    token.
    """
    parts = urlsplit(address)
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    if parts.username is not None and parts.password is not None:
        user, password = unquote(parts.username), unquote(parts.password)
    if user and password:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None


def logs_in_otherwise() -> bool:
    """Say whether MLflow's own client may have another way to log in, which only it can try: a plug-in, or a file."""
    files = (Path(name).expanduser() for name in _FILES_OF_LOG_INS)
    return any(map(os.environ.get, _OTHER_LOG_INS)) or any(file.exists() for file in files)


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


def _check_server(address: str) -> None:
    """Ask the server for one experiment: MLflow's own client would wait minutes for one that is down."""
    request = urllib.request.Request(f"{_without_credentials(address)}/api/2.0/mlflow/experiments/search?max_results=1")
    if header := login_header(address):
        request.add_unredirected_header("Authorization", header)
    try:
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
            return
    except urllib.error.HTTPError as error:
        _check_answer(address, error)
    except (OSError, http.client.HTTPException) as error:
        if not isinstance(getattr(error, "reason", None), ssl.SSLError):
            raise unreachable(address, str(error)) from error


def _check_answer(address: str, error: urllib.error.HTTPError) -> None:
    """Refuse answers that mean the same to MLflow's own client, which meets the rest."""
    with error:
        if error.code == 403 and _HOST_REFUSED in error.read(1000).decode(errors="replace"):
            raise host_refused(address) from error
    if error.code == 404:
        raise TrackingError(
            f"what answers at {redact(address)} is not an MLflow server (404); check {TRACKING_VARIABLE}"
        ) from error
    if error.code in (401, 403) and not logs_in_otherwise():
        raise rejected(address) from error
    if error.code >= 500:
        raise unreachable(address, str(error)) from error


def _without_credentials(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def rejected(address: str) -> AccessError:
    """Say that the server does not let us in."""
    return AccessError(
        f"the MLflow server {redact(address)} rejected the credentials; set MLFLOW_TRACKING_TOKEN, or "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (on a cluster: the Secret med42-mlflow)"
    )


def unreachable(address: str, detail: str) -> TrackingUnavailable:
    """Say that the server does not answer."""
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
