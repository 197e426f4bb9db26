"""This machine, or the container that it is: libraries, GPUs, shared memory, and the way between nodes."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from med42lib import selfcheck
from med42lib.core.process import has_accelerator
from med42lib.doctor.finding import Finding, ok, problem, unknown, warning

_SHARED_MEMORY = Path("/dev/shm")
_INFINIBAND = Path("/sys/class/infiniband")
_VERBS = "libibverbs.so.1"
"""What NCCL opens for InfiniBand. No wheel brings it."""

_ENOUGH_SHARED_MEMORY = 1 << 30
_GIBIBYTE = 1 << 30
_ARCHITECTURE = re.compile(r"sm_(\d+)(\d)[a-z]?")


def check_machine(*, whole_run: bool) -> Iterator[Finding]:
    """Look at this machine.

    Args:
        whole_run: Whether everything is to run here; a container has the libraries of its own stages alone.
    """
    yield from _check_libraries(whole_run=whole_run)
    yield from _check_gpus()
    yield _check_shared_memory()
    yield _check_transport()


def _check_libraries(*, whole_run: bool) -> Iterator[Finding]:
    runtime = None if whole_run else os.environ.get(selfcheck.RUNTIME_VARIABLE)  # which images set
    checked = selfcheck.libraries([runtime] if runtime else selfcheck.WHOLE_RUN)
    wanted = [library for library in checked if whole_run or runtime or library.found is not None]
    problems = [library.problem for library in wanted if library.problem]
    for text in problems:
        yield problem("libraries", f"{text}; install the versions of constraints.txt, or use the suite's images")
    if not problems:
        yield ok("libraries", f"{len(wanted)} libraries are of versions that are allowed")


def _check_gpus() -> Iterator[Finding]:
    if not has_accelerator():
        yield unknown(
            "gpu", "there is no GPU here; run `med42 doctor --local` in the training image on a node with one"
        )
    elif importlib.util.find_spec("torch") is None:
        yield unknown("gpu", "torch is not installed here; run `med42 doctor --local` in the training image")
    else:
        import torch

        compiled = torch.cuda.get_arch_list()
        for number in range(torch.cuda.device_count()):
            name, capability = torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number)
            yield _gpu_finding(f"GPU {number} ({name})", capability, compiled)
        if not torch.cuda.is_available():
            yield problem(
                "gpu", "torch sees no GPU, though there is a device; check the driver's version and torch's CUDA"
            )


def _gpu_finding(gpu: str, capability: tuple[int, int], compiled: Sequence[str]) -> Finding:
    """Say whether torch has code for a GPU: of the same major architecture, and not of a later minor one."""
    major, minor = capability
    built = [(int(match[1]), int(match[2])) for text in compiled if (match := _ARCHITECTURE.fullmatch(text))]
    if any(each[0] == major and each[1] <= minor for each in built):
        return ok("gpu", f"{gpu} is of architecture sm_{major}{minor}, which this torch has code for")
    return problem(
        "gpu",
        f"{gpu} is of architecture sm_{major}{minor}, and this torch has code for {' '.join(compiled) or 'none'} only; "
        "V100 (sm_70) needs the image with torch for CUDA 12.6",
    )


def _check_shared_memory() -> Finding:
    if not _SHARED_MEMORY.is_dir():
        return unknown("/dev/shm", "there is none on this system")
    found = os.statvfs(_SHARED_MEMORY)
    num_bytes = found.f_blocks * found.f_frsize
    if num_bytes < _ENOUGH_SHARED_MEMORY:
        return warning(
            "/dev/shm",
            f"has {num_bytes / (1 << 20):.0f} MiB; where trainings run mount an emptyDir of medium Memory, as "
            "k8s/base/job_template.yaml does",
        )
    return ok("/dev/shm", f"has {num_bytes / _GIBIBYTE:.0f} GiB")


def _check_transport() -> Finding:
    """Say by which way NCCL would go between nodes, as far as devices and environment tell."""
    devices = sorted(path.name for path in _INFINIBAND.iterdir()) if _INFINIBAND.is_dir() else []
    disabled = os.environ.get("NCCL_IB_DISABLE", "0") != "0"
    demanded = os.environ.get("NCCL_NET") == "IB"
    if demanded and (disabled or not devices):
        return problem("nccl", "NCCL_NET=IB, but there is no InfiniBand device here; see k8s/components/rdma")
    if not has_accelerator():
        return unknown("nccl", "without a GPU nothing goes by NCCL here")
    if devices and not disabled:
        return _infiniband_finding(", ".join(devices), demanded=demanded)
    interface = os.environ.get("NCCL_SOCKET_IFNAME", "whichever interface NCCL finds")
    return warning("nccl", f"nodes would talk over TCP, by {interface}: slow for whole models on many nodes")


def _infiniband_finding(devices: str, *, demanded: bool) -> Finding:
    try:
        ctypes.CDLL(_VERBS)
    except OSError as error:
        return problem(
            "nccl",
            f"there is InfiniBand ({devices}), and NCCL cannot use it ({error}); have the images' base bring "
            "libibverbs1 and ibverbs-providers, as images/README.md shows",
        )
    certain = "" if demanded else "; set NCCL_NET=IB so that it never falls back to TCP"
    return ok("nccl", f"nodes talk over InfiniBand: {devices}{certain}")
