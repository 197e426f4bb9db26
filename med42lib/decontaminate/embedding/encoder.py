"""Sentence embeddings: the one module that knows sentence-transformers.

The last bits of a vector depend on the shape of the batch that its text is in, and on nothing else of it: neither on
the other texts nor on the text's place among them. So a text is always in a batch of the same shape, which its number
of tokens decides; missing tokens are padding, and missing texts copies of the first:

    tokens of texts        5  6  7  | 9  12           read as     8  8  8  | 16  16
    batches of 32 tokens   3 texts and a copy of 8 tokens each, then 2 texts of 16

A text then has the same vector whatever it is embedded with, on machines of one kind (`arithmetic`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med42lib.core.library_errors import library_errors
from med42lib.decontaminate.embedding.layout import ADVICE, read_layout
from med42lib.formats.tokenizer_loading import check_speed

# Tokens per forward pass, padding included. On CPU larger batches fall out of the cache; a GPU needs them to be busy.
_TOKENS_PER_BATCH = {"cpu": 512, "cuda": 16_384}
_TEXTS_PER_COUNT = 1_024
_SHORTEST = 8
_STEPS_PER_OCTAVE = 4
_CPU_FIELDS = ("vendor_id", "cpu family", "model", "model name", "CPU implementer", "CPU part")


@dataclass(frozen=True, slots=True)
class Encoder:
    """A loaded SentenceTransformers model, on the GPU if there is one, on the CPU otherwise."""

    folder: Path
    model: Any

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """Load the model.

        Args:
            folder: Of a SentenceTransformers model, with safetensors weights.

        Raises:
            DataError: If the folder holds no such model, or it cannot be loaded.
        """
        model = _load(folder)
        with library_errors(f"the sentence encoder in {folder}", ADVICE):
            if model.tokenizer.is_fast:
                check_speed(model.tokenizer.backend_tokenizer, folder)
        return cls(folder, model)

    def embed(self, texts: Sequence[str], advance: Callable[[int], object] = lambda _: None) -> NDArray[np.float32]:
        """Embed texts, of which no more is read than the encoder reads.

        Args:
            texts: One or more. Work goes from the longest to the shortest: the first batch shows whether memory
                suffices.
            advance: Told of texts that are done, by their number.

        Returns:
            Unit-length vectors in the order of `texts`, shape (T, D).
        """
        with library_errors(f"the tokenizer in {self.folder}", ADVICE, use="applied to a text"):
            num_tokens = self._count_tokens(texts)
        tokens_per_batch = _TOKENS_PER_BATCH[self.model.device.type]
        found = []
        for length, size, rows in batches(num_tokens, int(self.model.max_seq_length), tokens_per_batch):
            found.append((rows, self._encode([texts[row] for row in rows], length, size)))
            advance(len(rows))
        order = np.argsort(np.concatenate([rows for rows, _ in found]))
        ordered_TD: NDArray[np.float32] = np.concatenate([vectors for _, vectors in found])[order]
        return ordered_TD

    def _count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Count the tokens of each text as it is read: with the encoder's own, and behind its prompt if it has one."""
        prompt = self.model.prompts.get(self.model.default_prompt_name) or ""
        counts: list[int] = []
        for start in range(0, len(texts), _TEXTS_PER_COUNT):
            part = [prompt + text for text in texts[start : start + _TEXTS_PER_COUNT]]
            counts += map(len, self.model.tokenizer(part, truncation=False, verbose=False)["input_ids"])
        return np.array(counts, np.int64)

    def _encode(self, texts: list[str], length: int, size: int) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self.model.encode(
            [*texts, *texts[:1] * (size - len(texts))],
            batch_size=size,
            processing_kwargs={"text": {"padding": "max_length", "max_length": length}},
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return vectors[: len(texts)]


def batches(
    num_tokens: NDArray[np.int64], most: int, tokens_per_batch: int
) -> Iterator[tuple[int, int, NDArray[np.intp]]]:
    """Split texts into batches, longest first.

    Args:
        num_tokens: Of each text.
        most: The tokens that the encoder reads at most.
        tokens_per_batch: With padding; a batch is of one text at least.

    Yields:
        The tokens that each text of the batch is padded to, the texts that it has room for, and the rows of its own.
    """
    lengths = np.array([_padded(int(number), most) for number in num_tokens])
    for length in sorted(set(lengths.tolist()), reverse=True):
        rows, size = np.flatnonzero(lengths == length), max(1, tokens_per_batch // length)
        for start in range(0, len(rows), size):
            yield length, size, rows[start : start + size]


def _padded(num_tokens: int, most: int) -> int:
    """Round up to one of few lengths: 8, 16 ... 64, 80 ... 128, 160 ... 256 and so on, or the most that is read."""
    step = max(_SHORTEST, (1 << (num_tokens - 1).bit_length()) // 2 // _STEPS_PER_OCTAVE)
    return min(-(-num_tokens // step) * step, most)


def arithmetic() -> tuple[str, ...]:
    """Say what decides the last bits of a vector beside its encoder and its text: libraries, machine and batches."""
    import torch

    libraries = [f"{name} {version(name)}" for name in ("torch", "transformers", "sentence-transformers")]
    if torch.cuda.is_available():
        return (*libraries, torch.cuda.get_device_name(), str(_TOKENS_PER_BATCH["cuda"]))
    threads = f"{torch.get_num_threads()} threads"
    return (*libraries, _processor(), torch.backends.cpu.get_cpu_capability(), threads, str(_TOKENS_PER_BATCH["cpu"]))


def _processor() -> str:
    """Name the kind of processor: of one kind are those whose libraries choose the same code."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.is_file() else []
    found = {line for line in lines if line.partition(":")[0].strip() in _CPU_FIELDS}
    return "\n".join([platform.machine(), platform.processor(), *sorted(found)])


def _load(encoder: Path) -> Any:
    read_layout(encoder)
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with library_errors(f"the sentence encoder in {encoder}", ADVICE):
        return SentenceTransformer(
            str(encoder),
            device="cuda" if torch.cuda.is_available() else "cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
