"""`med42 submit`: a specification as a run of Kubeflow Pipelines, without its user interface."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import ssl
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

from med42lib.commands.command import Command, add_overrides, add_processes, show
from med42lib.core.environment import proxy_of
from med42lib.core.errors import (
    AccessError,
    ClusterUnavailable,
    ConfigError,
    EnvironmentProblem,
    Problem,
    RunFailedError,
    not_installed,
)
from med42lib.core.excerpts import brief, cut
from med42lib.core.log import log, tell
from med42lib.core.printable import printable
from med42lib.core.redaction import redact
from med42lib.spec import RunSpec
from med42lib.spec_check import load_checked
from med42lib.store.address import is_folder
from med42lib.store.base import S3_SCHEME
from pipelines.arguments import pipeline_arguments
from pipelines.compile import OfCluster, add_cluster, compile_pipeline

DESCRIPTION = """\
Compile a specification, start it as a run of Kubeflow Pipelines, and print where to see it.

  kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80
  med42 submit SPEC --store s3://bucket/prefix --host http://localhost:8080 --wait

Behind a log-in, MED42_KFP_TOKEN or --token-file holds a token (k8s/README.md makes one), and --namespace names yours.
HTTPS_PROXY, HTTP_PROXY and NO_PROXY are heeded. With --wait the run's tasks are followed to its end, and the exit code
says how it ended; the run itself does not need this command any more. Tokens that expire meanwhile are for a file that
something renews.
"""
HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"  # the SDK's own
TOKEN_VARIABLE = "MED42_KFP_TOKEN"
SECONDS_BETWEEN_LOOKS = 10.0
SECONDS_WITHOUT_ANSWER = 900.0
_MAKE_A_TOKEN = "kubectl create token default-editor -n NS --audience pipelines.kubeflow.org"
_PROBE_SECONDS = 20
_OLDEST_SERVER = (2, 17)
_VERSION_NAMES = ("tag_name", "apiServerTagName")
"""What the API's own server calls its version, and the user interface's that stands before it."""
_SUCCEEDED = "SUCCEEDED"
_TERMINATED = ("CANCELING", "CANCELED")
"""States of a run that somebody terminates: Kubeflow calls it failed in the end."""
_ENDED = (_SUCCEEDED, "SKIPPED", "FAILED", "CANCELED")
_Answer = TypeVar("_Answer")


class Token:
    """A bearer token, from the environment or a file; none where neither holds one.

    A file is read anew for each request, as kfp asks for it (its `TokenCredentialsBase`): a token that a cluster
    projects is another one after an hour.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    @property
    def is_renewed(self) -> bool:
        """Say whether it may be another one later."""
        return self._file is not None

    def read(self) -> str | None:
        """Give the token as it is now.

        Raises:
            ConfigError: If the file cannot be read.
        """
        if self._file is None:
            return os.environ.get(TOKEN_VARIABLE)
        try:
            return self._file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            problem = Problem("--token-file", f"{self._file} cannot be read: {reason}")
            raise ConfigError("med42 submit", [problem]) from error

    def refresh_api_key_hook(self, configuration: Any) -> None:
        """Set what kfp sends with its next request."""
        configuration.api_key["authorization"] = self.read()


class Kubeflow:
    """A Kubeflow Pipelines server.

    Args:
        host: Its address, that of its user interface or of its API.
        token: Where the bearer token is, if there is one.
        namespace: The user's; None where the server knows no users.
        authority: File of a certificate authority of one's own.

    Raises:
        ConfigError: If the token's or the authority's file cannot be read.
        EnvironmentProblem: If kfp is not installed, or something else answers.
        AccessError: If the token is missing or not accepted.
        ClusterUnavailable: If nothing answers.
    """

    def __init__(self, host: str, *, token: Token, namespace: str | None, authority: str | None) -> None:
        try:
            from kfp.client import Client
        except ModuleNotFoundError as error:
            raise not_installed(error, "`med42 submit`", "pipeline") from error
        self.host = host.rstrip("/")
        self._namespace = namespace
        self._probe(token.read(), authority)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            self._client = Client(
                host=self.host,
                # kfp's own log-in to Google comes before credentials, but not before a token
                existing_token=None if token.is_renewed else token.read(),
                credentials=token if token.is_renewed else None,
                namespace=namespace or "kubeflow",
                ssl_ca_cert=authority,
                proxy=proxy_of(self.host),  # it does not ask the environment itself
            )

    def start(self, package: Path, arguments: dict[str, Any], *, name: str, experiment: str) -> str:
        """Start a run of a compiled pipeline; gives the run's id."""
        from kfp_server_api import ApiException

        def create() -> str:
            result = self._client.create_run_from_pipeline_package(
                str(package), arguments, run_name=name, experiment_name=experiment, namespace=self._namespace
            )
            return str(result.run_id)

        def create_beside_others() -> str:
            try:
                return create()
            except ApiException as error:
                if error.status != HTTPStatus.CONFLICT:
                    raise
                return create()  # somebody else has made the experiment meanwhile

        return self._asked(create_beside_others)

    def run(self, run_id: str) -> Any:
        """Ask how a run is doing. It was started, so who does not find it is a gateway, while the server is away."""
        return self._asked(lambda: self._client.get_run(run_id), away=404)

    def url(self, run_id: str) -> str:
        """Say where a person sees a run."""
        return f"{self.host}/#/runs/details/{run_id}"

    def _asked(self, ask: Callable[[], _Answer], *, away: int | None = None) -> _Answer:
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints addresses
                return ask()
        except ApiException as error:
            raise self._refused(error.status, _message(error.body) or str(error.reason), away=away) from error
        except HTTPError as error:
            raise self._unavailable(error) from error

    def _probe(self, token: str | None, authority: str | None) -> None:
        """Ask for the server's health: the SDK would try for half a minute, with tracebacks, and take any page."""
        request = urllib.request.Request(f"{self.host}/apis/v2beta1/healthz")
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")  # another host would get it as well
        context = _context(authority)
        try:
            with urllib.request.urlopen(request, timeout=_PROBE_SECONDS, context=context) as answer:
                _warn_of_version(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                if token and error.url != request.full_url:
                    raise EnvironmentProblem(
                        f"{redact(self.host)} leads to {cut(redact(error.url))}, which gets no token and refused "
                        f"({error.code}); give the address of Kubeflow Pipelines itself as --host"
                    ) from error
                raise self._refused(error.code, _message(error.read()) or error.reason) from error
        except ValueError as error:
            raise EnvironmentProblem(
                f"what answers at {redact(self.host)} is not the API of Kubeflow Pipelines, perhaps a page to log in: "
                f"set {TOKEN_VARIABLE}, and check --host"
            ) from error
        except (OSError, HTTPException) as error:
            raise self._unavailable(error) from error

    def _refused(self, status: int | None, reason: str, *, away: int | None = None) -> Exception:
        text = f"Kubeflow Pipelines at {redact(self.host)} refused ({status}): {cut(redact(reason))}"
        if status in (401, 403):
            return AccessError(
                f"{text}; set {TOKEN_VARIABLE} to a token that it accepts, and check --namespace NS; where Kubeflow "
                f"has several users, the token is what `{_MAKE_A_TOKEN}` prints"
            )
        if status is None or status >= 500 or status in (429, away):
            return ClusterUnavailable(text)
        return EnvironmentProblem(text)

    def _unavailable(self, error: Exception) -> ClusterUnavailable:
        return ClusterUnavailable(
            f"Kubeflow Pipelines does not answer at {redact(self.host)} ({cut(redact(str(error)))}); check --host, or "
            "start kubectl port-forward again"
        )


def follow(server: Kubeflow, run_id: str, tasks: dict[str, str], *, seconds: float = SECONDS_BETWEEN_LOOKS) -> None:
    """Tell what a run's tasks do until it has ended. A server that is away for minutes is waited for.

    Args:
        server: Where it runs.
        run_id: The run.
        tasks: What the tasks are called in the pipeline, and for people.
        seconds: Between two looks.

    Raises:
        RunFailedError: If it did not succeed; names the tasks that failed, or says that somebody terminated it.
        AccessError: If the token is no longer accepted.
        ClusterUnavailable: If the server does not answer for long.
    """
    told: dict[str, str] = {}
    terminated = False
    for run in _looks(server, run_id, seconds):
        states = dict(_states(run, tasks))
        for name, state in states.items():
            if told.get(name) != state:
                tell("submit", f"{name}: {state.lower()}")
        told |= states
        terminated |= run.state in _TERMINATED
        if run.state in _ENDED:
            break
    if run.state != _SUCCEEDED:
        if terminated:
            raise RunFailedError(f"the run was terminated; submit it again to go on: {server.url(run_id)}")
        failed = [name for name, state in told.items() if state == "FAILED"]
        which = f": {', '.join(failed)}" if failed else ""
        raise RunFailedError(f"the run {run.state.lower()}{which}; its tasks' logs say why: {server.url(run_id)}")


def _looks(server: Kubeflow, run_id: str, seconds: float) -> Iterator[Any]:
    answered = time.monotonic()
    while True:
        try:
            yield server.run(run_id)
            answered = time.monotonic()
        except ClusterUnavailable as error:
            if time.monotonic() - answered > SECONDS_WITHOUT_ANSWER:
                raise
            log("submit").warning("%s; the run goes on", error)
        time.sleep(seconds)


def _states(run: Any, tasks: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Give each task's state; a backend's own nodes, drivers and groups, are left out."""
    for task in (run.run_details.task_details if run.run_details else None) or ():
        if task.display_name in tasks and task.state:
            yield tasks[task.display_name], task.state


def _warn_of_version(health: object) -> None:
    """Warn of a server that says it is older than those that are supported; some say `unknown`, or nothing."""
    said = [health.get(name) for name in _VERSION_NAMES] if isinstance(health, dict) else []
    version = re.match(r"v?(\d+)\.(\d+)", next((str(name) for name in said if name), ""))
    if version and (int(version[1]), int(version[2])) < _OLDEST_SERVER:
        log("submit").warning(
            "this Kubeflow Pipelines is %s.%s; supported is %d.%d and later: upgrade it, step 1 of k8s/README.md",
            *version.groups(),
            *_OLDEST_SERVER,
        )


def _message(body: str | bytes | None) -> str:
    """Read the sentence in an error's body; empty if there is none."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return ""
    return str(found.get("error_message") or found.get("message") or "") if isinstance(found, dict) else ""


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="run specification, e.g. pipelines/specs/demo.yaml")
    add_overrides(parser)
    add_processes(parser, "not known, so the task check holds the batch against the cluster's job template")
    add_cluster(parser)
    parser.add_argument("--store", required=True, help="s3://bucket/prefix for all outputs")
    parser.add_argument(
        "--host",
        default=os.environ.get(HOST_VARIABLE),
        help=f"address of Kubeflow Pipelines (default: ${HOST_VARIABLE})",
    )
    parser.add_argument("--namespace", help="yours, where Kubeflow has several users")
    parser.add_argument(
        "--token-file",
        type=Path,
        help=f"file of a bearer token, read anew for each request (default: ${TOKEN_VARIABLE})",
    )
    parser.add_argument("--ca", metavar="FILE", help="certificate authority of the host, if it is one of your own")
    parser.add_argument("--experiment", help="in which the run is listed (default: the spec's register.experiment)")
    parser.add_argument("--run-name", help="default: name of the spec, and the time")
    parser.add_argument("--wait", action="store_true", help="follow the run to its end")


def _run(arguments: Namespace) -> int:
    spec = load_checked(arguments.spec, arguments.overrides, processes=arguments.processes or 1)
    _check_reachable(spec, arguments.store, arguments.host)
    given = {**pipeline_arguments(spec), "store": arguments.store}
    cluster = OfCluster.read(arguments)
    server = Kubeflow(
        arguments.host, token=Token(arguments.token_file), namespace=arguments.namespace, authority=arguments.ca
    )
    with tempfile.TemporaryDirectory(prefix="med42-submit-") as folder:
        package = Path(folder, "med42.yaml")
        tasks = compile_pipeline(spec, package, given, cluster)
        name = arguments.run_name or f"{spec.name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        experiment = arguments.experiment or spec.register_.experiment
        run_id = server.start(package, given, name=name, experiment=experiment)
    show(printable(server.url(run_id)))
    if arguments.wait:
        follow(server, run_id, tasks)
    return 0


def _check_reachable(spec: RunSpec, store: str, host: str | None) -> None:
    problems = [
        Problem(
            f"inputs.{name}",
            f"is a folder of this machine, which no cluster reaches ({address}); give s3://bucket/prefix",
        )
        for name, address in spec.inputs.model_dump().items()
        if is_folder(address)
    ]
    if not store.startswith(S3_SCHEME):
        problems.insert(
            0, Problem("--store", f"is no place that a cluster can write to ({store}); give s3://bucket/prefix")
        )
    if not (host or "").startswith(("http://", "https://")):
        given = f"; given: {brief(host)}" if host else ""
        what = f"is required, or {HOST_VARIABLE}: http:// or https:// of Kubeflow Pipelines{given}"
        problems.append(Problem("--host", what))
    if problems:
        raise ConfigError("med42 submit", problems)


def _context(authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        reason = "it holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError("med42 submit", [Problem("--ca", f"{authority} cannot be read: {reason}")]) from error


command = Command("submit", "start a specification as a run of Kubeflow Pipelines", DESCRIPTION, _add_arguments, _run)
