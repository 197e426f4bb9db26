"""`med42 k8s`: a spec's fine-tunes as jobs that `kubectl apply` runs, and the end of those that a run left."""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from med42lib.commands.command import Command, add_overrides, show
from med42lib.core.cluster_objects import RUN_VARIABLE
from med42lib.core.errors import ConfigError, Problem
from med42lib.core.excerpts import brief
from med42lib.core.printable import printable
from med42lib.planning.base_model import KNOWN_CONFIGS, BaseModel, known_name
from med42lib.planning.training import cluster_of, cluster_problems
from med42lib.spec import RunSpec
from med42lib.spec_check import load_checked
from med42lib.store.address import absolute_address
from med42lib.store.base import HUB_SCHEME, S3_SCHEME
from med42lib.train.job import OUTPUT, TrainingJob
from med42lib.train.launchers.cluster import Cluster
from med42lib.train.launchers.launcher import CLUSTER_LAUNCHER, launcher_name
from med42lib.train.launchers.pytorchjob import RUN_LABEL
from med42lib.train.launchers.template import JobTemplate, job_name, make_pytorchjob
from med42lib.train.launchers.trainjob import make_trainjob

DESCRIPTION = "Trainings on Kubernetes: write their manifests, or stop them."
RENDER_DESCRIPTION = """\
Write one PyTorchJob for each model of the spec's section `train`. Nothing is asked of a cluster or a store.

  med42 k8s render SPEC --template k8s/base/job_template.yaml --template k8s/components/kueue/40-queue.yaml \\
      --image REGISTRY/med42/train@sha256:... --store s3://bucket/runs \\
      --packed s3://bucket/runs/pack/KEY/ATTEMPT/packed --model s3://bucket/runs/fetch_model/KEY/ATTEMPT/model
  kubectl apply -f k8s/jobs/med42-lora.yaml

The job holds its settings and addresses, so nothing else has to run. What was trained is at the address that is
printed, also an annotation of the job; give it to `med42 stage`. It is complete when the job has succeeded, and has no
manifest: the stage `train` with MED42_LAUNCHER=pytorchjob seals its output, watches, and keeps deadlines.

Experimental: with `--as trainjob`, a TrainJob of Kubeflow Trainer 2 in its place, which trains to the same address;
k8s/trainjob.md says what is different then.
"""
STOP_DESCRIPTION = """\
Delete the PyTorchJobs of a run that are not finished: for a pipeline's exit handler, since a step that is asked to stop
cannot know whether its run is. No such job is no error.
"""
DEFAULT_OUTPUT = Path("k8s/jobs")
PYTORCHJOB, TRAINJOB = "pytorchjob", "trainjob"
TRAINJOB_HEADER = """\
# Experimental: a TrainJob for Kubeflow Trainer 2.0 to 2.3 (alpha, with JobSet), and the runtime that it names; see
# k8s/trainjob.md. The supported kind is PyTorchJob: leave out `--as trainjob`. If Trainer has not seen the runtime yet
# ("must be created before the TrainJob"), apply the file again.
"""
PREFIX, ATTEMPT = "by_hand", "job"
RESULT_ANNOTATION = "med42.io/result"
_REMOTE = (S3_SCHEME, HUB_SCHEME)
_USES = {"packed": "reach", "model": "reach", "store": "can write to"}
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def rendered_jobs(
    spec: RunSpec, template: JobTemplate, *, packed: str, model: str, store: str, kind: str = PYTORCHJOB
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Make the job of each of the spec's models.

    Args:
        spec: Names the models.
        template: What the platform decides.
        packed: Address of an output of `pack`.
        model: Address of an output of `fetch_model`.
        store: Address of the store that what is trained goes to.
        kind: PYTORCHJOB or TRAINJOB; both have the same name, and train the same to the same address.

    Yields:
        The model's name and its objects, the job last. Equal arguments give equal jobs, and others another name.
    """
    for name, config in spec.train.items():
        label = f"{spec.name}-{name}"
        unnamed = TrainingJob(config, packed, model, model, store, PREFIX, ATTEMPT)
        unique = job_name(label, unnamed.to_json(), template.model_dump())
        job = TrainingJob(config, packed, model, model, store, f"{PREFIX}/{unique}", ATTEMPT)
        annotations = {RESULT_ANNOTATION: f"{job.upload.address}/{OUTPUT}"}
        arguments = ["--job-json", job.to_json()]
        yield name, _objects(kind, template, unique, arguments, annotations)


def _objects(
    kind: str, template: JobTemplate, name: str, arguments: list[str], annotations: dict[str, str]
) -> list[dict[str, Any]]:
    if kind == TRAINJOB:
        return make_trainjob(template, name, arguments, labels={}, annotations=annotations)
    return [make_pytorchjob(template, name, arguments, labels={}, annotations=annotations)]


def _add_arguments(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="what to do", metavar="WHAT", required=True)
    render = kinds.add_parser(
        "render",
        help="write a job for each model",
        description=RENDER_DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
    )
    render.add_argument("spec", type=Path, help="run specification, e.g. pipelines/specs/med42.yaml")
    render.add_argument(
        "--template",
        type=Path,
        required=True,
        action="append",
        dest="templates",
        metavar="FILE",
        help="template of training jobs; repeated, patches of it in their order; or a folder of these alone",
    )
    render.add_argument(
        "--as",
        dest="kind",
        choices=(PYTORCHJOB, TRAINJOB),
        default=PYTORCHJOB,
        help="kind of job (default: %(default)s); trainjob is experimental",
    )
    render.add_argument("--image", help="image to train in (default: the one that the template names)")
    for name, what in (("packed", "output of pack"), ("model", "output of fetch_model"), ("store", "the store")):
        render.add_argument(f"--{name}", required=True, metavar="ADDRESS", help=f"address of {what}")
    add_overrides(render)
    render.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="folder (default: %(default)s)")
    render.set_defaults(do=_render)
    stop = kinds.add_parser("stop", help="delete a run's PyTorchJobs", description=STOP_DESCRIPTION)
    stop.add_argument(
        "--run", dest="run_id", default=os.environ.get(RUN_VARIABLE), help="default: MED42_RUN, as in the run's drivers"
    )
    stop.add_argument("--if-launched", action="store_true", help="only where MED42_LAUNCHER=pytorchjob makes them")
    stop.set_defaults(do=_stop)


def _run(arguments: Namespace) -> int:
    return int(arguments.do(arguments))


def _stop(arguments: Namespace) -> int:
    if arguments.if_launched and launcher_name() != CLUSTER_LAUNCHER:
        show("nothing to stop: trainings here run in their own steps")
        return 0
    if not _LABEL_VALUE.fullmatch(arguments.run_id or ""):
        given = f"is no value of a label (given: {brief(arguments.run_id)})" if arguments.run_id else "is required"
        raise ConfigError("med42 k8s stop", [Problem("--run", f"{given}: the run's id in Kubeflow Pipelines")])
    cluster = Cluster.connect()
    for name in cluster.names(f"{RUN_LABEL}={arguments.run_id}"):
        cluster.delete(name)
        show(printable(f"deleted the PyTorchJob {name}"))
    return 0


def _render(arguments: Namespace) -> int:
    template = JobTemplate.read(*arguments.templates)
    if arguments.image:
        template = template.with_image(arguments.image)
    spec = load_checked(arguments.spec, arguments.overrides, processes=template.num_processes)
    _check_machines(spec, template)
    addresses = _reachable({name: getattr(arguments, name) for name in ("packed", "model", "store")})
    arguments.output.mkdir(parents=True, exist_ok=True)
    header = TRAINJOB_HEADER if arguments.kind == TRAINJOB else ""
    for name, objects in rendered_jobs(spec, template, **addresses, kind=arguments.kind):
        path = arguments.output / f"{spec.name}-{name}.yaml"
        path.write_text(header + yaml.safe_dump_all(objects, sort_keys=False, width=120), encoding="utf-8")
        result = objects[-1]["metadata"]["annotations"][RESULT_ANNOTATION]
        show(printable(f"{path}: what is trained will be at {result}"))
    return 0


def _check_machines(spec: RunSpec, template: JobTemplate) -> None:
    """Make sure that the GPUs which the template names compute and hold what the spec trains, as far as names tell.

    Raises:
        ConfigError: If they do not; all problems at once.
    """
    cluster, known = cluster_of(template), known_name(spec.inputs.base_model)
    base = BaseModel(KNOWN_CONFIGS[known] if known else None, spec.inputs.base_model)
    if cluster is not None and (problems := list(cluster_problems(spec, base, cluster))):
        raise ConfigError("the spec and the GPUs that the template names", problems)


def _reachable(addresses: Mapping[str, str]) -> dict[str, str]:
    """Make sure that every node can reach the addresses.

    Raises:
        ConfigError: If some are folders of this machine; all of them at once.
    """
    problems = [
        Problem(f"--{name}", f"is no address that a cluster's nodes {_USES[name]}: {address}; give s3://bucket/prefix")
        for name, address in addresses.items()
        if not address.startswith(S3_SCHEME if name == "store" else _REMOTE)
    ]
    if problems:
        raise ConfigError("med42 k8s render", problems)
    return {name: absolute_address(address) for name, address in addresses.items()}


K8S = Command("k8s", "write manifests of trainings on Kubernetes, or stop these", DESCRIPTION, _add_arguments, _run)
