from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.item_counts import read_item_counts
from med42lib.store.artifacts import Source


def test_items_of_before_there_were_counts_have_none(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").touch()
    assert read_item_counts(Source(str(tmp_path))) == {}


@pytest.mark.parametrize("broken", ["[1]", '{"medqa": 1}', "{"])
def test_counts_that_are_broken_are_refused_with_what_to_do(tmp_path: Path, broken: str) -> None:
    (tmp_path / "summary.json").write_text(broken)
    with pytest.raises(DataError, match=r"summary\.json is .*; run benchmarks again"):
        read_item_counts(Source(str(tmp_path)))
