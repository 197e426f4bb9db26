"""The stage: training examples in, packed chunks out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from med42lib.core.errors import DataError
from med42lib.core.log import log
from med42lib.core.progress import track
from med42lib.formats.model_config import CONFIG_FILE
from med42lib.formats.model_folder import MODEL_FOLDER, TOKENIZER_FILE, TOKENIZER_FILES
from med42lib.formats.packed import PackInfo
from med42lib.formats.rejects import REJECTS_FILE, Tally
from med42lib.pack.config import PackConfig
from med42lib.pack.limits import check_limits
from med42lib.pack.packing import best_fit, concatenate, joined, lay_out_some
from med42lib.pack.writer import PackedWriter
from med42lib.store.artifacts import Source, Target

if TYPE_CHECKING:
    from med42lib.pack.samples import Sample
    from med42lib.pack.tokenise import SampleTokenizer

_LAYOUTS = {"concatenate": concatenate, "best_fit": best_fit}
_MOST_SYSTEMS = 10_000
"""System texts that are counted, the first of them: in memory all at once."""


def pack(config: PackConfig, *, dataset: Source, model: Source, packed: Target) -> None:
    """Tokenise every example with the model's tokenizer and pack the samples into chunks.

    In memory at any time: one batch of texts, and a few numbers per sample. `med42lib.formats.packed` describes what
    is written.

    Raises:
        ConfigError: If `chunk_length` exceeds the model's context.
        DataError: If there is nothing to pack, or the model has no usable tokenizer.
        EnvironmentProblem: If the tokenizer needs a library that is not installed.
    """
    from med42lib.pack.tokenise import load_tokenizer

    tokenizer_folder = _fetch_tokenizer(model)
    tokenizer = load_tokenizer(tokenizer_folder)
    check_limits(tokenizer_folder, chunk_length=config.chunk_length, vocabulary_size=tokenizer.vocabulary_size)
    started = time.monotonic()
    info = pack_examples(config, dataset, tokenizer, packed)
    packed.rows = info.num_chunks
    _report(info, packed, seconds=time.monotonic() - started)


def _fetch_tokenizer(model: Source) -> Path:
    """Fetch the tokenizer's files, and not the weights; returns their folder."""
    for name in (*TOKENIZER_FILES, CONFIG_FILE):
        if model.has(f"{MODEL_FOLDER}/{name}"):
            model.path(f"{MODEL_FOLDER}/{name}")
    return model.path(f"{MODEL_FOLDER}/{TOKENIZER_FILE}").parent


def pack_examples(config: PackConfig, dataset: Source, tokenizer: SampleTokenizer, packed: Target) -> PackInfo:
    """Do the stage's work with a tokenizer that is loaded already."""
    from med42lib.formats.dataset import EXAMPLES_FILE, count_examples, read_examples
    from med42lib.pack.samples import tokenised_samples

    folder = dataset.path(EXAMPLES_FILE).parent
    samples = tokenised_samples(read_examples(folder), tokenizer, config)
    with (
        packed.path(REJECTS_FILE, note=True).open("w", encoding="utf-8") as rejects,
        PackedWriter(packed.folder, tokenizer.vocabulary_size) as writer,
    ):
        tally = Tally("training examples", rejects.write)
        written = _write(tally.keep(track(samples, "tokenising", total=count_examples(folder))), writer)
        tally.check(max_rejected_share=1.0)
        return _lay_out(config, tally, written, tokenizer, writer)


@dataclass(slots=True)
class _Written:
    """What was counted while samples were written."""

    num_truncated: int = 0
    systems: Counter[str] = field(default_factory=Counter)

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        self.num_truncated += sample.truncated
        if sample.system in self.systems or len(self.systems) < _MOST_SYSTEMS:
            self.systems[sample.system] += 1


def _write(samples: Iterable[Sample], writer: PackedWriter) -> _Written:
    written = _Written()
    for sample in samples:
        writer.add(sample.example_id, sample.tokens.ids_T, sample.tokens.response_T, held_out=sample.held_out)
        written.add(sample)
    return written


def _lay_out(
    config: PackConfig, tally: Tally, written: _Written, tokenizer: SampleTokenizer, writer: PackedWriter
) -> PackInfo:
    training, validation = (
        lay_out_some(_LAYOUTS[config.policy], writer.lengths, np.flatnonzero(chosen), config.chunk_length, config.seed)
        for chosen in (~writer.held_out, writer.held_out)
    )
    if not len(training.pieces):
        raise DataError(
            f"validation_share = {config.validation_share:g} holds out all {len(writer.lengths)} examples; lower it"
        )
    info = PackInfo(
        policy=config.policy,
        chunk_length=config.chunk_length,
        num_examples=tally.num_read,
        num_chunks=len(training.chunk_starts) - 1,
        num_tokens=int(training.pieces[:, 2].sum()),
        num_response_tokens=writer.count_labels(training),
        num_dropped=tally.num_read - tally.num_kept,
        num_truncated=written.num_truncated,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        vocabulary_size=tokenizer.vocabulary_size,
        num_validation_examples=int(writer.held_out.sum()),
        num_validation_chunks=len(validation.chunk_starts) - 1,
        num_validation_response_tokens=writer.count_labels(validation),
        system=written.systems.most_common(1)[0][0],
    )
    writer.finish(joined(training, validation), info)
    return info


def _report(info: PackInfo, packed: Target, *, seconds: float) -> None:
    metrics = {
        "examples": info.num_examples,
        "chunks": info.num_chunks,
        "tokens": info.num_tokens,
        "response_tokens": info.num_response_tokens,
        "packing_efficiency": info.efficiency,
        "dropped": info.num_dropped,
        "truncated": info.num_truncated,
        "tokens_per_second": info.num_tokens / seconds,
    }
    if info.num_validation_examples:
        metrics["validation_examples"] = info.num_validation_examples
        metrics["validation_response_tokens"] = info.num_validation_response_tokens
    packed.log_metrics(metrics, step=0)
    log("pack").info(
        f"{info.num_examples:,} examples in {info.num_chunks:,} chunks of {info.chunk_length:,} tokens "
        f"({info.policy}): {info.efficiency:.1%} of the slots filled, loss on "
        f"{info.num_response_tokens / info.num_tokens:.1%} of the tokens; {info.num_dropped:,} dropped, "
        f"{info.num_truncated:,} truncated, {info.num_validation_examples:,} held out for validation"
    )
