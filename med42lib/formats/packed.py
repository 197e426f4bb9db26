"""Packed training data on disk: chunks of tokens, with the positions that the loss is computed on.

Shape key:
    L: slots of a chunk (`chunk_length`)
    T: tokens of one sample
    N: tokens of all samples
    S: samples
    P: pieces
    C: chunks

Tokens are stored once, sample after sample; a chunk is a list of *pieces* of samples, put together when it is
read. So one format serves both policies. Samples a (5 tokens), b (2) and c (4) in chunks of 6 (`.` is padding):

    best_fit               chunk 0  a a a a a .    chunk 1  c c c c b b
      positions                     0 1 2 3 4 0             0 1 2 3 0 1
      pieces                        (a, 0, 5)               (c, 0, 4) (b, 0, 2)

    concatenate            chunk 0  a a a a a b    chunk 1  b c c c c .
      positions                     0 1 2 3 4 5             0 1 2 3 4 5
      pieces                        (a, 0, 5) (b, 0, 1)     (b, 1, 1) (c, 0, 4)

The files of a folder:

    packed.json      PackInfo
    tokens.bin       uint16 or uint32, (N,)   token ids of all samples
    responses.bin    uint8, (N,)              1 where the token belongs to a response, else 0
    samples.npy      int64, (S + 1,)          where each sample starts in tokens.bin, and N
    sample_ids.txt   S lines                  the example each sample was made of
    pieces.npy       int64, (P, 3)            sample, first token taken from it, number of tokens taken
    chunks.npy       int64, (C + 1,)          each chunk's first piece, and P; those of validation are the last

**What a model must be given** so that samples in a `best_fit` chunk do not see one another (transformers 5,
attention `sdpa` or `eager`):

    model(input_ids=input_ids_BL, position_ids=position_ids_BL, labels=labels_BL, use_cache=False)

without an `attention_mask`: where positions restart, transformers then builds the block-diagonal mask itself
(`masking_utils.find_packed_sequence_indices`). Any attention mask, and any cache (`use_cache` is on by default!),
switches that off silently, and samples leak into each other. The same call is right for `concatenate`, where
positions never restart and attention is shared. `tests/pack/test_attention.py` shows all of this on a real model.
`train` computes the same without a mask (`med42lib.train.attention`).
With `flash_attention_2` it holds for one chunk per call only (`modeling_flash_attention_utils._is_packed_sequence`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from med42lib.core.errors import DataError
from med42lib.formats.prompt import DEFAULT_SYSTEM

Policy = Literal["concatenate", "best_fit"]

IGNORED_LABEL = -100
"""The label of a token without loss: what torch's cross entropy skips by default."""

INFO_FILE = "packed.json"
TOKENS_FILE = "tokens.bin"
RESPONSES_FILE = "responses.bin"
SAMPLES_FILE = "samples.npy"
SAMPLE_IDS_FILE = "sample_ids.txt"
PIECES_FILE = "pieces.npy"
CHUNKS_FILE = "chunks.npy"


@dataclass(frozen=True, slots=True)
class PackInfo:
    """What `packed.json` says of a packed data set."""

    policy: Policy
    chunk_length: int
    """Slots of every chunk, padding included."""
    num_examples: int
    """Examples that were read; `num_dropped` of them, and those of validation, are not in the chunks."""
    num_chunks: int
    num_tokens: int
    """Slots that hold a token, over all chunks; the others are padding."""
    num_response_tokens: int
    """Labels that are not -100, over all chunks: the terms of the loss in one epoch."""
    num_dropped: int
    """Examples left out, each with its reason in `rejects.jsonl`."""
    num_truncated: int
    """Examples cut off at `chunk_length` tokens."""
    eos_token_id: int
    pad_token_id: int
    vocabulary_size: int
    num_validation_examples: int = 0
    """Examples held out of the chunks counted above, for chunks that are never trained on."""
    num_validation_chunks: int = 0
    num_validation_response_tokens: int = 0
    system: str = DEFAULT_SYSTEM
    """The system text that most samples have; empty if that is none."""

    @property
    def efficiency(self) -> float:
        """Share of the slots that hold a token, in (0, 1]."""
        return self.num_tokens / (self.num_chunks * self.chunk_length)

    @property
    def token_dtype(self) -> type[np.uint16] | type[np.uint32]:
        """The type of the ids in `tokens.bin`."""
        return token_dtype(self.vocabulary_size)

    @classmethod
    def read(cls, folder: Path) -> PackInfo:
        """Read `packed.json`.

        Raises:
            DataError: If there is none in `folder`, or it does not hold these fields.
        """
        path = folder / INFO_FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise DataError(f"{folder} has no {INFO_FILE}: it is not an output of pack") from None
        except (ValueError, TypeError) as error:
            raise DataError(f"{path} cannot be read ({error}); run pack again") from error


@dataclass(frozen=True, slots=True)
class Chunk:
    """One training sequence.

    `labels_L` are unshifted, as Hugging Face models expect them: label i is what slot i - 1 must predict. A
    chunk's first label is always -100, for nothing comes before it; so each other label is one term of the loss.
    """

    input_ids_L: NDArray[np.int64]
    labels_L: NDArray[np.int64]
    position_ids_L: NDArray[np.int64]
    num_tokens: int
    """Slots before the padding."""


@dataclass(frozen=True, slots=True)
class PackedSample:
    """Where a sample, or a piece of it, lies in a chunk.

    It fills the slots `[start, stop)` with the sample's tokens from `offset` on. `offset` is 0 unless the chunk
    boundary before it cut the sample, which only `concatenate` does.
    """

    example_id: str
    start: int
    stop: int
    offset: int


def token_dtype(vocabulary_size: int) -> type[np.uint16] | type[np.uint32]:
    """Choose the smallest type that holds every token id."""
    return np.uint16 if vocabulary_size < 1 << 16 else np.uint32


class PackedDataset:
    """The chunks in a folder that `pack` wrote, in their training order; memory-mapped, so opening is instant."""

    def __init__(self, folder: Path) -> None:
        """Open the folder.

        Raises:
            DataError: If a file is missing or is not as long as `packed.json` says.
        """
        self.info = PackInfo.read(folder)
        self._folder = folder
        self._tokens_N = _memory_map(folder / TOKENS_FILE, self.info.token_dtype)
        self._responses_N = _memory_map(folder / RESPONSES_FILE, np.uint8)
        self._sample_starts = _load(folder / SAMPLES_FILE)
        self._pieces = _load(folder / PIECES_FILE)
        self._chunk_starts = _load(folder / CHUNKS_FILE)
        self._check_lengths()

    def __len__(self) -> int:
        """Count the chunks to train on."""
        return self.info.num_chunks

    def __iter__(self) -> Iterator[Chunk]:
        """Go through the chunks to train on."""
        return (self[number] for number in range(len(self)))

    @property
    def validation_chunks(self) -> range:
        """The numbers of the chunks that are held out of training, behind those to train on; often none."""
        return range(len(self), len(self) + self.info.num_validation_chunks)

    def __getitem__(self, number: int) -> Chunk:
        """Put one chunk together from its pieces; raises IndexError where there is none."""
        length = self.info.chunk_length
        input_ids_L = np.full(length, self.info.pad_token_id, np.int64)
        labels_L = np.full(length, IGNORED_LABEL, np.int64)
        position_ids_L = np.arange(length)
        slot = 0
        for sample, offset, count in self._pieces_of(number):
            start = int(self._sample_starts[sample]) + offset
            ids_T = self._tokens_N[start : start + count]
            input_ids_L[slot : slot + count] = ids_T
            response_T = self._responses_N[start : start + count] == 1
            labels_L[slot : slot + count][response_T] = ids_T[response_T]
            slot += count
            if self.info.policy == "best_fit":
                position_ids_L[slot:] = np.arange(length - slot)
        labels_L[0] = IGNORED_LABEL
        return Chunk(input_ids_L, labels_L, position_ids_L, slot)

    def samples(self, number: int) -> list[PackedSample]:
        """Say which examples fill a chunk, in the order of its slots."""
        placed = []
        slot = 0
        for sample, offset, count in self._pieces_of(number):
            placed.append(PackedSample(self.sample_ids[sample], slot, slot + count, offset))
            slot += count
        return placed

    @cached_property
    def sample_ids(self) -> list[str]:
        """Name the example of every sample, in the order in which they were read."""
        return (self._folder / SAMPLE_IDS_FILE).read_text(encoding="utf-8").split("\n")[:-1]

    def _pieces_of(self, number: int) -> list[list[int]]:
        if not 0 <= number < self.validation_chunks.stop:
            raise IndexError(f"chunk {number} of {self.validation_chunks.stop}")
        pieces: list[list[int]] = self._pieces[self._chunk_starts[number] : self._chunk_starts[number + 1]].tolist()
        return pieces

    def _check_lengths(self) -> None:
        num_tokens = int(self._sample_starts[-1])
        num_chunks = self.validation_chunks.stop
        found = (len(self._tokens_N), len(self._responses_N), len(self._chunk_starts) - 1)
        if found != (num_tokens, num_tokens, num_chunks):
            raise DataError(
                f"{self._folder} holds {found[0]:,} tokens, {found[1]:,} response marks and {found[2]:,} chunks, not "
                f"{num_tokens:,}, {num_tokens:,} and {num_chunks:,}; delete that folder and run pack again"
            )


def _memory_map(path: Path, dtype: type[np.uint8] | type[np.uint16] | type[np.uint32]) -> NDArray[np.int64]:
    try:
        return np.memmap(path, dtype, mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); run pack again") from error


def _load(path: Path) -> NDArray[np.int64]:
    try:
        array: NDArray[np.int64] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); run pack again") from error
    return array
