import re
from pathlib import Path

import pytest
from markupsafe import Markup

from med42lib.report.pages.render import escape_markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a | b", r"a \| b"),
        ("<b>bold</b>", r"\<b>bold\</b>"),
        ("two\n  lines", "two lines"),
        ("[here](elsewhere)", r"[here]\(elsewhere)"),
        ("+2.1 [−1.0, 5.2] (95\N{NO-BREAK SPACE}%)", "+2.1 [−1.0, 5.2] (95\N{NO-BREAK SPACE}%)"),
        ("*a* _b_ `c`", r"\*a\* \_b\_ \`c\`"),
        ("&#x202e;\u202e\x1b", r"\&#x202e;\\u202e\\x1b"),
    ],
)
def test_markdown_of_its_own_is_escaped(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped


def test_what_a_macro_made_is_not_escaped_again() -> None:
    assert escape_markdown(Markup("| a |")) == "| a |"


def test_in_print_only_long_tables_are_split_and_of_cells_only_long_ones_wrap(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    of_name = {name: classes.split() for classes, name in re.findall(r'<figure class="(.+)" id="table-(\w+)">', page)}
    assert of_name["recipe"] == ["table", "many"]
    assert of_name["difference"] == ["table"]
    assert of_name["versions"] == ["table", "compact"]
    wrapped = re.findall(r'<td class="number long">(?:<strong>)?([^<]+)', page)
    assert any("parameters" in text for text in wrapped)
    assert all(len(text) > 24 for text in wrapped)
