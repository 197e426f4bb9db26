"""decontaminate: which evaluation questions the training data contains, by the paper's rule (appendix A.4)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from med42lib.core.config import SPEED_ONLY
from med42lib.core.errors import DataError
from med42lib.core.excerpts import quoted
from med42lib.core.log import log
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.engine.context import StageContext
from med42lib.store.artifacts import Source, Sources, Target

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from med42lib.decontaminate.embedding.cutter import Cutter
    from med42lib.decontaminate.embedding.questions import Questions
    from med42lib.decontaminate.embedding.windows import Pieces
    from med42lib.decontaminate.matches import Matches
    from med42lib.decontaminate.similarity import Comparison
    from med42lib.store.cache import StageCache


def decontaminate(
    config: DecontaminateConfig,
    *,
    dataset: Source,
    items: Source,
    encoder: Source,
    embedded: Annotated[Sources, SPEED_ONLY],
    training: Target,
    contamination: Target,
    context: StageContext,
) -> None:
    """Compare every training question with every evaluation question, and flag the items found in training.

    A second detector looks for the items' words in all that the examples say: the question's words one for one, or 13
    of them in a row. It flags no item; the report shows where the two agree.

    Equal texts are embedded once, so that a verbatim repeat has similarity 1. Texts longer than the encoder reads are
    compared in windows; the summary says how many there are and what they cost.

    Args:
        config: What is compared, the threshold, and what follows.
        dataset: `examples.parquet` from assemble.
        items: `items.jsonl` from benchmarks.
        encoder: Folder of a SentenceTransformers model.
        embedded: What each shard has embedded; with none the questions are embedded here.
        training: Receives `examples.parquet`: all examples, or those in no pair.
        contamination: Receives the flagged items, all pairs with both texts and what they share, those that words
            alone find, those that share a generic stem alone, every item's nearest example and a summary.
        context: Its cache keeps the embeddings by their texts: another threshold embeds nothing again.

    Raises:
        DataError: If there are no examples or no items, the encoder cannot be loaded, shards are of other data, or
            nothing is left.
    """
    from med42lib.decontaminate.embedding.cutter import Cutter
    from med42lib.decontaminate.embedding.questions import read_questions
    from med42lib.decontaminate.labels import label_matches
    from med42lib.decontaminate.matches import find_matches, summarise, write_matches
    from med42lib.decontaminate.overlaps import add_overlaps, cosine_of, find_overlaps

    examples, asked = read_questions(dataset, items, text=config.text)
    cutter = Cutter.load(encoder.path())
    pieces = _cut(examples, asked, cutter, contamination)
    vectors_TD = _embed(pieces, encoder, embedded, context.cache)
    found = find_matches(examples, asked, _compare(config, pieces, vectors_TD))
    overlaps = find_overlaps(examples, asked, dataset)
    found = add_overlaps(found, overlaps, examples, asked, cosine=cosine_of(vectors_TD, pieces))
    tell_stems_apart = config.text == "question" and config.generic_stems == "tell_apart"
    found = label_matches(found, dataset, items, tell_stems_apart=tell_stems_apart)
    summary = {**summarise(found, examples, asked), "long": _long_texts(pieces, cutter)}
    write_matches(contamination.folder, found, threshold=config.threshold, summary=summary)
    contamination.rows = len(found.nearest)
    contamination.metric("contaminated_items", len(found.contaminated))
    contamination.metric("pairs", len(found.pairs))
    contamination.metric("overlap_pairs", len(found.overlaps))
    contamination.metric("stem_pairs", len(found.stems))
    _write_training(config, dataset, found, training)
    _log_summary(found, training)


def _embed(pieces: Pieces, encoder: Source, embedded: Sources, cache: StageCache) -> NDArray[np.float32]:
    """Embed what neither the shards nor earlier runs have."""
    from med42lib.decontaminate.embedding.kept import embed_new
    from med42lib.decontaminate.embedding.vectors import gather

    if embedded:
        return gather(pieces.texts, embedded, encoder=encoder.digest)
    return embed_new(pieces.texts, encoder, cache)


def _compare(config: DecontaminateConfig, pieces: Pieces, vectors_TD: NDArray[np.float32]) -> Comparison:
    from med42lib.decontaminate.similarity import compare

    return compare(
        vectors_TD[pieces.train_rows],
        vectors_TD[pieces.item_rows],
        train_starts_N=pieces.train_starts_N,
        item_starts_M=pieces.item_starts_M,
        threshold=config.threshold,
        rows_per_block=config.rows_per_block,
    )


def _cut(examples: Questions, items: Questions, cutter: Cutter, metrics: Target) -> Pieces:
    """Say what is embedded, and what the long texts among it cost."""
    from med42lib.decontaminate.embedding.windows import to_pieces

    pieces = to_pieces(examples, items, cutter.cut([*examples.texts, *items.texts]))
    log("decontaminate").info(
        "%s different questions in training, %s in evaluation", f"{len(examples.texts):,}", f"{len(items.texts):,}"
    )
    if pieces.num_long:
        log("decontaminate").info(
            "%s of them are longer than the %d tokens that the encoder reads: they are compared in %s windows, "
            "%.0f %% of the characters that are embedded",
            f"{pieces.num_long:,}",
            cutter.max_tokens,
            f"{pieces.num_windows:,}",
            100 * pieces.long_share,
        )
    metrics.metric("embedded_texts", len(pieces.texts))
    metrics.metric("long_texts", pieces.num_long)
    metrics.metric("windows", pieces.num_windows)
    return pieces


def _long_texts(pieces: Pieces, cutter: Cutter) -> dict[str, float]:
    return {
        "texts": pieces.num_long,
        "windows": pieces.num_windows,
        "share_of_embedded_characters": round(pieces.long_share, 4),
        "max_tokens": cutter.max_tokens,
    }


def _write_training(config: DecontaminateConfig, dataset: Source, found: Matches, training: Target) -> None:
    from med42lib.formats.dataset import EXAMPLES_FILE, count_examples, write_tables

    examples = dataset.path(EXAMPLES_FILE)
    if config.action == "flag":
        shutil.copyfile(examples, training.path(EXAMPLES_FILE))
    else:
        dropped = found.contaminating(overlaps_too=config.dropped_by == "either")
        write_tables(training.folder, _remaining_examples(examples.parent, dropped))
    training.rows = count_examples(training.folder)
    if not training.rows:
        raise DataError(
            f"every training example in {dataset.address} is like an evaluation item (dropped_by: {config.dropped_by}, "
            f"cosine above {config.threshold}), so that none is left; use action: flag, or other data"
        )


def _remaining_examples(folder: Path, dropped: Set[str]) -> Iterator[pa.Table]:
    """Read the examples whose ids are not `dropped`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from med42lib.formats.dataset import SCHEMA, read_columns

    ids = pa.array(sorted(dropped), pa.string())
    for table in read_columns(folder, SCHEMA.names):
        yield table.filter(pc.invert(pc.is_in(table["id"], value_set=ids)))


def _log_summary(found: Matches, training: Target) -> None:
    from med42lib.formats.contamination import OVERLAPS_FILE

    num_items = len(found.nearest)
    log("decontaminate").info(
        "%s of %s evaluation items (%.1f %%) flagged by %s pairs; %s training examples go on",
        f"{len(found.contaminated):,}",
        f"{num_items:,}",
        100 * len(found.contaminated) / num_items,
        f"{len(found.pairs):,}",
        f"{training.rows:,}",
    )
    if found.overlaps:
        log("decontaminate").info(
            "%s more pairs share their words or an n-gram: they are in %s, and flag no item",
            f"{len(found.overlaps):,}",
            OVERLAPS_FILE,
        )
    if found.stems:
        log("decontaminate").info(
            "%s more pairs share no more than a stem such as %s: they are no leaks",
            f"{len(found.stems):,}",
            quoted(found.stems[0].item_text),
        )
