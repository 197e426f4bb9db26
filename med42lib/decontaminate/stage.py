"""decontaminate: which evaluation questions the training data contains, by the paper's rule (appendix A.4)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING

from med42lib.core.errors import DataError
from med42lib.core.log import log
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.store.artifacts import Source, Target

if TYPE_CHECKING:
    import pyarrow as pa

    from med42lib.decontaminate.matches import Matches
    from med42lib.decontaminate.similarity import Comparison


def decontaminate(
    config: DecontaminateConfig,
    *,
    dataset: Source,
    items: Source,
    encoder: Source,
    training: Target,
    contamination: Target,
) -> None:
    """Compare every training question with every evaluation question, and flag the items found in training.

    Equal texts are embedded once, so that a verbatim repeat has similarity 1.

    Args:
        config: What is compared, the threshold, and what follows.
        dataset: `examples.parquet` from assemble.
        items: `items.jsonl` from benchmarks.
        encoder: Folder of a SentenceTransformers model.
        training: Receives `examples.parquet`: all examples, or those in no pair.
        contamination: Receives the flagged items, all pairs with both texts, every item's nearest example and
            a summary.

    Raises:
        DataError: If there are no examples or no items, the encoder cannot be loaded, or nothing is left.
    """
    from med42lib.decontaminate.matches import find_matches, summarise, write_matches
    from med42lib.decontaminate.questions import EXAMPLE_COLUMNS, questions_of_examples, questions_of_items
    from med42lib.formats.dataset import EXAMPLES_FILE, read_columns
    from med42lib.formats.records import ITEMS_FILE, read_items

    trained = read_columns(dataset.path(EXAMPLES_FILE).parent, EXAMPLE_COLUMNS[config.text])
    rows = (row for table in trained for row in table.to_pylist())
    examples = questions_of_examples(rows, text=config.text, where=f"{dataset.address}/{EXAMPLES_FILE}")
    evaluated = read_items(items.path(ITEMS_FILE).parent)
    asked = questions_of_items(evaluated, text=config.text, where=f"{items.address}/{ITEMS_FILE}")
    found = find_matches(examples, asked, _compare(config, examples.texts, asked.texts, encoder, contamination))
    summary = summarise(found, examples, asked)
    write_matches(contamination.folder, found, threshold=config.threshold, summary=summary)
    contamination.rows = len(found.nearest)
    contamination.metric("contaminated_items", len(found.contaminated))
    contamination.metric("pairs", len(found.pairs))
    _write_training(config, dataset, found, training)
    _log_summary(found, training)


def _compare(
    config: DecontaminateConfig, train_texts: list[str], item_texts: list[str], encoder: Source, metrics: Target
) -> Comparison:
    from med42lib.decontaminate.embed import embed
    from med42lib.decontaminate.similarity import compare

    rows = {text: row for row, text in enumerate(dict.fromkeys([*train_texts, *item_texts]))}
    log("decontaminate").info(
        "embedding %s different questions: %s in training, %s in evaluation",
        *(f"{len(texts):,}" for texts in (rows, train_texts, item_texts)),
    )
    embeddings = embed(encoder.path(), list(rows))
    metrics.metric("embedded_texts", len(rows))
    metrics.metric("cut_texts", embeddings.num_cut)
    if embeddings.num_cut:
        log("decontaminate").info(
            "%s questions are longer than the encoder's %d tokens and were compared by their beginning",
            f"{embeddings.num_cut:,}",
            embeddings.max_tokens,
        )
    vectors_TD = embeddings.vectors_TD
    return compare(
        vectors_TD[: len(train_texts)],
        vectors_TD[[rows[text] for text in item_texts]],
        threshold=config.threshold,
        rows_per_block=config.rows_per_block,
    )


def _write_training(config: DecontaminateConfig, dataset: Source, found: Matches, training: Target) -> None:
    from med42lib.formats.dataset import EXAMPLES_FILE, count_examples, write_tables

    examples = dataset.path(EXAMPLES_FILE)
    if config.action == "flag":
        shutil.copyfile(examples, training.path(EXAMPLES_FILE))
    else:
        write_tables(training.folder, _remaining_examples(examples.parent, found.contaminating))
    training.rows = count_examples(training.folder)
    if not training.rows:
        raise DataError(
            f"every training example in {dataset.address} is like an evaluation item (cosine above "
            f"{config.threshold}), so that none is left; use action: flag, or other data"
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
    num_items = len(found.nearest)
    log("decontaminate").info(
        "%s of %s evaluation items (%.1f %%) flagged by %s pairs; %s training examples go on",
        f"{len(found.contaminated):,}",
        f"{num_items:,}",
        100 * len(found.contaminated) / num_items,
        f"{len(found.pairs):,}",
        f"{training.rows:,}",
    )
