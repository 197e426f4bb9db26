"""`med42 promote MODEL`: make a version of a registered model the champion."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from med42lib.commands.command import Command, show
from med42lib.core.errors import ConfigError, Problem, TrackingError, not_installed
from med42lib.core.printable import printable
from med42lib.core.redaction import redact
from med42lib.tracking.address import check_answers, quiet_mlflow, sqlite_file, sqlite_lock, tracking_address
from med42lib.tracking.names import CHAMPION, GATE_TAG, PASSED, PROMOTED_TAG

if TYPE_CHECKING:
    from med42lib.tracking.versions import Version, Versions

DESCRIPTION = """\
Give a version of a registered model the alias `champion`. Nothing else ever does: a run moves `candidate` alone.

  med42 promote med42-demo                the candidate becomes the champion
  med42 promote med42-demo --version 3    version 3 does, also to go back to it

A version that did not pass the gate of its run (register.gate), or that no run registered, is refused, unless you say
why it is to be used all the same (a spec without a gate lets every version pass):

  med42 promote med42-demo --version 4 --reason "only for the reading study, approved by the board"

MLflow is where MLFLOW_TRACKING_URI says, or the SQLite file of runs on this machine.
"""


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="name of the registered model (register.model_name)")
    parser.add_argument("--version", metavar="N", help="number of the version (default: the candidate)")
    parser.add_argument("--reason", help=f"why, though its gate did not pass; kept in the version's tag {PROMOTED_TAG}")


def _run(arguments: Namespace) -> int:
    address = tracking_address()
    file = sqlite_file(address)
    if file is not None and not file.exists():
        raise TrackingError(f"nothing is registered at {redact(address)}; run a spec first, or set MLFLOW_TRACKING_URI")
    check_answers(address)
    quiet_mlflow()
    try:
        from med42lib.tracking.connection import Connection
        from med42lib.tracking.versions import Versions
    except ModuleNotFoundError as error:
        raise not_installed(error, "`med42 promote`", "tracking") from error
    with sqlite_lock(address):
        said = _promote(
            Versions(Connection(address)), arguments.model, arguments.version, (arguments.reason or "").strip()
        )
    show(printable(said))
    return 0


def _promote(versions: Versions, model: str, number: str | None, reason: str) -> str:
    version = versions.find(model, number)
    objection = _objection(version)
    if objection and not reason:
        advice = "; give --reason if it is to be the champion all the same"
        raise ConfigError(f"version {version.number} of {model}", [Problem("gate", f"{objection}{advice}")])
    if objection:
        versions.tag(model, version.number, PROMOTED_TAG, f"{reason} (gate: {objection})")
    before = versions.set_alias(model, version.number, CHAMPION)
    return f"version {version.number} of {model} {_in_place_of(before, version)}{objection and f', though {objection}'}"


def _objection(version: Version) -> str:
    """Say what stands against a version; empty if it passed its gate."""
    found = version.tags.get(GATE_TAG)
    if found is None:
        return f"it has no tag {GATE_TAG}, so no gate was asked of it"
    return "" if found == PASSED else f"it did not pass: {found}"


def _in_place_of(before: str | None, version: Version) -> str:
    if before == version.number:
        return f"was the {CHAMPION} already"
    return f"is the {CHAMPION} now, {'the first' if before is None else f'in place of version {before}'}"


PROMOTE = Command("promote", "make a version of a registered model the champion", DESCRIPTION, _add_arguments, _run)
