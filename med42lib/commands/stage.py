"""`med42 stage NAME`: one stage, as a Kubeflow container calls it or by hand."""

from __future__ import annotations

import json
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.catalogue import STAGES
from med42lib.commands.command import Command, add_overrides, show
from med42lib.core.errors import ConfigError, Problem
from med42lib.core.printable import brief
from med42lib.engine.runner import Request, Result, run_stage
from med42lib.engine.stage import Stage
from med42lib.store.address import absolute_address

_REFERENCE = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
"""How Kubeflow refers to another parameter of the same task."""

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


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", choices=sorted(STAGES), metavar="NAME", help=", ".join(STAGES))
    parser.add_argument("--executor-input", metavar="JSON", help="Kubeflow's executor input, or @FILE that holds it")
    parser.add_argument("--spec", type=Path, help="run specification that holds the stage's settings")
    parser.add_argument("--section", help="section of the spec (default: the stage's name; for train: train.NAME)")
    add_overrides(parser)
    parser.add_argument("--store", default="runs/store", help="address of the store (default: %(default)s)")
    parser.add_argument("--input", action="append", default=[], dest="inputs", metavar="EDGE=ADDRESS")


def _run(arguments: Namespace) -> int:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the stages show their own
    stage = STAGES[arguments.name]
    if arguments.executor_input:
        executor_input = _load_json(arguments.executor_input)
        request, outputs = request_from_kfp(stage, executor_input), outputs_for_kfp(stage, executor_input)
        write_kfp_outputs(outputs, run_stage(stage, request))
    else:
        result = run_stage(stage, _request_by_hand(stage, arguments))
        show(json.dumps(result.targets, indent=1))
    return 0


def request_from_kfp(stage: Stage, executor_input: Mapping[str, Any]) -> Request:
    """Read a request from Kubeflow's executor input; unknown parameters are ignored, missing ones are listed.

    Raises:
        ConfigError: If a parameter is missing, null or not text, or what holds the parameters is no JSON object.
    """
    given = _part(executor_input, "inputs", "parameterValues")
    texts = ("config", "store", *(edge for edge in stage.sources if edge not in stage.mappings))
    mappings = {edge: _addresses(given, edge) for edge in stage.mappings}
    problems = [_required(given, name, "text") for name in texts if not isinstance(given.get(name), str)]
    problems += [_required(given, e, "addresses by name") for e, found in mappings.items() if found is None]
    if problems:
        raise ConfigError(f"parameters of {stage.name}", problems)
    sources = {edge: mappings.get(edge, given[edge]) for edge in stage.sources}
    return Request(_load_json(given["config"]), absolute_address(given["store"]), _absolute(sources))


def _required(given: Mapping[str, Any], name: str, form: str) -> Problem:
    return Problem(name, f"is required as {form} (given: {brief(given.get(name))})")


def _addresses(given: Mapping[str, Any], edge: str) -> dict[str, str] | None:
    """Read an edge's addresses by their names; None if that is not what was given.

    Kubeflow passes outputs of several tasks in one parameter as references to other parameters of the same task.
    Its local runner puts the addresses in their places, a cluster's may leave that to who reads them.
    """
    value = given.get(edge)
    values = _load_json(value) if isinstance(value, str) else value
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


@dataclass(frozen=True, slots=True)
class KfpOutputs:
    """Where Kubeflow wants to read the outputs' addresses: each in a file of its own, and all of them in one."""

    each: Mapping[str, Path]
    all: Path | None


def outputs_for_kfp(stage: Stage, executor_input: Mapping[str, Any]) -> KfpOutputs:
    """Read from Kubeflow's executor input where to write what.

    Raises:
        ConfigError: If an output is asked for that the stage does not have, or no file for one.
    """
    outputs = _part(executor_input, "outputs")
    each = {name: _output_file(_part(outputs, "parameters", name)) for name in _part(outputs, "parameters")}
    if unknown := sorted(each.keys() - stage.targets):
        raise ConfigError(f"outputs of {stage.name}", [Problem(name, "is not an output of it") for name in unknown])
    return KfpOutputs(each, _output_file(outputs) if "outputFile" in outputs else None)


def write_kfp_outputs(outputs: KfpOutputs, result: Result) -> None:
    """Write every declared output; the backend fails a task one of whose outputs is missing."""
    for name, path in outputs.each.items():
        _write(path, result.targets[name])
    if outputs.all:
        _write(outputs.all, json.dumps({"parameterValues": result.targets}))


def _output_file(values: Mapping[str, Any]) -> Path:
    path = values.get("outputFile")
    if not isinstance(path, str):
        raise ConfigError("executor input", [Problem("outputFile", f"is required as text (given: {brief(path)})")])
    return Path(path)


def _part(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Give an object inside another, empty if it is not there."""
    for name in names:
        part = values.get(name, {})
        if not isinstance(part, dict):
            raise ConfigError("executor input", [Problem(name, f"is not an object (given: {brief(part)})")])
        values = part
    return values


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
    section = arguments.section or stage.name
    config = _section(arguments.spec, arguments.overrides, section)
    return Request(config, absolute_address(arguments.store), _absolute(sources))


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


def _section(spec_path: Path, overrides: list[str], section: str) -> dict[str, Any]:
    from med42lib.spec import load_spec

    values: Any = load_spec(spec_path, overrides).model_dump(mode="json", by_alias=True)
    for name in section.split("."):
        if not isinstance(values, dict) or name not in values:
            raise ConfigError(str(spec_path), [Problem(section, "is not a section of the spec")])
        values = values[name]
    return dict(values)


def _load_json(text: str) -> dict[str, Any]:
    try:
        content = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        values = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("parameters", [Problem("JSON", f"cannot be read: {error} (given: {brief(text)})")]) from error
    if not isinstance(values, dict):
        raise ConfigError("parameters", [Problem("JSON", f"is not an object (given: {brief(content)})")])
    return values


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)


STAGE = Command("stage", "run one stage by hand, or inside a Kubeflow container", DESCRIPTION, _add_arguments, _run)
