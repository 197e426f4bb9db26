"""Containers are stood in for by processes of this machine; `make demo-docker` runs real ones."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import docker
import docker.errors
import pytest
from kfp import dsl

from med42lib.core.errors import EnvironmentProblem
from tests.docker_runner import POD, check_docker, run_in_docker

IMAGE = "made/up:1"


TASK = """\
import os, sys
from pathlib import Path
told, output = sys.argv[1], Path(sys.argv[2])
print("at", os.environ["STORE"])
if told == "fail":
    sys.exit(3)
output.parent.mkdir(parents=True, exist_ok=True)
output.write_text(f"s3://{told}")
"""


@dsl.container_component
def report(told: str, report: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return dsl.ContainerSpec(image=IMAGE, command=[sys.executable, "-c", TASK], args=[told, report])


@dsl.pipeline
def one_task(told: str) -> None:
    report(told=told).set_env_variable("OF_THE_TASK", "yes")


class Containers:
    """Runs a container's command at once, as a process, and keeps how it was called."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.killed: list[Any] = []
        self.left: list[Any] = []

    def run(self, *, command: list[str], environment: dict[str, str], **arguments: Any) -> "Container":
        self.started.append({"environment": environment, **arguments})
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False)
        return Container(done)

    def list(self, *, filters: dict[str, str]) -> list[Any]:
        self.killed.append(filters)
        return []


class Container:
    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self._done = done

    def logs(self, *, stream: bool) -> Iterator[bytes]:
        assert stream
        yield self._done.stdout + self._done.stderr

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self._done.returncode}


class Image:
    def __init__(self, tag: str, *digests: str) -> None:
        self.tags, self.attrs = [tag], {"RepoDigests": list(digests)}


class Client:
    """What is asked of Docker's client."""

    def __init__(self, *tags: str) -> None:
        self.images, self.containers = self, Containers()
        self._images = [Image(tag) for tag in tags]

    def ping(self) -> None: ...

    def info(self) -> dict[str, list[str]]:
        return {"SecurityOptions": []}

    def close(self) -> None: ...

    def list(self) -> list[Image]:
        return self._images

    def get(self, reference: str) -> Image:
        for image in self._images:
            if reference in image.tags + image.attrs["RepoDigests"]:
                return image
        raise docker.errors.ImageNotFound(f"no such image: {reference}")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client(IMAGE)
    monkeypatch.setattr(docker, "from_env", lambda: client)
    return client


def test_a_task_runs_as_a_restricted_pod_would_and_its_output_comes_back(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_in_docker(one_task, {"told": "bucket/report"}, {"STORE": "s3://here"}) == "s3://bucket/report"
    [started] = client.containers.started
    assert {name: started[name] for name in POD} == dict(POD)
    uid, group = started["user"].split(":")
    assert (uid != "0", group) == (True, "0")
    assert started["environment"] == {"STORE": "s3://here", "OF_THE_TASK": "yes"}
    assert "at s3://here" in capsys.readouterr().out


def test_a_task_that_fails_ends_the_run_and_nothing_is_left_behind(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_in_docker(one_task, {"told": "fail"}, {"STORE": "s3://here"}) is None
    assert "report" in capsys.readouterr().out
    [filters] = client.containers.killed
    [(name, run)] = client.containers.started[0]["labels"].items()
    assert filters == {"label": f"{name}={run}"}


def test_without_docker_it_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> None:
        raise docker.errors.DockerException("FileNotFoundError: docker.sock")

    monkeypatch.setattr(client, "ping", nobody)
    with pytest.raises(EnvironmentProblem, match=r"no Docker answers \(.*docker\.sock\): start its daemon"):
        check_docker(one_task)


def test_an_image_that_the_lock_names_by_digest_is_found(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_images", [Image("made/up:2", IMAGE)])
    check_docker(one_task).close()


def test_an_image_that_was_not_built_is_named(client: Client) -> None:
    client._images = [Image("made/up:2")]
    with pytest.raises(EnvironmentProblem, match="lacks the images made/up:1: make images"):
        check_docker(one_task)
