"""`med42 check`: the first task of a pipeline. It finds in seconds what would else fail a task hours later."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any

from med42lib.commands.command import Command
from med42lib.commands.executor import asked_outputs, load_json, parameters
from med42lib.core.cluster_objects import TASK_CONFIG_VARIABLE
from med42lib.core.environment import in_pod, is_offline
from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import brief
from med42lib.core.log import log
from med42lib.core.whole_numbers import whole_numbers
from med42lib.doctor.checks import check_driver
from med42lib.formats.run_settings import put_settings
from med42lib.planning.readiness import check_place
from med42lib.spec import Inputs, RunSpec, each_seed, parse_spec
from med42lib.spec_check import check_spec
from med42lib.store.address import absolute_address
from med42lib.store.base import HUB_SCHEME
from med42lib.train.launchers.launcher import open_launcher

DESCRIPTION = """\
Check a run as its pipeline was given it: the whole spec, the models that the pipeline was compiled for, the inputs, the
store, and MLflow. Writes the checked settings into the store, where every other task reads its own.

in a Kubeflow container:
  med42 check --executor-input '{{$}}'
"""
SPEC, STORE, MODELS, SHARDS, SETTINGS = "spec", "store", "models", "shards", "settings"
TRAIN_HOURS = "train_hours"
"""After which Kubernetes ends the pod of the step train."""
TRAIN_TASK_CONFIG = "train_task_config"
"""What Kubeflow hands over to the step train, which launches with it (`TaskConfig`)."""
SCORING_MEMORY = "scoring_memory"
"""Request and limit of each step that scores models without GPUs."""
ADDRESSES = tuple(Inputs.model_fields)
OF_HUB = "base_model"
"""The one input that a cluster asks a hub for: by fetch_model, which alone has the token, and is never offline."""
_TITLE = "the pipeline's parameters"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--executor-input", required=True, metavar="JSON", help="Kubeflow's executor input, or @FILE that holds it"
    )


def _run(arguments: Namespace) -> int:
    executor_input = load_json(arguments.executor_input)
    asked = asked_outputs(executor_input, title="outputs of check", outputs=[SETTINGS])
    given = parameters(executor_input)
    _check_kinds(given)
    os.environ.setdefault(TASK_CONFIG_VARIABLE, json.dumps(given[TRAIN_TASK_CONFIG]))  # on a host the user's counts
    addresses = {name: given[name] for name in ADDRESSES}
    spec = read_parameters(given[SPEC], addresses, models=given[MODELS], shards=given[SHARDS])
    store = absolute_address(given[STORE])
    check_driver(given[TRAIN_HOURS])
    check_place(spec, store, memory=given[SCORING_MEMORY])
    settings = put_settings(store, spec.sections())
    log("check").info("all is as it should be; the settings are at %s", settings)
    asked.write({SETTINGS: settings})
    return 0


def read_parameters(
    values: Mapping[str, Any], addresses: Mapping[str, str], *, models: Sequence[str], shards: Mapping[str, float]
) -> RunSpec:
    """Make a spec of a pipeline's parameters, and check it.

    Args:
        values: The spec without its inputs, as Kubeflow hands it over.
        addresses: Its inputs.
        models: Names of the models that the pipeline was compiled for.
        shards: The numbers of shards that it was compiled for, by sections of the spec.

    Raises:
        ConfigError: If anything is wrong: all problems at once, each with its path.
    """
    values = whole_numbers(values, title=_TITLE)
    problems = []
    if "inputs" in values:
        what = f"are parameters of their own: {', '.join(ADDRESSES)}; take them out of spec"
        problems.append(Problem("inputs", what))
    trained, _ = each_seed(values.get("train"))
    if isinstance(trained, Mapping) and set(trained) != set(models):
        there, wanted = (", ".join(sorted(names)) or "none" for names in (trained, models))
        what = f"names {there}, but this pipeline trains {wanted}; compile one from your spec"
        problems.append(Problem("train", what))
    problems += _other_shards(values, shards)
    if in_pod() and is_offline():
        problems += _on_a_hub(addresses)
    read = parse_spec({**values, "inputs": dict(addresses)}, title=_TITLE, problems=problems)
    return check_spec(read, processes=open_launcher().num_processes)


def _other_shards(values: Mapping[str, Any], compiled: Mapping[str, float]) -> Iterator[Problem]:
    """Say of which sections the settings ask for another number of shards than the pipeline has."""
    for section, number in compiled.items():
        settings = values.get(section)
        asked = settings.get("shards", 1) if isinstance(settings, Mapping) else number
        if asked != number:
            what = f"is {brief(asked)}, but this pipeline has {number:g}; compile one from your spec"
            yield Problem(f"{section}.shards", what)


def _on_a_hub(addresses: Mapping[str, str]) -> Iterator[Problem]:
    for name, address in addresses.items():
        if name != OF_HUB and address.startswith(HUB_SCHEME):
            what = (
                f"is on a hub ({brief(address)}), which HF_HUB_OFFLINE keeps every step but fetch_model from; put the "
            )
            yield Problem(f"inputs.{name}", what + "files into the store, and give s3://bucket/prefix")


def _check_kinds(given: Mapping[str, Any]) -> None:
    kinds: dict[str, tuple[str, type | UnionType]] = {MODELS: ("a list", list), TRAIN_HOURS: ("a number", int | float)}
    kinds |= dict.fromkeys([SPEC, SHARDS, TRAIN_TASK_CONFIG, SCORING_MEMORY], ("an object", dict))
    kinds |= dict.fromkeys([STORE, *ADDRESSES], ("text", str))
    problems = [
        Problem(name, f"is required as {form} (given: {brief(given.get(name))})")
        for name, (form, kind) in kinds.items()
        if not isinstance(given.get(name), kind) or given[name] == ""
    ]
    if problems:
        raise ConfigError(_TITLE, problems)


CHECK = Command("check", "check a whole run, inside a Kubeflow container", DESCRIPTION, _add_arguments, _run)
