"""Images of the cluster. They lie in a registry of its own, which containerd asks for every image, whatever its name.

    docker.io/med42/train:0.1.0 in buildah's storage ──load_image──► med42/train:0.1.0 in <cache>/registry ──► pods

The registry's folder stays between runs, so an image is sent once, and of a changed one only the layers that changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import programs, sandbox
from tests.cluster.sandbox import NODE_ADDRESS, ClusterError

REGISTRY_ADDRESS = f"{NODE_ADDRESS}:5001"
PAUSE_IMAGE = "localhost/med42-cluster/pause:1"
OPERATOR_IMAGE = f"localhost/med42-cluster/training-operator:{programs.TRAINING_OPERATOR.version}"
KUEUE_IMAGE = f"localhost/med42-cluster/kueue:{programs.KUEUE.version}"
JOBSET_IMAGE = f"localhost/med42-cluster/jobset:{programs.JOBSET.version}"
TRAINER_IMAGE = f"localhost/med42-cluster/trainer:{programs.TRAINER.version}"
SHELL_IMAGE = "localhost/med42-cluster/shell:1"
"""A shell, its tools, the C library's getent, and a `python` that runs the script in $PLAY, whatever it is told."""

_MANIFEST_TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
_GETENT = "/usr/bin/getent"
_PLAY = '#!/bin/sh\n# What a test lets a training\'s container do.\nexec sh -c "$PLAY"\n'


def registry_folder() -> Path:
    """Where the registry keeps its images between runs."""
    return programs.cache_folder() / "registry"


def load_image(reference: str) -> str:
    """Bring an image from buildah's storage of this machine to the cluster.

    What is there already is not sent again. A pod that names the image by the same reference gets the one that was
    loaded last.

    Args:
        reference: As buildah knows it, with a tag: `localhost/med42/train:0.1.0`.

    Returns:
        The reference by digest, as a pod may name it as well.

    Raises:
        ClusterError: If there is no such image, or no cluster.
    """
    name = _without_host(reference)
    with tempfile.TemporaryDirectory() as folder:
        digest = Path(folder, "digest")
        # zstd is as small as gzip in a tenth of its time; only the OCI format knows it.
        options = f"--tls-verify=false --format oci --compression-format zstd --digestfile {digest}"
        _buildah("push", *options.split(), reference, f"docker://{REGISTRY_ADDRESS}/{name}")
        _forget_older(reference, loaded := digest.read_text().strip())
    return f"{reference.rpartition(':')[0]}@{loaded}"


def load_own_images() -> None:
    """Bring the images of pause, of the operators and of the tests' shell, each made of one file."""
    _load_made(PAUSE_IMAGE, {"pause": programs.pause()}, "/pause")
    load_operator(OPERATOR_IMAGE, programs.program(programs.TRAINING_OPERATOR, "training-operator.v1"))
    load_operator(KUEUE_IMAGE, programs.program(programs.KUEUE, "kueue"))
    if not _is_there(SHELL_IMAGE):
        with _shell_files() as files:
            _load_made(SHELL_IMAGE, files, "/bin/sh")


def load_operator(reference: str, program: Path) -> None:
    """Bring the image of an operator, which is one program, unless it is there."""
    _load_made(reference, {"manager": program}, "/manager")


def _load_made(reference: str, files: Mapping[str, Path], entry: str) -> None:
    """Make an image of files alone by their paths in it, and load it, unless it is there."""
    if _is_there(reference):
        return
    with tempfile.TemporaryDirectory() as folder:
        for path, source in files.items():
            Path(folder, "root", path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, Path(folder, "root", path), follow_symlinks=False)
        lines = ["FROM scratch", "COPY root /", "USER 65532:65532", f'ENTRYPOINT ["{entry}"]']
        Path(folder, "Containerfile").write_text("\n".join(lines))
        _buildah("build", "--quiet", "--isolation", "chroot", "--tag", reference, folder)
    load_image(reference)
    _buildah("rmi", reference)


@contextmanager
def _shell_files() -> Iterator[dict[str, Path]]:
    listed = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout
    libraries = subprocess.run(["ldd", _GETENT], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        script, files = Path(folder, "python"), {"bin/busybox": Path("/bin/busybox")}
        script.write_text(_PLAY)
        script.chmod(0o755)
        for name in listed.split():
            if name != "busybox":
                Path(folder, name).symlink_to("busybox")
                files[f"bin/{name}"] = Path(folder, name)
        for path in (_GETENT, *re.findall(r"/lib\S+", libraries)):
            files[path.lstrip("/")] = Path(path).resolve()
        yield {**files, "bin/python": script}


def _is_there(reference: str) -> bool:
    name, _, tag = _without_host(reference).rpartition(":")
    url = f"http://{REGISTRY_ADDRESS}/v2/{name}/manifests/{tag}"
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": _MANIFEST_TYPES})
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()
        return False
    return True


def _without_host(reference: str) -> str:
    """Cut what is a registry's name and no part of the image's: it has a dot or a colon, or is localhost."""
    first, _, rest = reference.partition("/")
    return rest if rest and (first == "localhost" or "." in first or ":" in first) else reference


def _forget_older(reference: str, digest: str) -> None:
    """Have the node fetch anew what it has under the same name, of whichever registry."""
    command = ["ctr", "--address", str(sandbox.folder() / "run/containerd.sock"), "--namespace", "k8s.io", "images"]
    listed = subprocess.run([*command, "list"], capture_output=True, text=True, check=True).stdout
    for name, _, found, *_ in map(str.split, listed.splitlines()[1:]):
        if _without_host(name) == _without_host(reference) and found != digest:
            subprocess.run([*command, "remove", name], check=True, capture_output=True)


def _buildah(*arguments: str) -> None:
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(["buildah", *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"buildah {' '.join(arguments)} failed: {done.stderr.strip()[-2000:]}")
