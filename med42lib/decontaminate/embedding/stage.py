"""embed_questions: one shard's share of the embeddings that decontaminate compares."""

from __future__ import annotations

from med42lib.core.log import log
from med42lib.decontaminate.embedding.config import EmbedQuestionsConfig
from med42lib.engine.context import StageContext
from med42lib.store.artifacts import Source, Target


def embed_questions(
    config: EmbedQuestionsConfig,
    *,
    dataset: Source,
    items: Source,
    encoder: Source,
    embedded: Target,
    context: StageContext,
) -> None:
    """Embed one shard's share of all questions, for decontaminate to compare.

    A pipeline has this task only where `decontaminate.shards` is more than 1, and then that many times. Shards need
    nothing of one another, run in any order and are reused one by one. What decontaminate finds is the same to the byte
    for every number of them on machines of one kind; a GPU, or another sort or number of cores, may round differently.

    Args:
        config: Which share.
        dataset: `examples.parquet` from assemble.
        items: `items.jsonl` from benchmarks.
        encoder: Folder of a SentenceTransformers model.
        embedded: Receives the vectors.
        context: Its cache keeps the vectors by their texts: what was embedded before is not embedded again.

    Raises:
        DataError: If there are no examples or no items, or the encoder cannot be loaded.
    """
    from med42lib.decontaminate.embedding.cutter import Cutter
    from med42lib.decontaminate.embedding.kept import embed_new
    from med42lib.decontaminate.embedding.questions import read_questions
    from med42lib.decontaminate.embedding.shards import share_of
    from med42lib.decontaminate.embedding.vectors import write_shard
    from med42lib.decontaminate.embedding.windows import to_pieces

    cutter = Cutter.load(encoder.path())
    examples, asked = read_questions(dataset, items, text=config.text)
    texts = to_pieces(examples, asked, cutter.cut([*examples.texts, *asked.texts])).texts
    which = {"shard": config.shard, "shards": config.shards}
    own_TD = embed_new([texts[row] for row in share_of(texts, **which)], encoder, context.cache)
    log("embed_questions").info("%s of %s different texts are this shard's", f"{len(own_TD):,}", f"{len(texts):,}")
    write_shard(embedded.folder, own_TD, texts, **which, encoder=encoder.digest)
    embedded.rows = len(own_TD)
    embedded.metric("embedded_texts", len(own_TD))
