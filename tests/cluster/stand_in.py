"""One image in place of the public ones of k8s/reference, with the same programs: no package registry has those."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg2

from med42lib import __version__
from tests.cluster import images
from tests.cluster.node import FILES
from tests.images.base_image import buildah
from tests.images.built import REGISTRY

STAND_IN = "localhost/med42-cluster/reference:1"
_OF_PYTHON = "opt/med42/lib/python3.11/site-packages"
_POSTGRES = ("postgres", "initdb", "pg_ctl", "pg_isready", "createdb")
_OF_THE_C_LIBRARY = re.compile(r"/lib(c|m|resolv)\.so")


def load_stand_in() -> str:
    """Make an image of SeaweedFS, PostgreSQL and an MLflow that reaches it, and load it; the image `tracking` is built.

    Returns:
        The reference by digest.
    """
    [programs] = Path("/usr/lib/postgresql").glob("*/bin")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(FILES / "reference", folder, dirs_exist_ok=True)
        _copy(folder / "root", programs)
        arguments = [f"--build-arg=TRACKING={REGISTRY}/tracking:{__version__}", f"--build-arg=POSTGRES={programs}"]
        buildah("build", "--quiet", "--tag", STAND_IN, *arguments, str(folder))
    return images.load_image(STAND_IN)


def _copy(root: Path, postgres: Path) -> None:
    shared = Path("/usr/share/postgresql", postgres.parent.name)
    for source in (postgres.parent, shared, Path("/usr/share/zoneinfo")):
        shutil.copytree(source, root / source.relative_to("/"), symlinks=True)
    libraries = root / "usr/lib/postgresql/libraries"
    libraries.mkdir()
    for library in _libraries(postgres / name for name in _POSTGRES):
        shutil.copy2(library, libraries)
    (root / "usr/local/bin").mkdir(parents=True)
    shutil.copy2(Path(sys.executable).with_name("weed"), root / "usr/local/bin")
    package = Path(psycopg2.__file__).parent
    for folder in (package, package.with_name("psycopg2_binary.libs")):
        shutil.copytree(folder, root / _OF_PYTHON / folder.name)


def _libraries(programs: Iterable[Path]) -> Iterator[Path]:
    """List what programs are linked with, but for what every image has."""
    found = [subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout for path in programs]
    yield from (
        Path(path)
        for path in sorted(set(re.findall(r"=> (/\S+)", "".join(found))))
        if not _OF_THE_C_LIBRARY.search(path)
    )
