"""The `med42` command: its own subcommands, and those that installed packages add."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from io import TextIOWrapper
from types import FrameType

from med42lib import __version__
from med42lib.commands.check import CHECK
from med42lib.commands.command import ENTRY_POINT_GROUP, Command, flush_output
from med42lib.commands.doctor import DOCTOR
from med42lib.commands.export import EXPORT
from med42lib.commands.init import INIT
from med42lib.commands.inspection import INSPECT
from med42lib.commands.k8s import K8S
from med42lib.commands.plan import PLAN
from med42lib.commands.promote import PROMOTE
from med42lib.commands.review import REVIEW
from med42lib.commands.stage import STAGE
from med42lib.core.environment import heed_given_proxies, in_pod, limit_threads
from med42lib.core.errors import INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE, Med42Error, last_line
from med42lib.core.log import log, safe_message, set_up_logging, tell
from med42lib.core.process import children_import_nothing_from_here

logger = log("med42")
INTERRUPTED = "interrupted; run the same command again to go on: finished stages are kept"

DESCRIPTION = "Fine-tune a medical language model, and know whether the numbers can be trusted."
EPILOG = """\
start here:
  med42 run pipelines/specs/demo.yaml              the whole run on this machine, in minutes
  med42 init FOLDER                                a first spec for data of your own
  med42 run SPEC --set train.full.epochs=2         change a field of the spec for one run
  med42 run SPEC --store s3://bucket/prefix        keep all outputs in a bucket
  med42 plan SPEC                                  rows, steps, the smallest cluster; with --on, hours and money
  med42 doctor --local                             what is missing here, before anything is spent
  med42 inspect dataset --store runs/demo          a training row's history, from raw to packed tokens
  med42 review draw CONTAMINATION sample.csv       leaked pairs for people to judge
  med42 export DATASET messages.parquet            the training rows for TRL, axolotl or LLaMA-Factory
  med42 promote MODEL                              the candidate of the registered model becomes its champion
  mlflow ui --workers 1 --backend-store-uri sqlite:///runs/mlflow.db    metrics and models of local runs

exit codes: 0 done, 2 wrong settings, 3 bad data, 4 this machine lacks something, 5 training diverged, 6 a training
process died, 7 credentials, 8 store, 9 disk full, 10 MLflow, 11 a submitted run failed, 12 training gets no further;
worth a retry: 172 object store, 173 Kubernetes or Kubeflow API server, 174 MLflow server unreachable
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; errors of the user's are printed, not raised, and so are our own, with their traceback."""
    children_import_nothing_from_here()
    limit_threads()
    heed_given_proxies()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error is: a Latin-1 terminal has no dash
    signal.signal(signal.SIGTERM, _on_terminate)
    try:
        arguments = _parser(_commands()).parse_args(argv)
        return _run(arguments)
    finally:
        flush_output()


def _run(arguments: argparse.Namespace) -> int:
    try:
        set_up_logging()
        return int(arguments.command.run(arguments))
    except Med42Error as error:
        tell("med42", f"\nerror: {safe_message(str(error))}", level=logging.ERROR)
        if in_pod():
            tell("med42", safe_message(last_line(error)), level=logging.ERROR)
        return error.exit_code
    except KeyboardInterrupt:
        tell("med42", f"\n{INTERRUPTED}", level=logging.ERROR)
        return INTERRUPTED_EXIT_CODE
    except Exception:
        logger.exception("this is a bug of ours; please report it with these lines:")
        return Med42Error.exit_code


def _on_terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED_EXIT_CODE)


def _commands() -> list[Command]:
    added = [entry.load() for entry in entry_points(group=ENTRY_POINT_GROUP)]
    return [*added, INIT, PLAN, CHECK, STAGE, INSPECT, REVIEW, EXPORT, PROMOTE, K8S, DOCTOR]


def _parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("med42", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"med42 {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        sub = subparsers.add_parser(
            command.name, help=command.summary, description=command.description, formatter_class=raw
        )
        command.add_arguments(sub)
        sub.set_defaults(command=command)
    return parser
