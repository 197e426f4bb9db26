"""`med42 stage NAME`: one stage, as a Kubeflow container calls it or by hand."""

from __future__ import annotations

import json
import os
import re
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from med42lib.catalogue import STAGES
from med42lib.commands.command import Command, add_overrides, show
from med42lib.commands.executor import asked_outputs, load_json, parameters
from med42lib.commands.shown import shown_artifacts
from med42lib.core.cluster_objects import TASK_CONFIG_VARIABLE
from med42lib.core.config import parse_config, section_of
from med42lib.core.environment import in_pod
from med42lib.core.errors import ClusterUnavailable, ConfigError, Problem, StoreUnavailable, TrackingUnavailable
from med42lib.core.excerpts import brief
from med42lib.core.log import log
from med42lib.engine.context import TrackedAs
from med42lib.engine.runner import Request, Result, run_stage
from med42lib.engine.stage import Stage
from med42lib.formats.run_settings import digest_in_address, read_settings, settings_digest
from med42lib.register.config import RegisterConfig
from med42lib.store.address import absolute_address

_REFERENCE = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
"""How Kubeflow refers to another parameter of the same task."""

TASK_CONFIG = "task_config"

_PAUSES = (30, 60, 120, 240)
"""Seconds, after what the clients themselves have waited."""

DESCRIPTION = """\
Run one stage. Its outputs go into the store under a name made of their content; an output that is already there is
reused. Prints the outputs' addresses as JSON.

by hand:
  med42 stage assemble --spec pipelines/specs/demo.yaml --store runs/demo \\
      --input data=package:med42lib/demo/data/training
  med42 stage train --spec SPEC --section train.lora --store runs/demo --input packed=... --input model=...
  med42 stage package_model --spec SPEC --input base=... --input trained.full=... --input trained.lora=...
in a Kubeflow container:
  med42 stage assemble --executor-input '{{$}}'
"""
_INPUTS = "an input and the output it is, as another stage printed it, or a folder; one for each input of the stage"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", choices=sorted(STAGES), metavar="NAME", help=", ".join(STAGES))
    parser.add_argument("--executor-input", metavar="JSON", help="Kubeflow's executor input, or @FILE that holds it")
    parser.add_argument("--spec", type=Path, help="run specification that holds the stage's settings")
    parser.add_argument(
        "--section", help="section of the spec (default: the stage's name; for train, of several models: train.NAME)"
    )
    add_overrides(parser)
    parser.add_argument("--store", default="runs/store", help="address of the store (default: %(default)s)")
    parser.add_argument("--input", action="append", default=[], dest="inputs", metavar="EDGE=ADDRESS", help=_INPUTS)


def _run(arguments: Namespace) -> int:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the stages show their own
    stage = STAGES[arguments.name]
    if arguments.executor_input:
        _run_for_kubeflow(stage, load_json(arguments.executor_input))
    else:
        result = run_stage(stage, _request_by_hand(stage, arguments))
        show(json.dumps(result.targets, indent=1))
    return 0


def _run_for_kubeflow(stage: Stage, executor_input: Mapping[str, Any]) -> None:
    title = f"outputs of {stage.name}"
    names = [shown.name for shown in stage.shown]
    asked = asked_outputs(executor_input, title=title, outputs=stage.targets, artifacts=names)
    given = parameters(executor_input)
    if (task_config := given.get(TASK_CONFIG)) is not None:
        os.environ[TASK_CONFIG_VARIABLE] = json.dumps(task_config)
    targets = _patiently(lambda: run_stage(stage, request_from_kubeflow(stage, given))).targets
    asked.write(targets, shown_artifacts(stage, targets, asked.artifacts))


def _patiently(run: Callable[[], Result]) -> Result:
    """Try again what a retry may help: Kubeflow, which makes every exit code 1, cannot know. A pod has nobody else."""
    for seconds in _PAUSES if in_pod() else ():
        try:
            return run()
        except (StoreUnavailable, ClusterUnavailable, TrackingUnavailable) as error:
            log("stage").warning("%s; trying again in %d s", error, seconds)
            time.sleep(seconds)
    return run()


def request_from_kubeflow(stage: Stage, given: Mapping[str, Any]) -> Request:
    """Read a request from a task's parameters; unknown ones are ignored, missing ones are listed.

    Raises:
        ConfigError: If a parameter is missing, null or not text, or the settings have no such section.
        DataError: If the settings are not where they should be.
    """
    texts = ("settings", "section", "store", *(edge for edge in stage.sources if edge not in stage.mappings))
    mappings = {edge: _addresses(given, edge) for edge in stage.mappings}
    problems = [_required(given, name, "text") for name in texts if not isinstance(given.get(name), str)]
    problems += [_required(given, e, "addresses by name") for e, found in mappings.items() if found is None]
    if problems:
        raise ConfigError(f"parameters of {stage.name}", problems)
    sources = {edge: mappings.get(edge, given[edge]) for edge in stage.sources}
    settings, section = given["settings"], given["section"]
    config = read_settings(settings, section)
    tracked = _tracked(stage, lambda: read_settings(settings, "register"), digest_in_address(settings), section)
    return Request(config, absolute_address(given["store"]), _absolute(sources), tracked, section)


def _tracked(stage: Stage, read_register: Callable[[], Mapping[str, Any]], run: str, section: str) -> TrackedAs | None:
    """Say what a stage is called in MLflow while it works; None if nobody watches, or nothing is to be registered."""
    if not stage.live:
        return None
    register = parse_config(RegisterConfig, dict(read_register()), title="settings of register")
    name = section.removeprefix(f"{stage.name}.")
    return TrackedAs(register.experiment, run, f"{stage.name}[{name}]") if register.enabled else None


def _required(given: Mapping[str, Any], name: str, form: str) -> Problem:
    return Problem(name, f"is required as {form} (given: {brief(given.get(name))})")


def _addresses(given: Mapping[str, Any], edge: str) -> dict[str, str] | None:
    """Read an edge's addresses by their names; None if that is not what was given.

    Kubeflow passes outputs of several tasks in one parameter as references to other parameters of the same task.
    Its local runner puts the addresses in their places, a cluster's may leave that to who reads them.
    """
    value = given.get(edge)
    values = load_json(value) if isinstance(value, str) else value
    if not isinstance(values, Mapping):
        return None
    found = {name: _dereferenced(address, given) for name, address in values.items()}
    return found if all(isinstance(address, str) for address in found.values()) else None


def _dereferenced(value: object, given: Mapping[str, Any]) -> Any:
    reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return value if reference is None else given.get(reference[1])


def _absolute(sources: Mapping[str, Any]) -> dict[str, str | Mapping[str, str]]:
    return {
        edge: absolute_address(given)
        if isinstance(given, str)
        else {name: absolute_address(address) for name, address in given.items()}
        for edge, given in sources.items()
    }


def _request_by_hand(stage: Stage, arguments: Namespace) -> Request:
    given = dict(entry.partition("=")[::2] for entry in arguments.inputs)
    sources, unknown = _by_edge(stage, given)
    names = ", ".join(f"{edge}.NAME" if edge in stage.mappings else edge for edge in stage.sources)
    problems = [Problem(f"--input {name}", f"{stage.name} has no such input; it has {names}") for name in unknown]
    problems += [Problem(f"--input {edge}", "is required: an address") for edge in stage.sources if edge not in sources]
    if arguments.spec is None:
        problems.append(Problem("--spec", "is required unless --executor-input is given"))
    if problems:
        raise ConfigError(f"med42 stage {stage.name}", sorted(problems, key=str))
    from med42lib.spec import load_spec

    spec = load_spec(arguments.spec, arguments.overrides).sections()
    section = arguments.section or _own_section(spec, stage)
    config = section_of(spec, section, title=str(arguments.spec))
    tracked = _tracked(stage, lambda: section_of(spec, "register", title=""), settings_digest(spec), section)
    return Request(config, absolute_address(arguments.store), _absolute(sources), tracked, section)


def _by_edge(stage: Stage, given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Sort addresses by the stage's inputs, those of `trained.lora` under `trained`; and list the names of no input."""
    sources: dict[str, Any] = {edge: {} for edge in stage.mappings}
    unknown = []
    for name, address in given.items():
        edge, _, member = name.partition(".")
        if edge in stage.mappings and member:
            sources[edge][member] = address
        elif name in stage.sources and name not in stage.mappings:
            sources[name] = address
        else:
            unknown.append(name)
    return sources, unknown


def _own_section(spec: Mapping[str, Any], stage: Stage) -> str:
    """Name the section of a stage's settings: the only one of a stage that has one for each model or shard.

    Raises:
        ConfigError: If that stage has several, or none.
    """
    if not stage.in_parts:
        return stage.name
    parts = [f"{stage.name}.{name}" for name in spec[stage.name]]
    if len(parts) != 1:
        what = f"is required; there are {', '.join(parts) or 'none'}"
        raise ConfigError(f"med42 stage {stage.name}", [Problem("--section", what)])
    return parts[0]


STAGE = Command("stage", "run one stage by hand, or inside a Kubeflow container", DESCRIPTION, _add_arguments, _run)
