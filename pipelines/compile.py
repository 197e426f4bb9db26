"""`med42 compile`: the pipeline as YAML for the Kubeflow Pipelines UI, with a spec's settings filled in."""

from __future__ import annotations

import re
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.images import Images, read_images, with_images
from med42lib.commands.command import Command, add_overrides, add_processes, show
from med42lib.core.errors import ConfigError, Problem
from med42lib.core.log import log
from med42lib.planning.base_model import check_base
from med42lib.planning.scoring import scoring_problems
from med42lib.spec import RunSpec
from med42lib.spec_check import load_checked
from med42lib.store.address import is_folder
from med42lib.store.disk import make_folder, write_errors
from pipelines.arguments import pipeline_arguments

if TYPE_CHECKING:
    from components.pods import Pod

STORE_TO_FILL_IN = "s3://med42/runs"


@dataclass(frozen=True, slots=True)
class OfCluster:
    """What a cluster has of its own: the images of runtimes, and what pods ask for; None for the project's."""

    images: Images | None = None
    pods: Mapping[str, Pod] | None = None

    @classmethod
    def read(cls, arguments: Namespace) -> OfCluster:
        """Read the files that `add_cluster`'s options name."""
        images = read_images(arguments.images) if arguments.images else None
        if arguments.pods is None:
            return cls(images)
        from components.pods import read_pods

        return cls(images, read_pods(arguments.pods))


def compile_spec(
    spec_path: Path,
    output: Path,
    overrides: Sequence[str] = (),
    *,
    processes: int = 1,
    cluster: OfCluster | None = None,
) -> list[str]:
    """Compile the pipeline with the spec's settings as the defaults of its parameters.

    An input in a folder of this machine gets no default, since no cluster reaches it.

    Args:
        spec_path: The spec's file.
        output: The file to write.
        overrides: Changed fields of the spec, `section.field=value`.
        processes: Training processes on the cluster, over all machines; 1 if they are not known.
        cluster: Images and pods, where they are other than the project's own.

    Returns:
        The parameters that have no default.

    Raises:
        ConfigError: If anything is wrong with the spec, or it does not fit the base model.
        DataError: If the base model's config.json is broken.
    """
    spec = load_checked(spec_path, overrides, processes=processes)
    arguments = {"store": STORE_TO_FILL_IN, **pipeline_arguments(spec)}
    to_fill_in = [name for name, address in spec.inputs.model_dump().items() if is_folder(address)]
    defaults = {name: value for name, value in arguments.items() if name not in to_fill_in}
    make_folder(output.parent)
    compile_pipeline(spec, output, defaults, cluster or OfCluster())
    return to_fill_in


def compile_pipeline(spec: RunSpec, output: Path, defaults: Mapping[str, Any], cluster: OfCluster) -> dict[str, str]:
    """Compile the pipeline that trains a spec's models, with these defaults of its parameters.

    Returns:
        Its tasks: what people read, by what Kubeflow calls them.

    Raises:
        ConfigError: If the spec does not fit the base model, where that can be known here.
        DataError: If the base model's config.json is broken.
    """
    from kfp.compiler import Compiler

    from components.pods import PODS, scoring_memory
    from pipelines.med42 import med42

    pods = cluster.pods or PODS
    with tempfile.TemporaryDirectory(prefix="med42-compile-") as cache:
        base = check_base(spec, Path(cache))
    for problem in scoring_problems(spec, base, scoring_memory(pods)):  # `check` refuses what is then in the form
        log("compile").warning("%s", problem)
    pipeline = med42(list(spec.train), pods, shards=spec.shards())
    Compiler().compile(pipeline, str(output), pipeline_parameters=dict(defaults))
    text = without_chance(output.read_text(encoding="utf-8"))
    output.write_text(with_images(text, cluster.images) if cluster.images else text, encoding="utf-8")
    compiled = pipeline.pipeline_spec  # type: ignore[attr-defined]
    graphs = [compiled.root.dag, *(component.dag for component in compiled.components.values())]
    tasks = {key: task.task_info.name for graph in graphs for key, task in graph.tasks.items()}
    return {key: name for key, name in tasks.items() if not key.startswith("exit-handler-")}  # a group of the others


def without_chance(text: str) -> str:
    """Take out what would change a compiled file without a change of the pipeline.

    That is the SDK's patch version, and the spec in a comment at the top, in any order.
    """
    text = re.sub(r"^(sdkVersion: kfp-\d+\.\d+)\.\d+$", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"^(#    spec: dict) \[Default: .*$", r"\1", text, flags=re.MULTILINE)


DESCRIPTION = """\
Compile the pipeline. The spec's settings become the defaults of the six fields of the form that starts a run; `store`
is filled in there, and so is each address that is a folder of this machine in the spec. Everything is checked that
needs neither data nor the cluster: say with --processes how many will train there. Of a base model that can be reached
from here, config.json is read.

  med42 compile mine.yaml                                 writes mine.pipeline.yaml into the current folder
  med42 compile mine.yaml --output compiled/mine.yaml     or another file
"""


def add_cluster(parser: ArgumentParser) -> None:
    """Add the options that say what is other on a cluster than in the project."""
    parser.add_argument(
        "--images", type=Path, metavar="FILE", help="lock that names the images (default: images/images.lock.yaml)"
    )
    parser.add_argument(
        "--pods",
        type=Path,
        metavar="FILE",
        help="resources of tasks that are not those of components/pods.py, e.g. a line `evaluate: {gpus: 1}`",
    )


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="run specification, e.g. pipelines/specs/demo.yaml")
    add_overrides(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: ./<the spec's file name without .yaml>.pipeline.yaml"
    )
    add_cluster(parser)
    add_processes(parser, "not known, so the batch is checked when training starts")


def _run(arguments: Namespace) -> int:
    output = arguments.output or Path(f"{arguments.spec.stem}.pipeline.yaml")
    cluster = OfCluster.read(arguments)
    processes = arguments.processes or 1
    with write_errors(output, instead="name another file, --output FILE"):
        _check_output(output, arguments.spec)
        to_fill_in = compile_spec(arguments.spec, output, arguments.overrides, processes=processes, cluster=cluster)
    show(output)
    if to_fill_in:
        log("compile").warning("%s: folders of this machine; fill them in for each run", ", ".join(to_fill_in))
    return 0


def _check_output(output: Path, spec: Path) -> None:
    """Make sure, before anything works, that a pipeline can be written under this name, and is not over its spec."""
    if output.is_dir():
        what = f"is a folder; name a file in it ({output})"
    elif output.suffix not in (".yaml", ".yml"):
        what = f"must be a file that ends in .yaml (given: {output})"
    elif output.exists() and spec.exists() and output.samefile(spec):
        what = f"is the spec itself, which is left as it is; name another file ({output})"
    else:
        return
    raise ConfigError("med42 compile", [Problem("--output", what)])


command = Command(
    "compile",
    "write the pipeline as YAML for the Kubeflow Pipelines UI",
    DESCRIPTION,
    _add_arguments,
    _run,
)
