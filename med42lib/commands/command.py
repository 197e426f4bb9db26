"""A subcommand of `med42`. Packages add theirs through the entry-point group `med42.commands`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

ENTRY_POINT_GROUP = "med42.commands"


@dataclass(frozen=True, slots=True)
class Command:
    """A name, one line of help, its arguments, and what it does; `run` returns the exit code."""

    name: str
    summary: str
    description: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]
