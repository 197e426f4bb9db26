"""A subcommand of `med42`. Packages add theirs through the entry-point group `med42.commands`."""

import math
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from med42lib.core.errors import ConfigError, Problem, full_disk

ENTRY_POINT_GROUP = "med42.commands"


@dataclass(frozen=True, slots=True)
class Command:
    """A name, one line of help, its arguments, and what it does; `run` returns the exit code."""

    name: str
    summary: str
    description: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def add_overrides(parser: ArgumentParser) -> None:
    """Add the option that changes fields of a spec."""
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="SECTION.FIELD=VALUE", help="may be repeated"
    )


def add_processes(parser: ArgumentParser, default: str) -> None:
    """Add the option that says how many processes will train, where that is another machine."""
    parser.add_argument(
        "--processes",
        type=positive,
        metavar="N",
        help=f"training processes, over all machines; global_batch_size must fit them (default: {default})",
    )


def positive(text: str) -> int:
    """Read an argument that is a whole number above 0."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise ArgumentTypeError(f"must be a whole number above 0 (given: {text!r})")
    return number


def number(text: str) -> float:
    """Read an argument that is a number; NaN, which is in no range, for anything else."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def check_is_free(command: str, path: Path, advice: str) -> None:
    """Make sure that a new file or folder can be made.

    Raises:
        ConfigError: If something is there, where the advice is given, or if its folder is not.
    """
    if path.exists():
        raise ConfigError(command, [Problem(str(path), f"is there already; {advice}")])
    check_has_folder(command, path)


def check_has_folder(command: str, path: Path) -> None:
    """Make sure that the folder is there in which a file or folder is to be made.

    Raises:
        ConfigError: If it is not.
    """
    if not path.parent.is_dir():
        raise ConfigError(command, [Problem(str(path), "its folder does not exist; make it first")])


def show(text: object) -> None:
    """Print a result at once. When its reader (`| head`) has seen enough, the rest goes nowhere.

    Raises:
        NoSpaceError: If it goes to a file, whose disk is full.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        if no_space := full_disk(error, "standard output"):
            raise no_space from error
        if not isinstance(error, BrokenPipeError):
            raise


def flush_output() -> None:
    """Write what is left for standard output and error: what cannot be written at exit makes the code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
