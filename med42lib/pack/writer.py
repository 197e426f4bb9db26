"""Writing a packed folder; `med42lib.formats.packed` describes the format and reads it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from med42lib.core.json_file import write_json
from med42lib.formats import packed
from med42lib.formats.packed import PackInfo
from med42lib.pack.packing import Layout


class PackedWriter:
    """Writes first every sample, with `add`, then the chunks, with `finish`; a context manager.

    In memory: a few numbers of each sample.
    """

    def __init__(self, folder: Path, vocabulary_size: int) -> None:
        self._folder = folder
        self._dtype = packed.token_dtype(vocabulary_size)
        self._tokens = (folder / packed.TOKENS_FILE).open("wb")
        self._responses = (folder / packed.RESPONSES_FILE).open("wb")
        self._ids = (folder / packed.SAMPLE_IDS_FILE).open("w", encoding="utf-8", newline="\n")
        self._lengths: list[int] = []
        self._num_responses: list[int] = []
        self._held_out: list[bool] = []

    def __enter__(self) -> PackedWriter:
        """Start writing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        for stream in (self._tokens, self._responses, self._ids):
            stream.close()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample so far, shape (S,)."""
        return np.array(self._lengths, np.int64)

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Which samples so far are for validation, shape (S,)."""
        return np.array(self._held_out, np.bool_)

    def add(
        self, example_id: str, ids_T: NDArray[np.int64], response_T: NDArray[np.bool_], *, held_out: bool = False
    ) -> None:
        """Append one sample; `response_T` is True where the token belongs to a response."""
        self._tokens.write(ids_T.astype(self._dtype).tobytes())
        self._responses.write(response_T.astype(np.uint8).tobytes())
        self._ids.write(f"{example_id}\n")
        self._lengths.append(len(ids_T))
        self._num_responses.append(int(response_T.sum()))
        self._held_out.append(held_out)

    def count_labels(self, layout: Layout) -> int:
        """Count the labels of whole samples that are not -100: response tokens, without those that begin a chunk."""
        self._responses.flush()
        sample, offset = layout.pieces[layout.chunk_starts[:-1], :2].T
        responses_N = np.memmap(self._folder / packed.RESPONSES_FILE, np.uint8, mode="r")
        num_responses = np.array(self._num_responses, np.int64)[np.unique(layout.pieces[:, 0])].sum()
        return int(num_responses) - int(responses_N[self._sample_starts()[sample] + offset].sum())

    def finish(self, layout: Layout, info: PackInfo) -> None:
        """Write where every sample starts, which pieces make up which chunk, and `packed.json`."""
        np.save(self._folder / packed.SAMPLES_FILE, self._sample_starts())
        np.save(self._folder / packed.PIECES_FILE, layout.pieces)
        np.save(self._folder / packed.CHUNKS_FILE, layout.chunk_starts)
        write_json(self._folder / packed.INFO_FILE, asdict(info))

    def _sample_starts(self) -> NDArray[np.int64]:
        return np.append(0, np.cumsum(self.lengths))
