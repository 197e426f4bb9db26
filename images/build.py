"""`make images` builds an image for each runtime, with docker or buildah, pushes them if asked to, and writes the lock.

What the environment says is given to the build as a secret, and stays in no image: `PIP_CONFIG_FILE`, the file that
names a package index, and `PIP_CERT` or `SSL_CERT_FILE`, the authorities to trust.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from components.images import OWN_LOCK, RUNTIMES, kustomization, read_images, write_images
from images.lock import PYPI_FLAVOR, REPOSITORY, REQUIREMENTS, layers_of
from med42lib import __version__
from med42lib.core.errors import EnvironmentProblem, Med42Error
from med42lib.engine.runtime import Runtime

BASE = "docker.io/library/python:3.11-slim-bookworm"
KUSTOMIZATION = REPOSITORY / "k8s" / "components" / "images" / "kustomization.yaml"
_DOCKERS_OWN = re.compile(r"^docker\.io/(library/)?")
"""What docker leaves out where it lists images of its own hub."""
_SECRETS = {"pip.conf": ("PIP_CONFIG_FILE",), "ca.pem": ("PIP_CERT", "SSL_CERT_FILE")}


def build_arguments(runtime: Runtime, options: Namespace) -> dict[str, str]:
    """Give the Dockerfile's build arguments for one image; those that nobody set are left out.

    Raises:
        EnvironmentProblem: If the requirements of this flavor of torch were never locked, or the address of its index
            has a login.
    """
    if "@" in urlsplit(options.torch_index or "").netloc:
        raise EnvironmentProblem(
            "the address of torch's index has a login, which every image would show in its history; make it an "
            "extra-index-url of the pip.conf that PIP_CONFIG_FILE names, and leave TORCH_INDEX out"
        )
    folder = REQUIREMENTS / options.flavor
    if not (folder / f"{runtime}.txt").is_file():
        raise EnvironmentProblem(f"{folder}: no {runtime}.txt; make lock FLAVOR={options.flavor} TORCH_INDEX=address")
    values = {
        "BASE": options.base,
        "FLAVOR": options.flavor,
        "TORCH_INDEX": options.torch_index,
        "RUNTIME": runtime,
        "PARENT": layers_of(runtime)[-2],
        "VERSION": __version__,
        "REVISION": _revision(),
        "SOURCE": options.source,
    }
    return {name: value for name, value in values.items() if value}


def build(name: str, arguments: dict[str, str]) -> None:
    """Build an image and give it a name.

    Raises:
        EnvironmentProblem: If nothing here can build, or the build failed.
    """
    given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    _call(*_build_command(arguments["BASE"]), *given, *_secrets(), f"--tag={name}", "--file=images/Dockerfile", ".")


def push(name: str) -> str:
    """Push an image; returns the reference by its digest.

    Raises:
        EnvironmentProblem: If the registry did not take it, or docker does not say by which digest it did.
    """
    repository = name.rpartition(":")[0]
    if builder() == "docker":
        _call("docker", "push", name)
        return f"{repository}@{_digest_by_docker(name, repository)}"
    with tempfile.TemporaryDirectory() as folder:
        _call("buildah", "push", f"--digestfile={folder}/digest", name, f"docker://{name}")
        return f"{repository}@{Path(folder, 'digest').read_text(encoding='utf-8').strip()}"


def _digest_by_docker(name: str, repository: str) -> str:
    listed = _output("docker", "image", "inspect", '--format={{join .RepoDigests "\\n"}}', name).splitlines()
    digests = dict(reference.split("@") for reference in listed)
    as_listed = _DOCKERS_OWN.sub("", repository)
    if as_listed not in digests:
        raise EnvironmentProblem(f"docker names no digest of {name} after its push, but {', '.join(listed) or 'none'}")
    return str(digests[as_listed])


def builder() -> str:
    """Choose docker where its daemon answers, else buildah, which needs none.

    Raises:
        EnvironmentProblem: If there is neither.
    """
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        return "docker"
    if shutil.which("buildah"):
        return "buildah"
    raise EnvironmentProblem("images are built by docker, with its daemon running, or by buildah; neither is here")


def _build_command(base: str) -> list[str]:
    if builder() == "docker":
        return ["docker", "build"]
    # Of a name without a registry buildah would look for a newer image, at the address localhost.
    return ["buildah", "build", "--layers", *(["--pull-never"] if base.startswith("localhost/") else [])]


def _secrets() -> list[str]:
    found = {name: next(filter(None, map(os.environ.get, names)), None) for name, names in _SECRETS.items()}
    return [f"--secret=id={name},src={path}" for name, path in found.items() if path]


def _revision() -> str:
    """Name the commit, and say if something differs from it; empty outside git's reach."""
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        return ""
    return _output("git", "describe", "--always", "--abbrev=40", "--dirty", "--match=").strip()


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout


def _call(*command: str) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise EnvironmentProblem(f"{command[0]} {command[1]} ended with exit code {done.returncode}; it says why above")


def _parser() -> ArgumentParser:
    parser = ArgumentParser("python -m images.build", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=RUNTIMES, action="append", help="one runtime; may be repeated (default: all)")
    parser.add_argument("--registry", default="med42", help="what stands before /<runtime> (default: %(default)s)")
    parser.add_argument("--base", default=BASE, help="image with Python 3.11, by its digest (default: %(default)s)")
    parser.add_argument("--flavor", default=PYPI_FLAVOR, help="folder in images/requirements (default: %(default)s)")
    parser.add_argument("--torch-index", help="address of the package index that has this flavor of torch")
    parser.add_argument("--source", help="address of the source code, for the images' labels")
    parser.add_argument("--push", action="store_true", help="push, and write the digests into the lock")
    parser.add_argument("--lock", type=Path, default=OWN_LOCK, help="default: %(default)s")
    parser.add_argument("--kustomization", type=Path, default=KUSTOMIZATION, help="default: %(default)s")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Build, and push if asked to; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        for runtime in options.only or RUNTIMES:
            name = f"{options.registry}/{runtime}:{__version__}"
            build(name, build_arguments(runtime, options))
            if options.push:
                write_images(options.lock, {**read_images(options.lock), runtime: push(name)})
                options.kustomization.write_text(kustomization(read_images(options.lock)), encoding="utf-8")
    except Med42Error as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
