"""`med42 run`: the whole pipeline on this machine, through the same graph as on a cluster."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from pathlib import Path

from med42lib.commands.command import Command, add_overrides, show
from med42lib.core.errors import not_installed
from med42lib.core.hashing import content_hash
from med42lib.core.json_file import read_json
from med42lib.core.log import log_place
from med42lib.planning.readiness import check_place
from med42lib.spec import RunSpec
from med42lib.spec_check import load_checked
from med42lib.store.address import absolute_address
from med42lib.store.artifacts import Source
from med42lib.tracking.address import home_folder, loading_code, ui_command
from pipelines.arguments import pipeline_arguments
from pipelines.results_table import results_table

DESCRIPTION = """\
Run a specification on this machine: every stage a process of its own, in the order of pipelines/med42.py. Stages
whose settings, code and inputs are unchanged are reused, so running again after a failure goes on where it stopped.
"""


def run_spec(spec: RunSpec, store: str) -> tuple[int, dict[str, str]]:
    """Run every stage; returns the exit code and the addresses of what was put out, by name; none after a failure.

    Raises:
        EnvironmentProblem: If kfp is not installed.
        Med42Error: If inputs, store or MLflow cannot be used, as `check_place` says.
    """
    try:
        from pipelines.host import run_on_host
    except ModuleNotFoundError as error:
        raise not_installed(error, "`med42 run`", "pipeline") from error
    from components.pods import PODS
    from pipelines.med42 import med42

    check_place(spec, store)
    addresses = {name: absolute_address(address) for name, address in spec.inputs.model_dump().items()}
    with log_place(run=f"{spec.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"):
        arguments = {**pipeline_arguments(spec), **addresses, "store": store}
        without_limits = {step: pod.model_copy(update={"memory": None}) for step, pod in PODS.items()}  # no pods here
        pipeline = med42(list(spec.train), without_limits, shards=spec.shards())
        exit_code, outputs = run_on_host(pipeline, arguments)
    return exit_code, {} if exit_code else outputs


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="run specification, e.g. pipelines/specs/demo.yaml")
    add_overrides(parser)
    parser.add_argument(
        "--store", help="folder or s3://bucket/prefix for all outputs (default: runs/<name of the run>)"
    )


def _run(arguments: Namespace) -> int:
    from med42lib.train.launchers.launcher import open_launcher

    started = time.monotonic()
    spec = load_checked(arguments.spec, arguments.overrides, processes=open_launcher().num_processes)
    store = absolute_address(arguments.store or f"runs/{spec.name}")
    exit_code, outputs = run_spec(spec, store)
    if outputs:
        conclude(outputs["report"], time.monotonic() - started, outputs["registered"])
    return exit_code


def conclude(report: str, seconds: float, registered: str | None = None) -> None:
    """Print the table of results, how the registered model is loaded, and where to look at the report and at MLflow."""
    source = Source(report, cache=home_folder() / "reports" / content_hash(report))
    show(f"\n{results_table(source.path('results.csv').read_text(encoding='utf-8'))}\n")
    if registered is not None and (code := _loading(registered)):
        show(f"{code}\n")
    show(f"report   {source.path('report.html')}")
    show(f"mlflow   {ui_command()}")
    show(f"took     {seconds:.0f} s")


def _loading(registered: str) -> str:
    """Write the Python that loads what this run registered; empty if nothing was. The alias may be another run's."""
    cache = home_folder() / "reports" / content_hash(registered)
    content = read_json(Source(registered, cache=cache).path("registered.json"), "run register again")
    return loading_code(content["source"]) if "source" in content else ""


command = Command("run", "run a whole specification on this machine", DESCRIPTION, _add_arguments, _run)
