"""What the cluster needs of this machine: Linux, root, and packages of Debian, which are installed where they lack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.cluster.programs import CACHE_VARIABLE, cache_folder
from tests.cluster.sandbox import PRIVATE_FOLDERS, ClusterError

_PACKAGES = {
    "buildah": "buildah",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "runc": "runc",
    "socat": "socat",
    "/bin/busybox": "busybox-static",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/postgresql": "postgresql",
}


def check_machine() -> None:
    """Say what this machine lacks.

    Raises:
        ClusterError: If it is no Linux, we are not root, or the cache is where the cluster would not see it.
    """
    if sys.platform != "linux":
        raise ClusterError(f"a cluster of its own needs Linux, and this is {sys.platform}: set KUBECONFIG to use yours")
    if os.geteuid() != 0:
        raise ClusterError("a cluster of its own needs root: run as root, or set KUBECONFIG to use a cluster of yours")
    cache = cache_folder().resolve()
    if any(cache.is_relative_to(hidden) for hidden in PRIVATE_FOLDERS):
        raise ClusterError(f"{cache} is below {' or '.join(PRIVATE_FOLDERS)}: set {CACHE_VARIABLE} to another folder")


def install_packages(say: Callable[[str], None]) -> None:
    """Install the packages whose programs are not there.

    Raises:
        ClusterError: If that fails.
    """
    missing = sorted(package for program, package in _PACKAGES.items() if not _is_there(program))
    if not missing:
        return
    say(f"installs {' '.join(missing)}")
    _apt("update", "-qq")
    _apt("install", "-y", "-qq", "--no-install-recommends", *missing)


def _is_there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def _apt(*arguments: str) -> None:
    if shutil.which("apt-get") is None:
        raise ClusterError(f"this is no Debian: install what these packages have: {' '.join(_PACKAGES.values())}")
    # In run level 1 no service is started.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"apt-get {' '.join(arguments)} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
