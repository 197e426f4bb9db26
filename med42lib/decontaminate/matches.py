"""From compared texts to what is contaminated: examples and items, and the files that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from med42lib.core.json_file import write_json, write_json_lines
from med42lib.core.log import log
from med42lib.decontaminate.embedding.questions import Questions
from med42lib.decontaminate.similarity import Comparison
from med42lib.formats.contamination import (
    CONTAMINATED_FILE,
    NEAREST_FILE,
    OVERLAPS_FILE,
    PAIRS_FILE,
    STEMS_FILE,
    SUMMARY_FILE,
    Detector,
    Label,
    NearestExample,
    Pair,
)

# float32 embeddings carry no more.
COSINE_DECIMALS = 7
_FOUND_BY = ("cosine", "both", "overlap")


@dataclass(frozen=True, slots=True)
class Matches:
    """The pairs of items and examples that are too similar, and the nearest example of every item.

    `pairs` are sorted by item id, then from the most similar down, then by example id; `nearest` has one entry
    for every item, in the items' order. In the order of `pairs`, `overlaps` are what the second detector alone finds,
    and `stems` are pairs of either that share no more than a generic stem: they are no leaks.
    """

    pairs: list[Pair]
    nearest: list[NearestExample]
    overlaps: list[Pair] = field(default_factory=list)
    stems: list[Pair] = field(default_factory=list)

    @property
    def contaminated(self) -> dict[str, float]:
        """Map the id of each contaminated item to its highest similarity, sorted by id."""
        highest: dict[str, float] = {}
        for pair in self.pairs:
            highest.setdefault(pair.item_id, pair.cosine)
        return highest

    def contaminating(self, *, overlaps_too: bool) -> set[str]:
        """Ids of the training examples in pairs; of those that the second detector alone finds only if asked for."""
        return {pair.example_id for pair in (*self.pairs, *(self.overlaps if overlaps_too else ()))}


def find_matches(examples: Questions, items: Questions, comparison: Comparison) -> Matches:
    """Spell out a comparison of texts for every example and item that has one of the texts."""
    return Matches(_pairs(examples, items, comparison), _nearest(examples, items, comparison))


def summarise(found: Matches, examples: Questions, items: Questions) -> dict[str, object]:
    """Count items and contaminated items per benchmark, and pairs per source, those without any included.

    `labels` counts pairs by what they share and by what finds them (cosine alone, both detectors, overlap alone), those
    of `stems` included; `detectors` counts items by what finds them; `stems` counts the pairs that the cosine finds,
    but that share no more than a generic stem.
    """
    num_items = Counter(items.groups)
    contaminated = found.contaminated
    flagged = Counter(entry.benchmark for entry in found.nearest if entry.item_id in contaminated)
    num_pairs = Counter(pair.source for pair in found.pairs)
    stems = [pair for pair in found.stems if Detector.COSINE in pair.detectors]
    return {
        "benchmarks": {name: {"items": num_items[name], "contaminated": flagged[name]} for name in sorted(num_items)},
        "sources": {name: num_pairs[name] for name in sorted(set(examples.groups))},
        "labels": {label.value: _count_label(found, label) for label in Label},
        "detectors": _count_items(found),
        "stems": {
            "pairs": len(stems),
            "items": len({pair.item_id for pair in stems}),
            "items_otherwise_clean": len({pair.item_id for pair in stems} - contaminated.keys()),
        },
    }


def _count_label(found: Matches, label: Label) -> dict[str, object]:
    pairs = [pair for pair in (*found.pairs, *found.overlaps, *found.stems) if pair.label == label]
    by = Counter(map(_found_by, pairs))
    return {"pairs": {name: by[name] for name in _FOUND_BY}, "items": len({pair.item_id for pair in pairs})}


def _found_by(pair: Pair) -> str:
    """Say which of the two detectors found a pair; exact words and n-grams are the second."""
    if pair.detectors == [Detector.COSINE]:
        return "cosine"
    return "both" if Detector.COSINE in pair.detectors else "overlap"


def _count_items(found: Matches) -> dict[str, int]:
    """Count the items by the detectors that find them in training, stems left out."""
    by_cosine = found.contaminated.keys()
    by_overlap = {pair.item_id for pair in (*found.pairs, *found.overlaps) if _found_by(pair) != "cosine"}
    counts = {"cosine": by_cosine - by_overlap, "both": by_cosine & by_overlap, "overlap": by_overlap - by_cosine}
    return {
        **{name: len(items) for name, items in counts.items()},
        "neither": len(found.nearest) - len(by_cosine | by_overlap),
    }


def write_matches(folder: Path, found: Matches, *, threshold: float, summary: Mapping[str, object]) -> None:
    """Write the six files of the output `contamination`."""
    write_json(folder / CONTAMINATED_FILE, {"threshold": threshold, "items": found.contaminated})
    write_json_lines(folder / PAIRS_FILE, map(asdict, found.pairs))
    write_json_lines(folder / OVERLAPS_FILE, map(asdict, found.overlaps))
    write_json_lines(folder / STEMS_FILE, map(asdict, found.stems))
    write_json_lines(folder / NEAREST_FILE, map(asdict, found.nearest))
    write_json(folder / SUMMARY_FILE, summary)


def make_pair(
    examples: Questions, items: Questions, *, records: tuple[int, int], texts: tuple[int, int], cosine: float
) -> Pair:
    """Name an example and an item, by their rows, with the texts of both that are alike, by theirs."""
    (example, item), (example_text, item_text) = records, texts
    return Pair(
        item_id=items.ids[item],
        benchmark=items.groups[item],
        example_id=examples.ids[example],
        source=examples.groups[example],
        cosine=round(cosine, COSINE_DECIMALS),
        item_text=items.texts[item_text],
        example_text=examples.texts[example_text],
    )


def _pairs(examples: Questions, items: Questions, comparison: Comparison) -> list[Pair]:
    example_rows = examples.records_by_text(comparison.pair_train_P.tolist())
    item_rows = items.records_by_text(comparison.pair_item_P.tolist())
    columns = (comparison.pair_train_P, comparison.pair_item_P, comparison.pair_cosine_P)
    of_texts = list(zip(*(column.tolist() for column in columns), strict=True))
    num_pairs = sum(len(example_rows[example]) * len(item_rows[item]) for example, item, _ in of_texts)
    log("decontaminate").info(
        "%s pairs of texts above the threshold are %s of an item and an example", f"{len(of_texts):,}", f"{num_pairs:,}"
    )
    pairs = [
        make_pair(examples, items, records=(example, item), texts=(example_text, item_text), cosine=cosine)
        for example_text, item_text, cosine in of_texts
        for item in item_rows[item_text]
        for example in example_rows[example_text]
    ]
    return _most_similar_turns(sorted(pairs, key=pair_order))


def pair_order(pair: Pair) -> tuple[str, float, str]:
    """Give what pairs are sorted by: item, from the most similar down, example."""
    return pair.item_id, -pair.cosine, pair.example_id


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
