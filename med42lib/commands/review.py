"""`med42 review`: pairs for people to judge, and how many of those that were flagged are leaks."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from med42lib.commands.command import Command, check_is_free, number, positive, show
from med42lib.core.errors import DataError
from med42lib.core.printable import printable
from med42lib.formats.contamination import PAIRS_FILE
from med42lib.store.artifacts import Source
from med42lib.store.disk import write_errors
from med42lib.store.manifest import MANIFEST_FILE

DESCRIPTION = """\
How many of the pairs that decontaminate found are leaks? People judge a sample; this draws it and reads it back.

  med42 review draw runs/demo/decontaminate/KEY/ATTEMPT/contamination sample.csv
  (write leak, not a leak or unsure into the column `verdict`, in a spreadsheet or an editor; it is a leak if the
  training text, once learned, gives the answer away)
  med42 review score runs/demo/decontaminate/KEY/ATTEMPT/contamination sample.csv

Labels and cosines are not in the sample, so that they sway nobody; rows come in random order, so that one may stop
early.
"""
DRAW_DESCRIPTION = """\
Write a random sample of pairs as CSV. Each label, each band of cosines (at 0.8, 0.85, 0.9 and 0.95) and what words
alone found are drawn from alike, as far as they go. The same seed draws the same; no file is overwritten.
"""
SCORE_DESCRIPTION = """\
Read a sample that was filled in, and print the share of leaks of each label, of all that was flagged, and of what words
alone found, with two intervals: of these very pairs, and of pairs that other questions would have, where those of one
question count as alike. A stratum counts by its size, whatever was drawn of it.
"""


def _add_arguments(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="what to do", metavar="WHAT", required=True)
    raw = RawDescriptionHelpFormatter
    draw = kinds.add_parser("draw", help="write a sample of pairs", description=DRAW_DESCRIPTION, formatter_class=raw)
    score = kinds.add_parser("score", help="read it back", description=SCORE_DESCRIPTION, formatter_class=raw)
    for kind in (draw, score):
        kind.add_argument("address", help="address of the output `contamination` of decontaminate")
        kind.add_argument("file", type=Path, help="the sample, a CSV file")
    draw.add_argument("--pairs", type=positive, default=200, metavar="N", help="how many (default: 200)")
    draw.add_argument("--seed", type=int, default=0, metavar="N", help="another one draws other pairs (default: 0)")
    draw.set_defaults(do=_draw)
    score.add_argument(
        "--confidence", type=_confidence, default=0.95, metavar="P", help="of the intervals (default: 0.95)"
    )
    score.set_defaults(do=_score)


def _confidence(text: str) -> float:
    value = number(text)
    if not 0.5 <= value < 1:
        raise ArgumentTypeError(f"must be a number from 0.5 to below 1 (given: {text!r})")
    return value


def _run(arguments: Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="med42-review-") as cache:
        contamination = Source(arguments.address, cache=Path(cache))
        _check_is_contamination(contamination)
        arguments.do(arguments, contamination)
    return 0


def _check_is_contamination(source: Source) -> None:
    """Refuse another place, a whole store for one, before its files are hashed; name what may be meant in it."""
    names = source.sizes()
    if PAIRS_FILE in names:
        return
    places = [name.removesuffix(f"/{PAIRS_FILE}") for name in sorted(names) if name.endswith(f"/{PAIRS_FILE}")]
    finished = [f"{source.address}/{place}" for place in places if f"{place}/{MANIFEST_FILE}" in names]
    there = f"; give one of these, which lie there:\n{chr(10).join(finished)}" if finished else ", and none lies there"
    raise DataError(f"{source.address} is no output `contamination` of decontaminate{there}")


def _draw(arguments: Namespace, contamination: Source) -> None:
    from med42lib.report.review import Pairs, write_sample

    file = arguments.file
    check_is_free("review", file, "name a new file")
    drawn = Pairs.read(contamination).draw(arguments.pairs, seed=arguments.seed)
    if not drawn:
        raise DataError(f"{contamination.address} holds no pairs: nothing was found, so there is nothing to judge")
    with write_errors(file, instead="name another file"):
        write_sample(file, drawn)
    show(printable(f"{len(drawn):,} pairs written to {file}"))


def _score(arguments: Namespace, contamination: Source) -> None:
    from med42lib.report.review import Pairs, precision_lines, read_verdicts

    pairs = Pairs.read(contamination)
    found = pairs.judge(read_verdicts(arguments.file, pairs), arguments.confidence)
    show(printable("\n".join(precision_lines(found, arguments.confidence))))


REVIEW = Command("review", "pairs for people to judge, and the precision they show", DESCRIPTION, _add_arguments, _run)
