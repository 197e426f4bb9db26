"""`med42 export DATASET FILE`: a data set in the form that other trainers read."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from med42lib.commands.command import Command, show
from med42lib.core.errors import ConfigError, Problem, not_installed
from med42lib.core.printable import printable
from med42lib.store.artifacts import Source

DESCRIPTION = """\
Write the rows of a data set in the form that TRL, axolotl and LLaMA-Factory train on: a Parquet file with a column
`messages`, the turns of a conversation as {"role": ..., "content": ...} with the roles system, user and assistant, and
each row's id, source and licence.

  med42 export runs/demo/assemble/KEY/ATTEMPT/dataset messages.parquet
  med42 export s3://bucket/prefix/decontaminate/KEY/ATTEMPT/training messages.parquet
"""


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("dataset", help="address of an output of assemble or of decontaminate")
    parser.add_argument("file", type=Path, help="file to write; one that is there is replaced")


def _run(arguments: Namespace) -> int:
    try:
        from med42lib.formats.dataset import EXAMPLES_FILE
        from med42lib.formats.messages import write_messages
    except ModuleNotFoundError as error:
        raise not_installed(error, "`med42 export`", "base") from error
    if not arguments.file.parent.is_dir():
        raise ConfigError("export", [Problem(str(arguments.file), "its folder does not exist; make it first")])
    with tempfile.TemporaryDirectory(prefix="med42-export-") as cache:
        examples = Source(arguments.dataset, cache=Path(cache)).path(EXAMPLES_FILE)
        count = write_messages(examples.parent, arguments.file)
    show(printable(f"{count:,} conversations written to {arguments.file}"))
    return 0


EXPORT = Command("export", "write a data set in the form that other trainers read", DESCRIPTION, _add_arguments, _run)
