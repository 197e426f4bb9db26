"""What a pair shares: the rules of `formats.contamination.Label`, decided from stem, options and answer of both sides.

one question of several contexts, and the example has another one?  ──yes──  stem_only
         │ no
asks in the same words?   ──yes──  answers with the right option?   ──yes──  same_answer
         │                                    │
         │                            the stem is all generic, and the matter another?  ──yes──  stem_only
         │                                    └──no──  other_options
         └──no──  speaks of the right option, or of half the options?   ──yes──  reworded
                          └──no──  the stem is generic?   ──yes──  stem_only   ──no──  topic_only
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from med42lib.decontaminate.matches import Matches, pair_order
from med42lib.decontaminate.stems import agrees, has_context, is_generic, telling_options
from med42lib.decontaminate.words import spaced
from med42lib.formats.contamination import Label, NearestExample, Pair
from med42lib.formats.dataset import EXAMPLES_FILE, read_columns
from med42lib.formats.prompt import question_and_options
from med42lib.formats.records import ITEMS_FILE, BenchmarkItem, asked_of_several_contexts, read_items
from med42lib.store.artifacts import Source

_OPTION_LINE = re.compile(r"^A[.)] ", re.MULTILINE)
_LETTER = re.compile(r"^[A-Z][.)] ")
_CHOSEN = re.compile(r"\s*\(?([A-Z])(?:[.):]|\s*$)")


@dataclass(frozen=True, slots=True)
class Said:
    """What a training example says in all its turns; the first of `questions` is the bare one."""

    questions: tuple[str, ...]
    requests: tuple[str, ...]
    answers: tuple[str, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Said:
        """Read a row of `formats.dataset` with `question` and `exchanges`."""
        requests = tuple(exchange["prompter"] for exchange in row["exchanges"])
        answers = tuple(exchange["assistant"] for exchange in row["exchanges"])
        return cls((row["question"], *requests[1:]), requests, answers)

    @property
    def text(self) -> str:
        """Give all of it."""
        return "\n".join((*self.requests, *self.answers))

    def asks(self, question: str) -> bool:
        """Say whether a turn asks a question in its own words."""
        return spaced(question) in map(spaced, self.questions)

    def gives_right_option(self, item: BenchmarkItem) -> bool:
        """Say whether an answer gives an item's right one; where answers are letters alone, begins with it."""
        if item.has_bare_letters:
            return any(found[1] in item.right_answers for found in map(_CHOSEN.match, self.answers) if found)
        return any(map(self._says, item.right_answers))

    def _says(self, option: str) -> bool:
        """Say whether an answer says an option: anywhere, or in its first line where options are shown."""
        shown = bool(_OPTION_LINE.search("\n".join(self.requests)))
        told = [_LETTER.sub("", answer.split("\n", 1)[0]) if shown else answer for answer in self.answers]
        return any(spaced(option) in spaced(answer) for answer in told)


def label_of(item: BenchmarkItem, said: Said, *, of_several_contexts: bool = False) -> Label:
    """Label a pair by the first rule that holds, where the item's question may be one `of_several_contexts`."""
    if of_several_contexts and not has_context(item.context, said.text):
        return Label.STEM_ONLY
    same_words = said.asks(item.question)
    if same_words and said.gives_right_option(item):
        return Label.SAME_ANSWER
    if _is_stem(item, said):
        return Label.STEM_ONLY
    if same_words:
        return Label.OTHER_OPTIONS
    return Label.REWORDED if agrees(item, said.text) or not telling_options(item) else Label.TOPIC_ONLY


def _is_stem(item: BenchmarkItem, said: Said) -> bool:
    """Say whether the two share no more than a generic stem.

    Where the same words ask, it has no word of its own: "What causes scurvy?" is one question, however it is answered.
    """
    if not is_generic(item.question) or agrees(item, said.text):
        return False
    return not said.asks(item.question) or is_generic(item.question, most_own_words=0)


def label_matches(found: Matches, dataset: Source, items: Source, *, tell_stems_apart: bool) -> Matches:
    """Label all pairs, and say all that both sides say.

    Args:
        found: Pairs as `find_matches` and `add_overlaps` give them.
        dataset: The examples that were compared.
        items: The items that they were compared with.
        tell_stems_apart: Whether pairs that share no more than a generic stem go to `stems`, and nearest examples that
            do are marked.
    """
    asked = {item.id: item for item in read_items(items.path(ITEMS_FILE).parent)}
    compared: list[Pair | NearestExample] = [*found.pairs, *found.overlaps, *found.nearest]
    said = _read_said(dataset, {row.example_id for row in compared})
    of_several = asked_of_several_contexts(asked.values())

    def label(row: Pair | NearestExample) -> Label:
        several = row.item_id in of_several
        return label_of(asked[row.item_id], said[row.example_id], of_several_contexts=several)

    # Each text once: an item or example may be in thousands of pairs.
    items_say = {id: (question_and_options(item), _right_answer(item)) for id, item in asked.items()}
    examples_say = {id: ("\n\n".join(one.requests), "\n\n".join(one.answers)) for id, one in said.items()}
    pairs, overlaps = (
        [_labelled(pair, label(pair), items_say[pair.item_id], examples_say[pair.example_id]) for pair in kind]
        for kind in (found.pairs, found.overlaps)
    )
    if not tell_stems_apart:
        return replace(found, pairs=pairs, overlaps=overlaps)
    nearest = [replace(near, stem_only=label(near) == Label.STEM_ONLY) for near in found.nearest]
    stems = [pair for pair in (*pairs, *overlaps) if pair.label == Label.STEM_ONLY]
    return Matches(_no_stems(pairs), nearest, _no_stems(overlaps), sorted(stems, key=pair_order))


def _no_stems(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.label != Label.STEM_ONLY]


def _labelled(pair: Pair, label: Label, item_says: tuple[str, str], example_says: tuple[str, str]) -> Pair:
    return replace(
        pair,
        label=label.value,
        item_request=item_says[0],
        item_answer=item_says[1],
        example_request=example_says[0],
        example_answer=example_says[1],
    )


def _right_answer(item: BenchmarkItem) -> str:
    """Write the right option with its letter, or all right answers of an item without options."""
    if item.gold is None:
        return " or ".join(item.right_answers)
    return f"{ascii_uppercase[item.gold]}. {item.options[item.gold]}"


def _read_said(dataset: Source, wanted: Collection[str]) -> dict[str, Said]:
    """Read what some examples say, by their ids."""
    ids = pa.array(sorted(wanted), pa.string())
    folder = dataset.path(EXAMPLES_FILE).parent
    every = read_columns(folder, ("id", "question", "exchanges"))
    tables = (table.filter(pc.is_in(table["id"], ids)) for table in every)
    rows: Iterable[Mapping[str, Any]] = (row for table in tables for row in table.to_pylist())
    return {row["id"]: Said.of(row) for row in rows}
