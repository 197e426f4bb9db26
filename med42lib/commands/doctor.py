"""`med42 doctor`: what stands in a run's way, all at once, before anything is spent."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from med42lib.commands.command import Command, show
from med42lib.core.errors import EnvironmentProblem
from med42lib.core.log import safe_message
from med42lib.doctor.checks import check_cluster, check_here
from med42lib.doctor.finding import Finding, Level
from med42lib.store.address import absolute_address

DESCRIPTION = """\
Look at everything that a run needs around it, and say in one line each what was found, and what to do:

  ok            as it should be
  warning       may be in the way, or will be later
  problem       will be in the way; the exit code is 4 if there is any
  not checked   could not be looked at from here, and why

in a pod under the service account med42-driver:
  med42 doctor --store s3://bucket/runs
as the platform's engineer, by kubeconfig:
  med42 doctor --service-account med42-driver --image REGISTRY/med42/train@sha256:...
on one machine that runs everything:
  med42 doctor --local --store runs/demo

Nothing is made but a file below .check/ of the store, which goes again, and a marker there. What the API server would
say to a job and a pod of the template is asked by dry run.
"""


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--local", action="store_true", help="this machine alone, without a cluster")
    parser.add_argument(
        "--store",
        metavar="ADDRESS",
        help="the store; without it neither store nor MLflow is looked at (default with --local: runs/store)",
    )
    parser.add_argument("--service-account", metavar="NAME", help="whose rights to ask for (default: who asks)")
    parser.add_argument(
        "--template",
        type=Path,
        action="append",
        default=[],
        dest="templates",
        metavar="FILE",
        help="template of training jobs, and patches (default: the environment's, or the namespace's)",
    )
    parser.add_argument("--image", help="image to train in (default: the one that the template names)")


def _run(arguments: Namespace) -> int:
    store = absolute_address(arguments.store) if arguments.store else None
    if arguments.local:
        return _shown(check_here(store or absolute_address("runs/store")))
    found = check_cluster(
        store, account=arguments.service_account, templates=arguments.templates, image=arguments.image
    )
    return _shown(found)


def _shown(findings: Iterable[Finding]) -> int:
    """Show findings as they come; gives the exit code."""
    counts = dict.fromkeys(Level, 0)
    for finding in findings:
        counts[finding.level] += 1
        show(safe_message(str(finding)))
    show(", ".join(f"{count} {level}" for level, count in counts.items()))
    return EnvironmentProblem.exit_code if counts[Level.PROBLEM] else 0


DOCTOR = Command("doctor", "say what stands in a run's way, here or on the cluster", DESCRIPTION, _add_arguments, _run)
