from pathlib import Path

import pytest

from components.images import OWN_LOCK, RUNTIMES, read_images
from images.build import BASE, main
from images.lock import PYPI_FLAVOR
from med42lib import __version__
from tests.pinned import unpinned

DIGEST = f"sha256:{'ab' * 32}"
PROGRAM = f"""#!/bin/sh
echo "$0 $*" >> "$CALLS"
case "$1" in
  info) exit "$DOCKER_INFO" ;;
  image) for name in "$@"; do :; done; name=${{name#docker.io/}}; name=${{name#library/}}
         echo "other/name@{DIGEST}"; [ -n "$FORGETS" ] || echo "${{name%:*}}@{DIGEST}" ;;
  push) for option in "$@"; do case $option in --digestfile=*) echo {DIGEST} > "${{option#*=}}" ;; esac; done ;;
  build) exit "$BUILD_FAILS" ;;
esac
"""


class Engines:
    """Stand-ins for docker and buildah that write down how they are called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch, self._calls = folder, monkeypatch, folder / "calls"
        self._calls.touch()
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        for name, value in {"CALLS": str(self._calls), "DOCKER_INFO": "0", "BUILD_FAILS": "0", "FORGETS": ""}.items():
            monkeypatch.setenv(name, value)
        for name in ("PIP_CONFIG_FILE", "PIP_CERT", "SSL_CERT_FILE"):
            monkeypatch.delenv(name, raising=False)

    def have(self, *names: str, docker_runs: bool = True) -> None:
        for name in names:
            (self._folder / name).write_text(PROGRAM)
            (self._folder / name).chmod(0o755)
        self._monkeypatch.setenv("DOCKER_INFO", "0" if docker_runs else "1")

    @property
    def calls(self) -> list[list[str]]:
        lines = (line.split() for line in self._calls.read_text().splitlines())
        return [[Path(program).name, *words] for program, *words in lines if words[0] != "info"]


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    folder = tmp_path / "engines"
    folder.mkdir()
    return Engines(folder, monkeypatch)


def test_an_image_is_built_for_each_runtime_on_the_layer_that_it_needs(engines: Engines) -> None:
    engines.have("docker", "buildah")
    assert main(["--registry", "registry.example.com/med42", "--source", "https://example.com/med42"]) == 0
    assert [call[:2] for call in engines.calls] == [["docker", "build"]] * len(RUNTIMES)
    for runtime, call in zip(RUNTIMES, engines.calls, strict=True):
        parent = "torch" if runtime in ("embed", "train", "eval") else "common"
        assert f"--tag=registry.example.com/med42/{runtime}:{__version__}" in call
        assert {f"--build-arg=RUNTIME={runtime}", f"--build-arg=PARENT={parent}"} <= set(call)
        assert {f"--build-arg=BASE={BASE}", f"--build-arg=FLAVOR={PYPI_FLAVOR}"} <= set(call)
        assert f"--build-arg=VERSION={__version__}" in call
        assert "--build-arg=SOURCE=https://example.com/med42" in call


def test_without_a_daemon_buildah_builds(engines: Engines) -> None:
    engines.have("docker", "buildah", docker_runs=False)
    assert main(["--only", "base"]) == 0
    [call] = engines.calls
    assert call[:3] == ["buildah", "build", "--layers"]
    assert "--pull-never" not in call


def test_a_base_of_this_machine_is_not_looked_for_elsewhere(engines: Engines) -> None:
    engines.have("buildah")
    assert main(["--only", "base", "--base", "localhost/python:3.11"]) == 0
    assert {"--pull-never", "--build-arg=BASE=localhost/python:3.11"} <= set(engines.calls[0])


def test_without_either_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main([]) == 4
    assert "docker" in (said := capsys.readouterr().err)
    assert "buildah" in said


def test_package_index_and_authorities_are_secrets(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    engines.have("buildah")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/etc/pip.conf")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/company.pem")
    assert main(["--only", "train"]) == 0
    given = {word for word in engines.calls[0] if "/etc" in word}
    assert given == {"--secret=id=pip.conf,src=/etc/pip.conf", "--secret=id=ca.pem,src=/etc/company.pem"}


@pytest.mark.parametrize("login", ["user:planted", "planted"])
def test_a_login_in_the_address_of_torchs_index_is_refused_since_the_image_would_keep_it(
    login: str, engines: Engines, capsys: pytest.CaptureFixture[str]
) -> None:
    engines.have("buildah")
    assert main(["--only", "train", "--torch-index", f"https://{login}@packages.example.com/simple"]) == 4
    said = capsys.readouterr().err
    assert "extra-index-url of the pip.conf that PIP_CONFIG_FILE names" in said
    assert "planted" not in said
    assert engines.calls == []


def test_a_flavor_without_locked_requirements_is_refused(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    engines.have("buildah")
    assert main(["--only", "train", "--flavor", "cu999"]) == 4
    assert "make lock FLAVOR=cu999" in capsys.readouterr().err
    assert engines.calls == []


def test_a_build_that_fails_ends_it(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engines.have("buildah")
    monkeypatch.setenv("BUILD_FAILS", "125")
    assert main(["--push"]) == 4
    assert len(engines.calls) == 1
    assert "buildah build ended with exit code 125" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["docker", "buildah"])
def test_what_was_pushed_stands_in_the_lock_by_its_digest(engines: Engines, tmp_path: Path, engine: str) -> None:
    engines.have(engine)
    lock = tmp_path / "images.lock.yaml"
    lock.write_text(OWN_LOCK.read_text())
    registry = "registry.example.com:5000/team"
    written = ["--lock", str(lock), "--kustomization", str(tmp_path / "kustomization.yaml")]
    assert main(["--registry", registry, "--push", *written, "--only", "train", "--only", "base"]) == 0
    images = read_images(lock)
    assert images["train"] == f"{registry}/train@{DIGEST}"
    assert images["base"] == f"{registry}/base@{DIGEST}"
    assert unpinned(images.values()) == sorted(read_images(OWN_LOCK)[name] for name in ("embed", "eval", "tracking"))
    assert f"newName: {registry}/train\n  digest: {DIGEST}" in (tmp_path / "kustomization.yaml").read_text()


@pytest.mark.parametrize("registry", ["docker.io/acme", "docker.io/library"])
def test_what_was_pushed_to_dockers_own_hub_which_docker_lists_without_its_name_is_found(
    engines: Engines, tmp_path: Path, registry: str
) -> None:
    engines.have("docker")
    lock = tmp_path / "images.lock.yaml"
    lock.write_text(OWN_LOCK.read_text())
    written = ["--lock", str(lock), "--kustomization", str(tmp_path / "kustomization.yaml")]
    assert main(["--registry", registry, "--push", *written, "--only", "train"]) == 0
    assert read_images(lock)["train"] == f"{registry}/train@{DIGEST}"


def test_a_push_of_which_docker_knows_no_digest_is_told(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engines.have("docker")
    monkeypatch.setenv("FORGETS", "all")
    lock = tmp_path / "images.lock.yaml"
    lock.write_text(OWN_LOCK.read_text())
    assert main(["--push", "--only", "train", "--lock", str(lock)]) == 4
    assert f"docker names no digest of med42/train:{__version__}" in capsys.readouterr().err
