"""The programs of a control plane: Go modules in pinned versions, built once into a cache.

    <cache>/programs/<name>-<version>/<program>      and the folders of manifests that we use, in files/
    <cache>/build/                                   Go's own caches while a build runs: 16 GB, then removed

One folder for a module and its version: another version is built beside it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE_VARIABLE = "MED42_CLUSTER_CACHE"
KUBERNETES_VERSION = "v1.34.4"
_PAUSE_SOURCE = Path(__file__).parent / "pause"
_STAGED = re.compile(r"^\s+(k8s\.io/\S+) v0\.0\.0(?: //.*)?$", re.MULTILINE)


class BuildError(Exception):
    """A program could not be built."""


@dataclass(frozen=True)
class Module:
    """A Go module, the main packages that we build of it, and the folders that we keep of its source."""

    name: str
    path: str
    version: str
    packages: tuple[str, ...]
    """Below the module's path; a program is called like the last part of its package."""

    files: tuple[str, ...] = ()
    linker_flags: str = "-s -w"


def _kubernetes(version: str) -> Module:
    major, minor, _ = version.removeprefix("v").split(".")
    stamp = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    return Module(
        "kubernetes",
        "k8s.io/kubernetes",
        version,
        tuple(f"cmd/{program}" for program in programs),
        linker_flags=" ".join(["-s -w", *(f"-X k8s.io/component-base/version.{k}={v}" for k, v in stamp.items())]),
    )


KUBERNETES = _kubernetes(KUBERNETES_VERSION)
ETCD = Module("etcd", "go.etcd.io/etcd/server/v3", "v3.6.16", ("",))
COREDNS = Module("coredns", "github.com/coredns/coredns", "v1.12.4", ("",))
TRAINING_OPERATOR = Module(
    "training-operator",
    "github.com/kubeflow/training-operator",
    "v1.9.3",
    ("cmd/training-operator.v1",),
    files=("manifests",),
)
KUEUE = Module("kueue", "sigs.k8s.io/kueue", "v0.17.0", ("cmd/kueue",), files=("config",))
KWOK = Module("kwok", "sigs.k8s.io/kwok", "v0.8.0", ("cmd/kwok",), files=("kustomize",))
KUBE_ROUTER = Module("kube-router", "github.com/cloudnativelabs/kube-router/v2", "v2.1.0", ("cmd/kube-router",))
REGISTRY = Module("registry", "github.com/distribution/distribution/v3", "v3.0.0", ("cmd/registry",))
JOBSET = Module("jobset", "sigs.k8s.io/jobset", "v0.11.1", ("",), files=("config",))
TRAINER = Module(
    "trainer", "github.com/kubeflow/trainer/v2", "v2.2.0", ("cmd/trainer-controller-manager",), files=("manifests",)
)
MODULES = (KUBERNETES, ETCD, COREDNS, TRAINING_OPERATOR, KUEUE, KWOK, KUBE_ROUTER, REGISTRY)
TRAINER_MODULES = (JOBSET, TRAINER)
"""What tests of TrainJobs need besides, if they are asked for."""


def cache_folder() -> Path:
    """Where programs are kept between runs."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path.home() / ".cache" / "med42-cluster"


def program(module: Module, name: str) -> Path:
    """Give the path of a program that was built."""
    return _folder(module) / name


def files(module: Module, folder: str) -> Path:
    """Give the path of a folder of a module's source that was kept."""
    return _folder(module) / "files" / folder


def pause() -> Path:
    """Give the path of the program that every pod begins with."""
    return cache_folder() / "programs" / "pause" / "pause"


def build_all(say: Callable[[str], None], modules: Sequence[Module] = MODULES) -> None:
    """Build what is not in the cache yet.

    Raises:
        BuildError: With the compiler's last lines.
    """
    missing = [module for module in modules if not _folder(module).is_dir()]
    try:
        for module in missing:
            _build(module, say)
        if not pause().exists():
            _build_pause()
    finally:
        _remove_build_folder()


def _folder(module: Module) -> Path:
    return cache_folder() / "programs" / f"{module.name}-{module.version}"


def _build(module: Module, say: Callable[[str], None]) -> None:
    work, new = _build_folder() / module.name, _folder(module).with_name(f"{_folder(module).name}.new")
    shutil.rmtree(new, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    new.mkdir(parents=True)
    (work / "go.mod").write_text(_go_mod(module))
    for package in module.packages:
        started, name = time.monotonic(), f"{module.path}/{package}".rstrip("/")
        say(f"builds {name} {module.version}")
        _go(work, "build", "-mod=mod", "-trimpath", f"-ldflags={module.linker_flags}", "-o", f"{new}/", name)
        say(f"built it in {time.monotonic() - started:.0f} s")
    source = Path(_go(work, "list", "-mod=mod", "-m", "-f", "{{.Dir}}", module.path).strip())
    for folder in module.files:
        shutil.copytree(source / folder, new / "files" / folder)
    _make_writable(new)
    new.rename(_folder(module))


def _go_mod(module: Module) -> str:
    lines = [f"module cluster/{module.name}", "go 1.26", f"require {module.path} {module.version}"]
    if module is KUBERNETES:
        lines += [f"replace {staged} => {staged} v0.{module.version[3:]}" for staged in _staged(module)]
    return "\n".join(lines) + "\n"


def _staged(module: Module) -> list[str]:
    """List the modules that Kubernetes carries in its own tree: its go.mod asks for them without a version."""
    query = f"{module.path}@{module.version}"
    go_mod = _go(_build_folder(), "list", "-m", "-f", "{{.GoMod}}", query).strip()
    return sorted(set(_STAGED.findall(Path(go_mod).read_text())))


def _build_pause() -> None:
    pause().parent.mkdir(parents=True, exist_ok=True)
    _go(_PAUSE_SOURCE, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(pause()), "main.go")


def _go(folder: Path, *arguments: str) -> str:
    if shutil.which("go") is None:
        raise BuildError("no `go` found: the programs of the control plane are built with Go 1.26 or newer; install it")
    build = _build_folder()
    caches = {"GOCACHE": f"{build / 'cache'}", "GOMODCACHE": f"{build / 'modules'}"}
    environment = {**os.environ, "CGO_ENABLED": "0", **caches}
    done = subprocess.run(["go", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def _build_folder() -> Path:
    folder = cache_folder() / "build"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _remove_build_folder() -> None:
    _make_writable(_build_folder())
    shutil.rmtree(_build_folder())


def _make_writable(folder: Path) -> None:
    """Go's module cache comes without write bits."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)
