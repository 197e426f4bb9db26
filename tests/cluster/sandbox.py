"""The namespaces that the cluster lives in: its processes, mounts, addresses and firewall rules end with them.

    this machine ── 10.243.0.1 ═ 10.243.0.2 ── the cluster's network ── 10.244.0.1 ═ pods, 10.244.0.0/24
                                                                        10.96.0.0/16, Services

There is no way from there to any other machine. The kernel ends all of it when process 1 of the namespaces ends, in
whatever way; what is left to undo are control groups and a few settings of the kernel.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.cluster import programs

HOST_ADDRESS, _INNER_ADDRESS = "10.243.0.1", "10.243.0.2"
NODE_ADDRESS, PODS, SERVICES = "10.244.0.1", "10.244.0.0/24", "10.96.0.0/16"
BRIDGE, CGROUP = "pods0", "/med42-test-cluster"
_LINK = "med42cluster"
_HOLDER = "sandbox"
# Where containerd, kubelet, PostgreSQL and SeaweedFS write whatever they are told: their own from then on.
PRIVATE_FOLDERS = ("/run", "/tmp", "/var/lib", "/var/log")
# What kubelet sets, and is of the whole machine.
_SYSCTLS = (
    "fs/inotify/max_user_instances",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
_UNSHARE = ("unshare", "--mount", "--propagation=private", "--net", "--pid", "--mount-proc", "--fork", "--kill-child")
_SECONDS_TO_END = 20


class ClusterError(Exception):
    """The cluster does not come up, or cannot on this machine."""


def folder() -> Path:
    """Everything of a running cluster; removed with it."""
    return programs.cache_folder() / "node"


def logs() -> Path:
    """What the programs say; stays until another cluster is started."""
    return programs.cache_folder() / "logs"


@contextmanager
def alone(say: Callable[[str], None]) -> Iterator[None]:
    """Keep other processes of this machine from bringing a cluster up, or taking it down, until the block ends."""
    programs.cache_folder().mkdir(parents=True, exist_ok=True)
    with (programs.cache_folder() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waits for another process that brings the cluster up")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_open() -> bool:
    """Say whether the namespaces are there."""
    return is_running(_HOLDER)


def open_sandbox() -> None:
    """Make the namespaces and their network, if they are not there."""
    if is_open():
        return
    close_sandbox()
    _run_folder().mkdir(parents=True)
    shutil.rmtree(logs(), ignore_errors=True)
    logs().mkdir(parents=True)
    _save_sysctls()
    for cgroup in _cgroups():
        cgroup.mkdir(exist_ok=True)
    mounts = " && ".join(f"mount -t tmpfs tmpfs {each}" for each in PRIVATE_FOLDERS)
    _start(_HOLDER, [*_UNSHARE, "sh", "-c", f"{mounts} && mkdir /run/lock && exec {programs.pause()}"])
    _make_network()


def close_sandbox() -> None:
    """End all that runs, and undo what is left, also of a cluster that was not closed; nothing to do is no error."""
    kill(_HOLDER)
    while _STARTED:
        _STARTED.pop().wait(_SECONDS_TO_END)  # with the namespace they all end
    _remove_link()
    _remove_cgroups()
    _restore_sysctls()
    shutil.rmtree(folder(), ignore_errors=True)


def start(name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
    """Start a program in the namespaces, unless it runs; its log is `<name>.log`."""
    if not is_running(name):
        _start(name, [*_enter(), *map(str, command)], environment)


def run(*command: str | Path) -> str:
    """Run a program in the namespaces to its end; gives what it printed.

    Raises:
        ClusterError: If it fails.
    """
    return _checked([*_enter(), *map(str, command)])


def stop(name: str) -> None:
    """Ask a program to end, and end it after a while."""
    _end(name, signal.SIGTERM)


def kill(name: str) -> None:
    """End a program at once."""
    _end(name, signal.SIGKILL)


def is_running(name: str) -> bool:
    """Say whether a program that was started is there."""
    return _process(name) is not None


def last_lines(name: str) -> str:
    """Give the end of a program's log."""
    log = logs() / f"{name}.log"
    return log.read_text(errors="replace")[-2000:] if log.exists() else ""


def wait_for(what: str, condition: Callable[[], bool], *, program: str, seconds: float = 180) -> None:
    """Wait until a condition holds.

    Raises:
        ClusterError: If it takes too long, or the program that it needs has ended.
    """
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until or not is_running(program):
            how = "took too long" if is_running(program) else "has ended"
            raise ClusterError(f"waited for {what}: {program} {how}. The end of its log:\n{last_lines(program)}")
        time.sleep(0.2)


def _run_folder() -> Path:
    return folder() / "run"


def _enter() -> list[str]:
    holder = _process(_HOLDER)
    if holder is None:
        raise ClusterError("there is no cluster: python -m tests.cluster up")
    return ["nsenter", f"--target={holder.pid}", "--mount", "--net", "--pid", "--"]


def _start(name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    with (logs() / f"{name}.log").open("ab") as log:
        outer = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _STARTED.append(outer)
    process = _child(name, outer)
    (_run_folder() / f"{name}.pid").write_text(f"{process.pid} {process.create_time()}")


_STARTED: list[subprocess.Popen[bytes]] = []  # whoever forgets a process that runs is warned of by Python


def _child(name: str, outer: subprocess.Popen[bytes]) -> psutil.Process:
    """Wait for the program itself: `unshare` and `nsenter` start it as their child, and wait for it."""
    while outer.poll() is None:
        if children := psutil.Process(outer.pid).children():
            return children[0]
        time.sleep(0.01)
    raise ClusterError(f"{name} ended at once: {last_lines(name)}")


def _process(name: str) -> psutil.Process | None:
    with suppress(OSError, ValueError, psutil.NoSuchProcess):
        pid, created = (_run_folder() / f"{name}.pid").read_text().split()
        process = psutil.Process(int(pid))
        if process.create_time() == float(created) and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _end(name: str, how: signal.Signals) -> None:
    process = _process(name)
    if process is None:
        return
    with suppress(psutil.NoSuchProcess):
        process.send_signal(how)
        try:
            process.wait(_SECONDS_TO_END)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_SECONDS_TO_END)


def _make_network() -> None:
    holder = _process(_HOLDER)
    assert holder is not None
    for line in (
        f"ip link add {_LINK} type veth peer name host0 netns {holder.pid}",
        f"ip address add {HOST_ADDRESS}/30 dev {_LINK}",
        f"ip link set {_LINK} up",
    ):
        _checked(line.split())
    for line in (
        "sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1",
        "ip link set lo up",
        f"ip address add {_INNER_ADDRESS}/30 dev host0",
        "ip link set host0 up",
        f"ip link add {BRIDGE} type bridge",
        f"ip address add {NODE_ADDRESS}/24 dev {BRIDGE}",
        f"ip link set {BRIDGE} up",
        # The firewall's rules send a packet to a Service elsewhere, but only if there is a way at all.
        f"ip route add {SERVICES} dev {BRIDGE}",
    ):
        run(*line.split())
    for network in (PODS, SERVICES):
        _checked(["ip", "route", "add", network, "via", _INNER_ADDRESS])


def _remove_link() -> None:
    if Path("/sys/class/net", _LINK).exists():
        # The kernel may be quicker, as the other end has gone.
        subprocess.run(["ip", "link", "delete", _LINK], check=False, capture_output=True)


def _cgroups() -> list[Path]:
    """Give our control group's folder: one, or one for each controller where the kernel has them apart (v1)."""
    everywhere = Path("/sys/fs/cgroup")
    trees = (
        [everywhere]
        if (everywhere / "cgroup.procs").exists()
        else [p.parent for p in everywhere.glob("*/cgroup.procs")]
    )
    return [tree / CGROUP[1:] for tree in trees]


def _remove_cgroups() -> None:
    for top in _cgroups():
        for path in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            path.rmdir()
        if top.exists():
            top.rmdir()


def _save_sysctls() -> None:
    lines = [f"{name} {Path('/proc/sys', name).read_text().strip()}\n" for name in _SYSCTLS]
    (folder() / "sysctls").write_text("".join(lines))


def _restore_sysctls() -> None:
    with suppress(FileNotFoundError):
        for line in (folder() / "sysctls").read_text().splitlines():
            name, value = line.split(maxsplit=1)
            Path("/proc/sys", name).write_text(value)


def _checked(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
