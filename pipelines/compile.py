"""`med42 compile`: the pipeline as YAML for the Kubeflow Pipelines UI, with a spec's settings filled in."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from med42lib.commands.command import Command, show
from med42lib.spec_check import load_checked
from pipelines.arguments import pipeline_arguments

COMPILED = Path(__file__).parent / "compiled"
STORE_TO_FILL_IN = "s3://med42/runs"


def compile_spec(spec_path: Path, output: Path) -> None:
    """Compile the pipeline with the spec's settings as the defaults of its parameters."""
    from kfp.compiler import Compiler

    from pipelines.med42 import med42

    spec = load_checked(spec_path)
    parameters = {"store": STORE_TO_FILL_IN, **pipeline_arguments(spec)}
    output.parent.mkdir(parents=True, exist_ok=True)
    Compiler().compile(med42(list(spec.train)), str(output), pipeline_parameters=parameters)
    output.write_text(without_versions(output.read_text(encoding="utf-8")), encoding="utf-8")


def without_versions(text: str) -> str:
    """Take out the patch version of the SDK, so that a compiled file changes only with the pipeline."""
    return re.sub(r"^(sdkVersion: kfp-\d+\.\d+)\.\d+$", r"\1", text, flags=re.MULTILINE)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="run specification, e.g. pipelines/specs/demo.yaml")
    parser.add_argument("--output", type=Path, help="default: pipelines/compiled/<name of the spec>.yaml")


def _run(arguments: Namespace) -> int:
    output = arguments.output or COMPILED / arguments.spec.name
    compile_spec(arguments.spec, output)
    show(output)
    return 0


command = Command(
    "compile",
    "write the pipeline as YAML for the Kubeflow Pipelines UI",
    "Compile the pipeline. The spec's settings become the defaults of its parameters; set `store` when you submit.",
    _add_arguments,
    _run,
)
