"""The Kubernetes API server, as far as a training needs it. Only it and `api_errors` know the `kubernetes` client.

A single request is tried again for minutes, the watch without end; `api_errors` says after which failures.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from med42lib.core.errors import ClusterUnavailable, EnvironmentProblem, not_installed
from med42lib.train.launchers.api_errors import (
    AlreadyThereError,
    NotThereError,
    Trouble,
    described,
    event_line,
    message_of,
    passing_errors,
    refuse_for_good,
)
from med42lib.train.launchers.patches import CONTAINER
from med42lib.train.launchers.pods import Pod
from med42lib.train.launchers.template import GROUP, PLURAL, VERSION

NAMESPACE_VARIABLE = "MED42_NAMESPACE"
_IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_REQUEST_SECONDS = (5, 30)
_LAST_REQUEST_SECONDS = (0.3, 0.5)
_MAX_TRIES = 8
_NUM_LAST_LINES = 15
_POD_LABEL = "training.kubeflow.org/job-name"
_MADE_TWICE = "already exists"
"""What the operator, whose view of the cluster is a moment old, says of a pod that it has just made."""

T = TypeVar("T")
State = dict[str, Any] | None
"""An object as it is; None where there is none."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An object with which those that it owns are deleted."""

    api_version: str
    kind: str
    name: str
    uid: str

    def reference(self) -> dict[str, Any]:
        """Give the entry for `ownerReferences`; `blockOwnerDeletion` is not for everybody to set on OpenShift."""
        names = {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}
        return {**names, "controller": False, "blockOwnerDeletion": False}


class Cluster:
    """PyTorchJobs of one namespace, their pods, logs and events."""

    def __init__(self, api: Any, namespace: str, *, pause_seconds: float = 1.0) -> None:
        from kubernetes import client

        self.namespace = namespace
        self._pause_seconds = pause_seconds
        self._api = api
        self._custom, self._core = client.CustomObjectsApi(api), client.CoreV1Api(api)
        self._place = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL}

    @classmethod
    def connect(cls) -> Cluster:
        """Find the API server, as this pod's service account or by kubeconfig; asks it nothing.

        Raises:
            EnvironmentProblem: If there is neither, or the library for it is not installed.
        """
        try:
            from kubernetes import client, config
        except ModuleNotFoundError as error:
            raise not_installed(error, "what asks a cluster", "train") from error

        given = os.environ.get(NAMESPACE_VARIABLE)
        try:
            if _IN_CLUSTER_NAMESPACE.exists():
                settings = client.Configuration()
                config.load_incluster_config(settings)
                return cls(client.ApiClient(settings), given or _IN_CLUSTER_NAMESPACE.read_text().strip())
            path = os.environ.get("KUBECONFIG")
            _, active = config.list_kube_config_contexts(path)
            return cls(config.new_client_from_config(path), given or active["context"].get("namespace", "default"))
        except config.ConfigException as error:
            why = str(error).rstrip(".")
            raise EnvironmentProblem(
                f"no Kubernetes cluster is known here: {why}; run in a pod with a service account, or set KUBECONFIG"
            ) from error

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Ask the server once, for whatever there is: GET, or POST where there is a body.

        Returns:
            The HTTP status and the answer, also where that is a refusal.

        Raises:
            ClusterUnavailable: If there is no answer.
        """
        from kubernetes.client import ApiException

        try:
            found, status, _ = self._api.call_api(
                path,
                "GET" if body is None else "POST",
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _request_timeout=_REQUEST_SECONDS,
            )
        except ApiException as error:
            return error.status, {"message": message_of(error)}
        except passing_errors() as error:
            raise ClusterUnavailable(f"the Kubernetes API server did not answer: {described(error)}") from error
        return status, found or {}

    def create(self, job: Mapping[str, Any]) -> bool:
        """Create a job; False if there is one of its name.

        Raises:
            EnvironmentProblem: If the server does not know PyTorchJobs, or refuses this one.
            AccessError: If we may not.
            ClusterUnavailable: If it does not answer for minutes.
        """
        try:
            self._answered(
                "create",
                lambda: self._custom.create_namespaced_custom_object(
                    **self._place, body=job, _request_timeout=_REQUEST_SECONDS
                ),
                at_once=True,
            )
        except AlreadyThereError:
            return False
        return True

    def get(self, name: str) -> dict[str, Any] | None:
        """Read a job; None if there is none of that name."""
        try:
            found: dict[str, Any] = self._answered(
                "get",
                lambda: self._custom.get_namespaced_custom_object(
                    **self._place, name=name, _request_timeout=_REQUEST_SECONDS
                ),
            )
        except NotThereError:
            return None
        return found

    def delete(self, name: str) -> None:
        """Delete a job and its pods; one that is not there is no error."""
        try:
            self._answered("delete", lambda: self._delete(name, _REQUEST_SECONDS))
        except NotThereError:
            return

    def names(self, label: str) -> list[str]:
        """List the jobs that have a label, `name=value`, and are not finished; none where nobody knows such jobs."""
        try:
            listed = self._answered(
                "list",
                lambda: self._custom.list_namespaced_custom_object(
                    **self._place, label_selector=label, _request_timeout=_REQUEST_SECONDS
                ),
            )
        except NotThereError:
            return []
        return sorted(job["metadata"]["name"] for job in listed["items"] if not _is_finished(job))

    def get_at_once(self, name: str) -> dict[str, Any] | None:
        """Read a job in the moment that is left of this process; None if there is none, or no answer."""
        found: dict[str, Any] | None = self._at_once(
            lambda: self._custom.get_namespaced_custom_object(
                **self._place, name=name, _request_timeout=_LAST_REQUEST_SECONDS
            )
        )
        return found

    def delete_at_once(self, name: str) -> bool:
        """Ask for a job's end in the moment that is left of this process; says whether the server heard it."""
        return self._at_once(lambda: self._delete(name, _LAST_REQUEST_SECONDS)) is not None

    def states(self, name: str, seconds: float) -> Iterator[State]:
        """Give a job as it is now, again after each change, and at least so often; None when there is none.

        Without a resource version each watch begins with what is there, so an expired one (410) loses nothing.

        Raises:
            AccessError: If we may not watch, several times in a row.
            EnvironmentProblem: If the server no longer knows PyTorchJobs.
        """
        return self._states(lambda: self._watched(self._place, name, seconds), "watch", lambda: self.get(name))

    def owner_states(self, owner: Owner, seconds: float) -> Iterator[State]:
        """Give what owns a pod as it is now, and again after each change; ends where its kind is not known.

        Raises:
            AccessError: If we may not watch, several times in a row.
        """
        group, _, version = owner.api_version.partition("/")
        plural = f"{owner.kind.lower()}s"
        place = {"group": group, "version": version, "namespace": self.namespace, "plural": plural}
        try:
            yield from self._states(
                lambda: self._watched(place, owner.name, seconds), f"watch the {owner.kind} of the run of"
            )
        except NotThereError:
            return

    def owners(self, pod: str) -> list[Owner]:
        """List what owns a pod.

        Raises:
            AccessError: If we may not look.
            ClusterUnavailable: If the server does not answer for minutes.
        """
        try:
            found = self._answered(
                "look up the owner of",
                lambda: self._core.read_namespaced_pod(pod, self.namespace, _request_timeout=_REQUEST_SECONDS),
                at_once=True,
            )
        except NotThereError:
            return []
        return [Owner(o.api_version, o.kind, o.name, o.uid) for o in found.metadata.owner_references or ()]

    def pods(self, job: str) -> list[Pod]:
        """List a job's pods by name."""
        listed = self._answered(
            "list pods of",
            lambda: self._core.list_namespaced_pod(
                self.namespace, label_selector=f"{_POD_LABEL}={job}", _request_timeout=_REQUEST_SECONDS
            ),
        )
        return sorted(map(Pod.of, listed.items), key=lambda pod: pod.name)

    def warnings(self, uid: str) -> list[str]:
        """List what went wrong with a job or a pod, as its events say, the last at the end, each once.

        Events outlive what they are about for an hour, so one of the same name may have others.
        """
        listed = self._answered(
            "list events of",
            lambda: self._core.list_namespaced_event(
                self.namespace, field_selector=f"involvedObject.uid={uid}", _request_timeout=_REQUEST_SECONDS
            ),
        )
        warnings = [e for e in listed.items if e.type == "Warning" and _MADE_TWICE not in (e.message or "")]
        warnings.sort(key=lambda event: event.last_timestamp or event.event_time or datetime.min.replace(tzinfo=UTC))
        return list(dict.fromkeys(f"{event.reason}: {event_line(event.message or '')}" for event in warnings))

    def last_lines(self, pod: str, *, of_the_one_before: bool) -> str:
        """Give the end of what a pod's container wrote, or the one that was there before; empty if it is lost."""
        try:
            text = self._answered(
                "read the log of",
                lambda: self._core.read_namespaced_pod_log(
                    pod,
                    self.namespace,
                    container=CONTAINER,
                    previous=of_the_one_before,
                    tail_lines=_NUM_LAST_LINES,
                    _request_timeout=_REQUEST_SECONDS,
                ),
            )
        except (NotThereError, EnvironmentProblem):
            return ""
        return str(text)

    def log_lines(self, pod: str, since_seconds: int | None) -> Iterator[str]:
        """Follow a pod's log once: lines with their time, until the container or the connection ends.

        Raises:
            ClusterUnavailable: For whatever reason there is no more.
        """
        try:
            answer = self._core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=CONTAINER,
                follow=True,
                timestamps=True,
                **({} if since_seconds is None else {"since_seconds": since_seconds}),
                _preload_content=False,
                _request_timeout=(5, 300),
            )
            try:
                for line in answer:
                    yield line.decode("utf-8", errors="replace")
            finally:
                answer.close()
                answer.release_conn()
        except passing_errors() as error:
            raise ClusterUnavailable(f"the log of {pod} ended: {error}") from error

    def _states(
        self, watched: Callable[[], Iterator[State]], doing: str, look: Callable[[], State] = lambda: None
    ) -> Iterator[State]:
        trouble = Trouble(self._pause_seconds)
        while True:
            try:
                seen = False
                for found in watched():
                    seen = True
                    trouble.over()
                    yield found
                if not seen:
                    yield look()
            except ClusterUnavailable as error:
                trouble.wait(error)
            except passing_errors() as error:
                refuse_for_good(doing, error, trouble.count)
                trouble.wait(error)

    def _watched(self, place: Mapping[str, str], name: str, seconds: float) -> Iterator[State]:
        from kubernetes.watch import Watch

        events = Watch().stream(
            self._custom.list_namespaced_custom_object,
            **place,
            field_selector=f"metadata.name={name}",
            timeout_seconds=math.ceil(seconds),
            _request_timeout=(5, math.ceil(seconds) + 15),
        )
        for event in events:
            yield None if event["type"] == "DELETED" else event["object"]

    def _delete(self, name: str, timeout: tuple[float, float]) -> Any:
        return self._custom.delete_namespaced_custom_object(
            **self._place, name=name, propagation_policy="Background", _request_timeout=timeout
        )

    def _at_once(self, ask: Callable[[], T]) -> T | None:
        """Ask a single time; None if there is no such thing, or no answer."""
        try:
            return ask()
        except passing_errors():
            return None

    def _answered(self, doing: str, ask: Callable[[], T], *, at_once: bool = False) -> T:
        """Ask until there is an answer, for minutes; errors are ours.

        Args:
            doing: What is asked, as errors say it.
            ask: Asks once.
            at_once: Whether missing rights are told at once: there is no job yet that would be lost by it.
        """
        trouble = Trouble(self._pause_seconds)
        while True:
            try:
                return ask()
            except passing_errors() as error:
                refuse_for_good(doing, error, trouble.count, at_once=at_once)
                if trouble.count >= _MAX_TRIES:
                    raise ClusterUnavailable(
                        f"the Kubernetes API server did not answer ({doing} a PyTorchJob): {described(error)}; the "
                        "job, if there is one, goes on: run the same command again to watch it"
                    ) from error
                trouble.wait(error)


def quantity(text: object) -> Decimal:
    """Read an amount as Kubernetes writes it: `500m`, `480Gi`, `8`.

    Raises:
        ValueError: If it is none.
    """
    from kubernetes.utils import parse_quantity

    return Decimal(parse_quantity(text))


def _is_finished(job: Mapping[str, Any]) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each["type"] in ("Succeeded", "Failed") and each["status"] == "True" for each in conditions)
