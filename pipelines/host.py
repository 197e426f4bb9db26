"""Run Kubeflow tasks as plain processes on this machine, through `kfp.local`.

`kfp.local` runs container components in Docker only. Its task handler is looked up as a module attribute, so
putting ours there is enough: the order and the passing of outputs stay Kubeflow's. Where its order leaves a choice it
is another one in each process; we sort the tasks beforehand, so that two runs' logs can be compared.
This is private to kfp; `tests/pipelines/test_host.py` says clearly when it moves.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

from kfp import local
from kfp.local import graph_utils, status, subprocess_task_handler

from med42lib.core.log import tell
from med42lib.core.process import children_die_with_this_process
from med42lib.formats.models import BASE
from med42lib.store.scratch import attempt_folder, machine_scratch
from pipelines.stopping import StageCommand, wait_for_stage
from pipelines.warm import WarmProcesses

HANDLER_ATTRIBUTE = "SubprocessTaskHandler"
ORDER_ATTRIBUTE = "topological_sort_tasks"
_FIRST_WORD = 3  # of `python -m med42lib stage pack`


EXIT_HANDLER = "stop"
"""Not run here: what a pod may leave behind on a cluster, the kernel ends on one machine."""


@dataclass
class HostRun:
    """One pipeline run on this machine: what has been run, what came out, and how it ended."""

    num_tasks: int
    warm: WarmProcesses = field(default_factory=WarmProcesses)
    commands: list[list[str]] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    """Names of the models so far, by their addresses."""

    exit_code: int = 0

    def handler(self, image: str, full_command: list[str], *_rest: Any, **_options: Any) -> HostHandler:
        """Make the handler of one task, with the signature that `kfp.local` calls."""
        return HostHandler(full_command, self)


class HostHandler:
    """Runs one task's command with this Python, its output going straight to the terminal."""

    def __init__(self, full_command: list[str], run: HostRun) -> None:
        self._command = [sys.executable if part == "python" else part for part in full_command]
        self._run = run

    def run(self) -> status.Status:
        """Run the command; keeps its exit code, which kfp would lose. After one that failed, nothing is run."""
        step = step_name(self._command)
        if step != EXIT_HANDLER and not self._run.exit_code:
            self._run_step(step)
        return status.Status.FAILURE if self._run.exit_code else status.Status.SUCCESS

    def _run_step(self, step: str) -> None:
        run = self._run
        run.commands.append(self._command)
        name = self._model_name(step)
        tell("run", f"\n({len(run.commands)}/{run.num_tasks}) {step} {name}".rstrip())
        with run.warm.started_if_slow(step):
            exit_code = self._run_warm() if run.warm.can_run(step) else self._run_cold()
        # A process ended by signal n is what a shell, and Kubernetes, call exit code 128 + n.
        run.exit_code = exit_code if exit_code >= 0 else 128 - exit_code
        if not exit_code:
            outputs = _outputs(self._command)
            run.outputs |= outputs
            if step in ("fetch_model", "train"):
                run.models |= dict.fromkeys(outputs.values(), name)

    def _model_name(self, step: str) -> str:
        """Name the model that a step makes or looks at; empty where it is none's."""
        given = _executor_input(self._command)["inputs"]["parameterValues"]
        if step == "fetch_model":
            return BASE
        model = self._run.models.get(given["model"], "") if step in ("answer_questions", "evaluate") else ""
        return f"{model} {str(given.get('section', '')).partition('.')[2]}".strip()

    def _run_warm(self) -> int:
        return self._run.warm.run(self._command[_FIRST_WORD:], os.environ)

    def _run_cold(self) -> int:
        process = StageCommand(self._command, stdin=subprocess.DEVNULL)
        wait_for_stage(process)
        return process.returncode


def step_name(command: list[str]) -> str:
    """Name what a task's command does: `python -m med42lib stage pack --executor-input ...` is `pack`."""
    *_, name = takewhile(lambda word: not word.startswith("-"), command[_FIRST_WORD:])
    return name


def _outputs(command: list[str]) -> dict[str, str]:
    """Read the output parameters that a command has written."""
    asked = _executor_input(command).get("outputs", {}).get("parameters", {})
    return {name: Path(output["outputFile"]).read_text(encoding="utf-8") for name, output in asked.items()}


def _executor_input(command: list[str]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(command[command.index("--executor-input") + 1])
    return read


def run_on_host(pipeline: Any, arguments: Mapping[str, Any]) -> tuple[int, dict[str, str]]:
    """Run a pipeline; returns the exit code, and what tasks put out, by the outputs' names: of equal ones, the last."""
    executors = pipeline.pipeline_spec.deployment_spec["executors"]
    run = HostRun(num_tasks=sum(name != f"exec-{EXIT_HANDLER}" for name in executors))
    with _prepared(run) as root:
        # Of its own accord kfp makes a workspace in /tmp, where a killed run leaves it for good.
        workspace = str(root / "workspace")
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), workspace_root=workspace)
        try:
            pipeline(**arguments)
        except RuntimeError:
            if run.exit_code == 0:
                raise
    return run.exit_code, run.outputs


@contextlib.contextmanager
def _prepared(run: HostRun) -> Iterator[Path]:
    """Prepare this process for a run; gives a folder for kfp's own files."""
    with (
        attempt_folder(machine_scratch(), "kfp") as root,
        children_die_with_this_process(),
        _replaced(subprocess_task_handler, HANDLER_ATTRIBUTE, run.handler),
        _replaced(graph_utils, ORDER_ATTRIBUTE, _in_order),
        _quiet(),
    ):
        yield root


def _in_order(tasks: Mapping[str, Any]) -> list[str]:
    """Order tasks as kfp does; of those that may run at any time, `train` comes before `train-2` and `train-10`."""
    by_name = {name: tasks[name] for name in sorted(tasks, key=lambda name: (len(name), name))}
    ordered: list[str] = graph_utils.topological_sort(graph_utils.build_dependency_map(by_name))
    return ordered


@contextlib.contextmanager
def _replaced(module: ModuleType, attribute: str, ours: Any) -> Iterator[None]:
    original = getattr(module, attribute)
    setattr(module, attribute, ours)
    try:
        yield
    finally:
        setattr(module, attribute, original)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep kfp's own lines off the screen; the tasks write to the real one."""
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # A task's display name is for the cluster's user interface; kfp.local says that it does nothing here.
            warnings.filterwarnings("ignore", message=".*have no effect in the current local runner")
            yield
    finally:
        logging.disable(logging.NOTSET)
