"""From compared texts to what is contaminated: examples and items, and the files that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from med42lib.core.json_file import write_json, write_json_lines
from med42lib.decontaminate.embedding.questions import Questions
from med42lib.decontaminate.similarity import Comparison
from med42lib.formats.contamination import (
    CONTAMINATED_FILE,
    NEAREST_FILE,
    PAIRS_FILE,
    STEMS_FILE,
    SUMMARY_FILE,
    Label,
    NearestExample,
    Pair,
)

# float32 embeddings carry no more.
COSINE_DECIMALS = 7


@dataclass(frozen=True, slots=True)
class Matches:
    """The pairs of items and examples that are too similar, and the nearest example of every item.

    `pairs` are sorted by item id, then from the most similar down, then by example id; `nearest` has one entry
    for every item, in the items' order. `stems` are pairs that share no more than a generic stem, in the same order:
    they are no leaks.
    """

    pairs: list[Pair]
    nearest: list[NearestExample]
    stems: list[Pair] = field(default_factory=list)

    @property
    def contaminated(self) -> dict[str, float]:
        """Map the id of each contaminated item to its highest similarity, sorted by id."""
        highest: dict[str, float] = {}
        for pair in self.pairs:
            highest.setdefault(pair.item_id, pair.cosine)
        return highest

    @property
    def contaminating(self) -> set[str]:
        """Ids of the training examples in pairs."""
        return {pair.example_id for pair in self.pairs}


def find_matches(examples: Questions, items: Questions, comparison: Comparison) -> Matches:
    """Spell out a comparison of texts for every example and item that has one of the texts."""
    return Matches(_pairs(examples, items, comparison), _nearest(examples, items, comparison))


def summarise(found: Matches, examples: Questions, items: Questions) -> dict[str, object]:
    """Count items and contaminated items per benchmark, and pairs per source, those without any included.

    `labels` counts pairs and items by what they share, those of `stems` included; `stems` counts the pairs that share
    no more than a generic stem.
    """
    num_items = Counter(items.groups)
    contaminated = found.contaminated
    flagged = Counter(entry.benchmark for entry in found.nearest if entry.item_id in contaminated)
    num_pairs = Counter(pair.source for pair in found.pairs)
    return {
        "benchmarks": {name: {"items": num_items[name], "contaminated": flagged[name]} for name in sorted(num_items)},
        "sources": {name: num_pairs[name] for name in sorted(set(examples.groups))},
        "labels": {label.value: _count_label(found, label) for label in Label},
        "stems": {
            "pairs": len(found.stems),
            "items": len({pair.item_id for pair in found.stems}),
            "items_otherwise_clean": len({pair.item_id for pair in found.stems} - contaminated.keys()),
        },
    }


def _count_label(found: Matches, label: Label) -> dict[str, int]:
    pairs = [pair for pair in (*found.pairs, *found.stems) if pair.label == label]
    return {"pairs": len(pairs), "items": len({pair.item_id for pair in pairs})}


def write_matches(folder: Path, found: Matches, *, threshold: float, summary: Mapping[str, object]) -> None:
    """Write the five files of the output `contamination`."""
    write_json(folder / CONTAMINATED_FILE, {"threshold": threshold, "items": found.contaminated})
    write_json_lines(folder / PAIRS_FILE, map(asdict, found.pairs))
    write_json_lines(folder / STEMS_FILE, map(asdict, found.stems))
    write_json_lines(folder / NEAREST_FILE, map(asdict, found.nearest))
    write_json(folder / SUMMARY_FILE, summary)


def _pairs(examples: Questions, items: Questions, comparison: Comparison) -> list[Pair]:
    example_rows = examples.records_by_text(comparison.pair_train_P.tolist())
    item_rows = items.records_by_text(comparison.pair_item_P.tolist())
    columns = (comparison.pair_train_P, comparison.pair_item_P, comparison.pair_cosine_P)
    pairs = [
        Pair(
            item_id=items.ids[item],
            benchmark=items.groups[item],
            example_id=examples.ids[example],
            source=examples.groups[example],
            cosine=round(cosine, COSINE_DECIMALS),
            item_text=items.texts[item_text],
            example_text=examples.texts[example_text],
        )
        for example_text, item_text, cosine in zip(*(column.tolist() for column in columns), strict=True)
        for item in item_rows[item_text]
        for example in example_rows[example_text]
    ]
    return _most_similar_turns(sorted(pairs, key=lambda pair: (pair.item_id, -pair.cosine, pair.example_id)))


def _most_similar_turns(pairs: list[Pair]) -> list[Pair]:
    """Keep one pair of an item and a conversation in which several turns are like it: the first, the most similar."""
    first: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        first.setdefault((pair.item_id, pair.example_id), pair)
    return list(first.values())


def _nearest(examples: Questions, items: Questions, comparison: Comparison) -> list[NearestExample]:
    text_rows, cosines = comparison.nearest_train_M.tolist(), comparison.nearest_cosine_M.tolist()
    records = examples.records_by_text(text_rows)
    return [
        NearestExample(
            item_id=items.ids[item],
            benchmark=items.groups[item],
            example_id=examples.ids[records[text_rows[text]][0]],
            cosine=round(cosines[text], COSINE_DECIMALS),
            stem_only=False,
        )
        for item, (text,) in enumerate(items.text_rows)
    ]
