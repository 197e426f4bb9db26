"""`med42 init FOLDER`: look at data of the user's own and at a base model, and write a first spec that runs."""

from __future__ import annotations

import re
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml

from med42lib.commands.command import Command, check_is_free, show
from med42lib.core.errors import ConfigError
from med42lib.core.printable import printable
from med42lib.first_spec.look import Found, look_at
from med42lib.first_spec.write import (
    DEMO_BASE,
    Parts,
    chunk_length,
    command_line,
    described,
    parts_of,
    remarks,
    spec_text,
)
from med42lib.planning.base_model import BaseModel, find_base
from med42lib.planning.mixture import plan_sources
from med42lib.readers.files import DataFolder
from med42lib.spec import RunSpec, parse_spec
from med42lib.store.address import lies_within
from med42lib.store.artifacts import Source
from med42lib.store.disk import write_errors

DESCRIPTION = f"""\
Look at the files of a folder and write a first spec, with comments: what each file holds, which fields were taken for
what, and what could not be told. Nothing is run, and a file that is there is never overwritten.

  med42 init ward                                        writes ward.yaml
  med42 init ward --base-model models/llama --spec mine.yaml

Files are JSON lines, JSON, CSV with a header, Parquet or Arrow, of conversations, instructions, or questions with
options; see med42lib/readers/own/README.md. Questions in a file that is called a test set (exam, test, questions ...,
unless its path says train) become the benchmark. Other rows in such a file are left out; all other files are trained
on. Without --base-model it is the demo's, a toy: {DEMO_BASE}.
"""
_LONGEST_NAME = 40
_TOY = ", the demo's toy, which shows that a run goes through and no more; --base-model names yours"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", help="address of the data: a folder, s3://bucket/prefix or package:name/path")
    parser.add_argument("--base-model", default=DEMO_BASE, metavar="ADDRESS", help="the model to start from")
    parser.add_argument("--spec", type=Path, metavar="FILE", help="file to write (default: the folder's name, .yaml)")


def _run(arguments: Namespace) -> int:
    name = _name(arguments.spec.stem if arguments.spec else arguments.folder)
    file = arguments.spec or Path(f"{name}.yaml")
    check_is_free("init", file, "name another, --spec FILE")
    with tempfile.TemporaryDirectory(prefix="med42-init-") as cache:
        data = Source(arguments.folder, cache=Path(cache) / "data")
        found = list(look_at(DataFolder(data)))
        parts = parts_of(found)
        text, base = _text(name, file, arguments, parts, found, Path(cache) / "base")
    with write_errors(file, instead="name another, --spec FILE"), file.open("x", encoding="utf-8") as stream:
        stream.write(text)
    outside = ", outside the data: --store FOLDER" if lies_within(f"runs/{name}", arguments.folder) else ""
    show(printable(_said(file, parts, found, base, arguments.base_model, outside)))
    return 0


def _name(address: str) -> str:
    """Make a run's name of the last part of an address."""
    last = address.rstrip("/").rpartition("/")[2].lower()
    name = re.sub(r"[^a-z0-9_-]+", "_", last).strip("_-")
    return (name if name[:1].isalpha() else f"run_{name}").rstrip("_")[:_LONGEST_NAME]


def _text(
    name: str, file: Path, arguments: Namespace, parts: Parts, found: Sequence[Found], cache: Path
) -> tuple[str, BaseModel]:
    """Write the spec twice: how long chunks may be is asked of the data and the base model that the first one names."""
    write = partial(spec_text, name, file, arguments.folder, arguments.base_model, parts, found=found)
    spec = _spec(write(length=chunk_length(0, None), notes=()))
    base = find_base(spec, cache)
    known = base.architecture
    context = base.num_positions
    tokens = sum(source.tokens for source in plan_sources(spec.assemble, arguments.folder, cache))
    reads = f"reads {context:,} tokens" if context else "could not be looked at: chunk_length is a guess"
    notes = [
        f"base model {arguments.base_model}: {reads}",
        f"about {tokens:,.0f} tokens to train on, by Llama-2's tokenizer",
    ]
    if known is not None and known.is_refused:
        notes.append(f"{known.model_type} cannot be trained: {known.full}")
    keeps_apart = known is None or not known.reads_across
    return write(length=chunk_length(tokens, context), notes=notes, keeps_apart=keeps_apart), base


def _spec(text: str) -> RunSpec:
    read = parse_spec(yaml.safe_load(text), title="the spec that init wrote")
    if read.spec is None:
        raise ConfigError(read.title, read.problems)
    return read.spec


def _said(file: Path, parts: Parts, found: Sequence[Found], base: BaseModel, address: str, outside: str) -> str:
    trained, asked = (
        [f"{named.name} ({named.found.path})" for named in side] for side in (parts.sources, parts.benchmarks)
    )
    to_say = ["whose the data are: `licence` of each"]
    to_say += [
        f"how {named.name} writes its answers" for named in (*parts.sources, *parts.benchmarks) if named.found.unsure
    ]
    to_say += ["which file is the test set"] if parts.only_guess else []
    return "\n".join(
        [
            *described(found),
            *remarks(parts),
            "",
            f"trains on  {', '.join(trained)}",
            f"asks       {', '.join(asked)}",
            f"starts at  {address}{_TOY if address == DEMO_BASE else ''}{_not_read(base)}",
            f"not told   {'; '.join(to_say)}",
            f"wrote      {file}: read it, then {command_line('plan', file)} and {command_line('run', file)}{outside}",
        ]
    )


def _not_read(base: BaseModel) -> str:
    return f", which could not be read, so that chunk_length is a guess: {base.why_not}" if base.config is None else ""


INIT = Command("init", "write a first spec for data of your own", DESCRIPTION, _add_arguments, _run)
