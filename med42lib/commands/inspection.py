"""`med42 inspect dataset`: one training row's whole history, from the publisher's file to packed tokens."""

from __future__ import annotations

import json
import shutil
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from med42lib.commands.command import Command, show
from med42lib.core.errors import not_installed

if TYPE_CHECKING:
    from med42lib.store.artifacts import Source

DESCRIPTION = "Look into what a run was made from. Nothing is run or written."
DATASET_DESCRIPTION = """\
Show one training row's whole history: the publisher's record, the conversation that assemble made of it, the
evaluation items that decontaminate found it like, and its packed tokens with the loss mask. Without --id, list some
rows of each source. Nothing is written; files of a remote store are fetched into a temporary folder.

  med42 inspect dataset --store runs/demo                     some ids
  med42 inspect dataset --store runs/demo --id medquad/3fa9   a row, by its id or the beginning or end of it
  med42 inspect dataset --id 3fa9 s3://bucket/prefix/pack/KEY/ATTEMPT/packed

Of several runs in a store, the newest packed output that was made from the row is shown. Tokens with loss are green
and the others dim; without a terminal, or with NO_COLOR set, tokens with loss stand in [brackets].
"""
DEFAULT_STORE = "runs/demo"
MAX_WIDTH = 120


def _add_arguments(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="what to inspect", metavar="WHAT", required=True)
    dataset = kinds.add_parser(
        "dataset",
        help="one training row, from raw to packed tokens",
        description=DATASET_DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
    )
    row = dataset.add_mutually_exclusive_group()
    row.add_argument("--id", help="the row's id, or enough of its beginning or end")
    row.add_argument("--random", action="store_true", help="list other rows each time")
    dataset.add_argument("--store", default=DEFAULT_STORE, help="address of the store (default: %(default)s)")
    dataset.add_argument("addresses", nargs="*", metavar="ADDRESS", help="output of pack to look in, not in a store")
    dataset.add_argument("--json", action="store_true", help="print JSON, for programs")


def _run(arguments: Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="med42-inspect-") as cache:
        try:
            for line in _lines(arguments, Path(cache)):
                show(line)
        except ModuleNotFoundError as error:
            raise not_installed(error, "`med42 inspect`", "base") from error
    return 0


def _lines(arguments: Namespace, cache: Path) -> Iterable[str]:
    roots = _roots(arguments.addresses, arguments.store, cache)
    return _row(arguments, roots, cache) if arguments.id is not None else _list(arguments, roots, cache)


def _roots(addresses: Sequence[str], store: str, cache: Path) -> list[Source]:
    from med42lib.inspection.find import newest_outputs, open_outputs

    return open_outputs(addresses, cache) if addresses else newest_outputs(store, cache)


def _row(arguments: Namespace, roots: Sequence[Source], cache: Path) -> Iterable[str]:
    from med42lib.inspection.find import find_row
    from med42lib.inspection.history import history
    from med42lib.inspection.show import Style, history_lines, use_colour

    found = history(find_row(roots, arguments.id, cache), cache)
    if arguments.json:
        return [json.dumps(asdict(found), indent=1)]
    return history_lines(found, Style(use_colour()), _width())


def _list(arguments: Namespace, roots: Sequence[Source], cache: Path) -> Iterable[str]:
    from med42lib.inspection.find import first_data_set, some_rows
    from med42lib.inspection.show import Style, listing_lines, use_colour

    dataset = first_data_set(roots, cache)
    listed = some_rows(dataset, at_random=arguments.random)
    address = dataset.output.source.address
    if arguments.json:
        sources = [asdict(source) for source in listed]
        return [json.dumps({"dataset": address, "sources": sources}, indent=1)]
    return listing_lines(listed, address, Style(use_colour()), _width())


def _width() -> int:
    return min(MAX_WIDTH, shutil.get_terminal_size((100, 24)).columns)


INSPECT = Command("inspect", "show a training row from raw to packed tokens", DESCRIPTION, _add_arguments, _run)
