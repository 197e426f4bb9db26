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
