"""What the processes of a run execute of ours, recorded while it runs (`recording/sitecustomize.py`).

Jinja executes templates under their own names, so they are among it: `med42lib.report.pages.templates.report.css`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from med42lib.catalogue import STAGES
from tests.conftest import REPOSITORY

RECORDING = Path(__file__).with_name("recording")
OF_NO_STAGE = {"pipelines.med42", "pipelines.warm_imports"}
"""Imported by the run itself, which reads every stage's signature, and by the fork server, for several stages."""

_STAGE_MODULES = {f"{stage.package}.stage": name for name, stage in STAGES.items()}


@dataclass
class Process:
    """One process: its parent's id, and the modules that it imported, in order."""

    parent: int
    modules: list[str] = field(default_factory=list)


def recording(path: Path) -> dict[str, str]:
    """Give the environment in which every Python process writes its imports to a file."""
    search = [str(RECORDING), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "MED42_TEST_IMPORTS": str(path),
        "MED42_TEST_FOLDER": f"{REPOSITORY}/",
        "PYTHONPATH": os.pathsep.join(search),
    }


def modules_by_stage(path: Path) -> dict[str, set[str]]:
    """Say what each stage imported in its own process and in those that it started, the command line's imports aside.

    A stage process imports the command line first, then the stage's module.
    """
    every = _read(path)
    processes = {number: process for number, process in every.items() if _is_of_a_stage(process, every)}
    command_line = {name for process in processes.values() for name in _before_the_stage(process)}
    found: dict[str, set[str]] = {}
    for process in processes.values():
        if stage := _stage_of(process, processes, command_line):
            found.setdefault(stage, set()).update(set(process.modules) - command_line)
    return found


def _is_of_a_stage(process: Process, every: dict[int, Process]) -> bool:
    """Leave out the run, the fork server, and the task `check`: what the run starts and is no stage."""
    parent = every.get(process.parent)
    started_by_run = parent is not None and "pipelines.med42" in parent.modules
    if started_by_run and _STAGE_MODULES.keys().isdisjoint(process.modules):
        return False
    return OF_NO_STAGE.isdisjoint(process.modules)


def _read(path: Path) -> dict[int, Process]:
    found: dict[int, Process] = {}
    for line in path.read_text().splitlines():
        number, parent, file = line.split(maxsplit=2)
        module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if module.startswith(("med42lib.", "pipelines.")):
            found.setdefault(int(number), Process(int(parent))).modules.append(module)
    return found


def _before_the_stage(process: Process) -> Iterator[str]:
    places = [place for place, name in enumerate(process.modules) if name in _STAGE_MODULES]
    yield from process.modules[: places[0]] if places else ()


def _stage_of(process: Process, processes: dict[int, Process], command_line: set[str]) -> str | None:
    """Tell a stage by its own modules, which only its processes import, or by the process that started this one."""
    for name in process.modules:
        if name in _STAGE_MODULES:
            return _STAGE_MODULES[name]
    for name in process.modules:
        package = name.split(".")[1]
        if name not in command_line and package in STAGES:
            return package
    parent = processes.get(process.parent)
    return _stage_of(parent, processes, command_line) if parent else None
