import pytest
from markdown_it import MarkdownIt

from med42lib.core.markdown import escape_markdown, markdown_code
from tests.hostile import HTML, MARKDOWN, UNSEEN, unseen_in


@pytest.mark.parametrize("text", [*HTML, *MARKDOWN, UNSEEN])
@pytest.mark.parametrize("write", [escape_markdown, markdown_code])
def test_a_strangers_text_is_text_in_a_table(text: str, write: object) -> None:
    assert callable(write)
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = page.parse(f"| a | b |\n| --- | --- |\n| {write(text)} | c |\n")
    cells = [token for token in tokens if token.type == "inline"]
    assert [cell.content for cell in cells[:2]] == ["a", "b"]
    assert len(cells) == 4
    assert cells[3].content == "c"
    assert {child.type for child in cells[2].children or []} <= {"text", "text_special", "code_inline"}
    assert not unseen_in("".join(child.content for child in cells[2].children or []))


@pytest.mark.parametrize("text", [text for text in (*HTML, *MARKDOWN) if "\n" not in text])
def test_what_is_read_is_what_was_written(text: str) -> None:
    (inline,) = (t for t in MarkdownIt("commonmark").parse(escape_markdown(text)) if t.type == "inline")
    assert "".join(child.content for child in inline.children or []) == text


def test_an_ordinary_text_stays_as_it_is() -> None:
    text = "CC BY-SA 4.0 (see https://example.org/a?b=c&d), [47.6, 60.7], 95\N{NO-BREAK SPACE}%; Smith & Jones: 5 > 3"
    assert escape_markdown(text) == text
