import json
from dataclasses import asdict
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.contamination import NearestExample, Pair, read_nearest, read_pairs

PAIR = Pair("exam/1", "exam", "cards/2", "cards", 0.9, "What is fever?", "What is a fever?")
NEAREST = NearestExample("exam/1", "exam", "cards/2", 0.9, False)


def test_what_was_found_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    path.write_text(json.dumps(asdict(PAIR)) + "\n")
    assert list(read_pairs(path)) == [PAIR]
    path.write_text(json.dumps(asdict(NEAREST)) + "\n")
    assert list(read_nearest(path)) == [NEAREST]


def test_a_line_without_a_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(asdict(PAIR)) + "\n" + json.dumps(asdict(NEAREST)) + "\n")
    with pytest.raises(
        DataError, match=r"pairs\.jsonl:2 has no source, item_text, example_text, .*label, .*; run decontaminate"
    ):
        list(read_pairs(path))
