"""Build the images on this machine, and run commands in them as a cluster would: another user, a read-only root."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.images import RUNTIMES
from images import build
from med42lib import __version__
from tests.images.base_image import base_image, buildah

REGISTRY = "localhost/med42"
# Mounts end with the namespace. What a pod has beside the root: /dev, /proc, and one volume to write to.
_IN_NAMESPACES = """
set -e
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount -t tmpfs -o mode=0777 tmpfs "$root/scratch"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot --userspec="$user:0" --groups=0 "$root" env -i "$@"
"""


def build_images() -> dict[str, str]:
    """Build what changed of all images; returns their references by runtime.

    Raises:
        subprocess.CalledProcessError: If the base image cannot be made.
        RuntimeError: If a build fails; it says why on standard error.
    """
    exit_code = build.main(["--registry", REGISTRY, "--base", base_image()])
    if exit_code != 0:
        raise RuntimeError(f"images.build ended with exit code {exit_code}")
    return {runtime: f"{REGISTRY}/{runtime}:{__version__}" for runtime in RUNTIMES}


@dataclass(frozen=True)
class BuiltImage:
    """An image of this machine, and the folder where its files are."""

    runtime: str
    root: Path
    described: dict[str, Any]
    """Its configuration as the OCI format has it."""

    @classmethod
    @contextmanager
    def mounted(cls, runtime: str, reference: str) -> Iterator[BuiltImage]:
        """Mount an image until the block ends."""
        container = buildah("from", "--pull-never", reference)
        try:
            described = json.loads(buildah("inspect", container))["OCIv1"]
            yield cls(runtime, Path(buildah("mount", container)), described)
        finally:
            buildah("rm", container)

    @property
    def config(self) -> dict[str, Any]:
        """What a container of it is started with."""
        config: dict[str, Any] = self.described["config"]
        return config

    @property
    def layers(self) -> list[str]:
        """The digests of its layers, from the lowest."""
        layers: list[str] = self.described["rootfs"]["diff_ids"]
        return layers

    def run(self, *command: str, user: int = 10001) -> subprocess.CompletedProcess[str]:
        """Run a command without a network, as a user of group 0, where only /scratch can be written."""
        namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        started = ["sh", "-c", _IN_NAMESPACES, "sh", str(self.root), str(user), *self.config["Env"], *command]
        return subprocess.run([*namespaces, *started], capture_output=True, text=True, check=False, timeout=240)
