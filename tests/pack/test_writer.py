from pathlib import Path

import numpy as np

from med42lib.pack.packing import Layout
from med42lib.pack.writer import PackedWriter


def test_labels_are_counted_without_those_that_begin_a_chunk(tmp_path: Path) -> None:
    with PackedWriter(tmp_path, vocabulary_size=100) as writer:
        writer.add("made/a", np.arange(5), np.array([0, 0, 1, 1, 1], np.bool_))
        writer.add("made/b", np.arange(3), np.array([0, 1, 1], np.bool_))
        whole = Layout(np.array([[0, 0, 5], [1, 0, 3]]), np.array([0, 1, 2]))
        cut = Layout(np.array([[0, 0, 4], [0, 4, 1], [1, 0, 3]]), np.array([0, 1, 3]))
        assert writer.count_labels(whole) == 5
        assert writer.count_labels(cut) == 4
        assert writer.lengths.tolist() == [5, 3]
