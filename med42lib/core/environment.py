"""What the environment says of this machine: numbers, cores, memory, a cluster, and whether libraries may ask a hub."""

from __future__ import annotations

import os
import time
from pathlib import Path

from med42lib.core.errors import EnvironmentProblem

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""With these Hugging Face's libraries ask no hub. They read them once, when they are imported."""

SECONDS_UNTIL_LET_THROUGH = 5.0
THREADS_VARIABLE = "OMP_NUM_THREADS"
_OUR_THREADS_VARIABLE = "MED42_OMP_NUM_THREADS"
GIVEN_PROXIES = {
    "HTTP_PROXY": "MED42_HTTP_PROXY",
    "HTTPS_PROXY": "MED42_HTTPS_PROXY",
    "NO_PROXY": "MED42_NO_PROXY",
}
"""What a step of the pipeline is given in their place. Kubeflow, where its own server has a proxy, sets these on each
pod with a value, and the API server refuses a pod in which one also refers to a ConfigMap."""
_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED = ("max", "-1")


def number_from_environment(variable: str) -> int | None:
    """Read a whole number above 0 from a variable of the environment; None if it is not set.

    Raises:
        EnvironmentProblem: If it says something else.
    """
    value = os.environ.get(variable)
    if value is None:
        return None
    if not value.isdecimal() or int(value) == 0:
        raise EnvironmentProblem(f"{variable}={value!r}: expected a whole number above 0")
    return int(value)


def num_cores() -> int:
    """Count the cores that this process may use; a container's CPU limit is rounded down, to at least 1."""
    limit = cpu_limit(_CGROUPS)
    return _visible_cores() if limit is None else max(1, min(_visible_cores(), int(limit)))


def cpu_limit(cgroups: Path) -> float | None:
    """Read how many cores this container may keep busy; None if it has no limit. Its cores are all the node's."""
    quota_and_period = _words(cgroups / "cpu.max") or [
        *_words(cgroups / "cpu" / "cpu.cfs_quota_us"),  # version 1 of cgroups
        *_words(cgroups / "cpu" / "cpu.cfs_period_us"),
    ]
    if len(quota_and_period) != 2 or quota_and_period[0] in _UNLIMITED:
        return None
    return int(quota_and_period[0]) / int(quota_and_period[1])


def memory_bytes() -> int:
    """Size the main memory that this process and all others here may use: the machine's, or the container's limit."""
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _words(_CGROUPS / "memory.max") or _words(_CGROUPS / "memory" / "memory.limit_in_bytes")
    return of_machine if not limit or limit[0] in _UNLIMITED else min(of_machine, int(limit[0]))


def limit_threads() -> None:
    """Have numeric libraries that are imported later keep to this container's CPU limit.

    Left alone they start a thread for each core of the node. OpenMP's variable is also read by OpenBLAS, MKL and Arrow.
    What the user has set stays.
    """
    if THREADS_VARIABLE not in os.environ and num_cores() < _visible_cores():
        os.environ[THREADS_VARIABLE] = os.environ[_OUR_THREADS_VARIABLE] = str(num_cores())


def threads_asked_for() -> str | None:
    """Give the number of threads that the user has set, and None if it is that of `limit_threads`."""
    threads = os.environ.get(THREADS_VARIABLE)
    return None if threads == os.environ.get(_OUR_THREADS_VARIABLE) else threads


def _visible_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_pod() -> bool:
    """Say whether this process runs in a container on Kubernetes, where the kubelet sets this variable."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def let_through_by_now() -> bool:
    """In a pod, wait until NetworkPolicies elsewhere know it; says whether what was refused is to be asked again.

    Where policies are enforced, others may refuse a pod in its first moments.
    """
    if in_pod():
        time.sleep(SECONDS_UNTIL_LET_THROUGH)
    return in_pod()


def is_offline() -> bool:
    """Say whether Hugging Face's libraries are told to ask no hub, in the words that they understand."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def proxy_of(address: str) -> str | None:
    """Name the proxy that the environment has for an address, as a URL; None where the server itself is asked."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(address)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def heed_given_proxies() -> None:
    """Set the proxies that a step of the pipeline is given, where the environment names none itself."""
    for name, given in GIVEN_PROXIES.items():
        if given in os.environ and not {name, name.lower()} & os.environ.keys():
            os.environ[name] = os.environ[given]


def _words(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").split() if path.is_file() else []
