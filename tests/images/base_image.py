"""A base image made of Debian's packages, for machines that reach no registry of images.

It stands in for `python:3.11-slim-bookworm`, which is made of the same ones. `python -m tests.images.base_image` makes
it, unless it is there, and prints its name: `make images BASE=$(python -m tests.images.base_image)`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAME = "localhost/med42-test/python:3.11-bookworm"
_PACKAGES = ("ca-certificates", "netbase", "python3", "python3-venv", "tzdata")
_OF_NO_USE = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt", "var/log/apt")
_OF_THIS_MACHINE = ("etc/hostname", "etc/resolv.conf")
_CONTAINERFILE = """\
FROM scratch
COPY root /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["python3"]
"""


def base_image() -> str:
    """Give the image's name; makes it first if it is not there.

    Raises:
        subprocess.CalledProcessError: If a package cannot be had, or this is no Debian, or we are not root.
    """
    install_packages()
    if buildah("images", "--quiet", "--filter", f"reference={NAME}"):
        return NAME
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _debootstrap(folder / "root")
        (folder / "Containerfile").write_text(_CONTAINERFILE)
        buildah("build", "--quiet", "--tag", NAME, name)
    return NAME


def install_packages() -> None:
    """Install what builds images, where it lacks."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *words], env=environment, check=True, stdout=sys.stderr)


def buildah(*words: str) -> str:
    """Call buildah, which here needs no rights but root's; returns what it printed."""
    environment = {"BUILDAH_ISOLATION": "chroot", **os.environ}
    done = subprocess.run(["buildah", *words], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _debootstrap(root: Path) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", "bookworm", str(root)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    for name in _OF_NO_USE:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in _OF_THIS_MACHINE:
        (root / name).unlink(missing_ok=True)
    shutil.rmtree(root / "dev")
    (root / "dev").mkdir()


if __name__ == "__main__":
    sys.stdout.write(f"{base_image()}\n")
