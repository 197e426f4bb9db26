import pytest

from med42lib.assemble.config import SOURCES
from med42lib.assemble.documents.sources_table import BEGIN, END, table, with_table
from med42lib.assemble.source import load_source
from tests.conftest import REPOSITORY

README = REPOSITORY / "med42lib/assemble/sources/README.md"


def test_every_source_has_one_row() -> None:
    rows = table().splitlines()[2:]
    assert len(rows) == len(SOURCES.names())
    for name in SOURCES.names():
        [row] = [row for row in rows if f"(`{name}`)" in row]
        assert f"{load_source(name).num_paper:,}: " in row


def test_the_readmes_table_is_what_the_sources_say() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_table(text) == text, "run `make compile`"


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    written = with_table(f"before {BEGIN} old {END} after")
    assert written.startswith(f"before {BEGIN}\n| source")
    assert written.endswith(f"{END} after")
    assert " old " not in written


def test_a_readme_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no <!-- sources"):
        with_table("nothing")
