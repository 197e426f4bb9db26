"""The two records that stages exchange: a training example and a benchmark item.

Both know where they came from: publisher's id, file and line.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.hashing import content_hash
from med42lib.formats.scores import Normalise


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the answer to it; a conversation is a sequence of these."""

    prompter: str
    assistant: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record came from.

    `file` is relative to the data folder; `line` is 1-based, or the record's 1-based number in formats
    without lines (XML, one large JSON document).
    """

    publisher_id: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Example:
    """One training conversation.

    `question` is the first exchange's, without instructions, context or options: what decontamination embeds. `group`
    names what belongs together in a split, such as a patient; empty where the data know no groups.
    """

    source: str
    licence: str
    system: str
    exchanges: tuple[Exchange, ...]
    question: str
    origin: Origin
    group: str = ""

    @property
    def id(self) -> str:
        """Name the example by its source and content: the same on every machine and in any order."""
        spoken = [self.system, *(text for e in self.exchanges for text in (e.prompter, e.assistant))]
        return f"{self.source}/{content_hash(*spoken)}"


def right_positions(options: Sequence[str], gold: int) -> tuple[int, ...]:
    """List the 0-based positions of the options that say the same as the right one, which is among them.

    White space, a full stop at the end and Unicode's form make no other answer; case does, as "Bb" and "bb" are
    different genotypes.
    """
    said = [unicodedata.normalize("NFC", " ".join(option.split())).removesuffix(".") for option in options]
    return tuple([position for position, text in enumerate(said) if text == said[gold]])


@dataclass(frozen=True, slots=True)
class Asked:
    """How a task of lm-eval asks an item: its whole prompt, and what stands between that and an answer.

    `normalise` is what options are divided by before they are compared, `num_examples` how many answered questions the
    prompt begins with.
    """

    prompt: str
    delimiter: str
    normalise: Normalise
    num_examples: int = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """How a task of lm-eval has a model write its answer to an item: the whole prompt, and which answers are right.

    `settings` are those of the task that lm-eval generates and judges by, as its YAML has them. `num_examples` is how
    many answered questions the prompt begins with.
    """

    prompt: str
    answers: tuple[str, ...]
    settings: Mapping[str, Any]
    num_examples: int = 0


@dataclass(frozen=True, slots=True)
class BenchmarkItem:
    """One evaluation question: multiple-choice, or one whose answer the model writes, which has a `generation`.

    `gold` is the 0-based position of the right answer in `options`; None, and no options, where the answer is written.
    `context` is what the question refers to (PubMedQA's abstract), `subject` what it is about (a topic of MMLU, a
    specialty), `group` what it belongs to with others (a case, a patient); each is empty where there is none. `asked`
    says how, where the benchmark does so itself. With `asked` or `generation`, `question` is what is compared with
    training data.
    """

    id: str
    benchmark: str
    question: str
    context: str
    options: tuple[str, ...]
    gold: int | None
    origin: Origin
    subject: str = ""
    asked: Asked | None = None
    generation: Generation | None = None
    group: str = ""

    @property
    def right(self) -> tuple[int, ...]:
        """The positions of all options that are right: more than one where the right one stands twice."""
        return () if self.gold is None else right_positions(self.options, self.gold)

    @property
    def right_answers(self) -> tuple[str, ...]:
        """The texts of all right options, or all written answers that are right."""
        if self.generation:
            return self.generation.answers
        return tuple([self.options[position] for position in self.right])

    @property
    def has_bare_letters(self) -> bool:
        """Say whether the answers are letters alone: what these stand for is in the question then."""
        if self.generation:
            return set(self.generation.answers) <= set(ascii_uppercase)
        return self.options == tuple(ascii_uppercase[: len(self.options)])

    def to_json(self) -> str:
        """Write the item as one JSON line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> BenchmarkItem:
        """Read the item from one JSON line, as `to_json` wrote it."""
        values: dict[str, Any] = json.loads(line)
        values["options"] = tuple(values["options"])
        values["origin"] = Origin(**values["origin"])
        if values.get("asked"):
            values["asked"] = Asked(**values["asked"])
        if generation := values.get("generation"):
            values["generation"] = Generation(**{**generation, "answers": tuple(generation["answers"])})
        return cls(**values)


def asked_of_several_contexts(items: Iterable[BenchmarkItem]) -> set[str]:
    """Give the ids of items whose question other contexts have too ("Does this report mention pneumonia?").

    Case and white space make no other question. What such an item asks is in its context.
    """
    ids: dict[str, list[str]] = {}
    contexts: dict[str, set[str]] = {}
    for item in items:
        if item.context:
            question, context = (" ".join(text.casefold().split()) for text in (item.question, item.context))
            ids.setdefault(question, []).append(item.id)
            contexts.setdefault(question, set()).add(context)
    return {id for question, asking in ids.items() if len(contexts[question]) > 1 for id in asking}


ITEMS_FILE = "items.jsonl"


def write_items(folder: Path, items: Iterable[BenchmarkItem]) -> int:
    """Write benchmark items to `folder`, one JSON line each; returns how many."""
    count = 0
    with (folder / ITEMS_FILE).open("w", encoding="utf-8") as stream:
        for item in items:
            stream.write(item.to_json() + "\n")
            count += 1
    return count


def read_items(folder: Path) -> Iterator[BenchmarkItem]:
    """Read the benchmark items that `write_items` wrote.

    Raises:
        DataError: If a line cannot be read back, or two items have the same id.
    """
    path = folder / ITEMS_FILE
    seen: set[str] = set()
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                item = BenchmarkItem.from_json(line)
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(f"{path}:{number}: not a benchmark item ({error}); run benchmarks again") from error
            if item.id in seen:
                raise DataError(f"{path}:{number}: two benchmark items have the id {item.id!r}; run benchmarks again")
            seen.add(item.id)
            yield item
