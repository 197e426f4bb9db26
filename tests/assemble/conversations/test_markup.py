import re
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.assemble.conversations.markup import html_to_text


def test_the_drawn_example() -> None:
    html = r"""<p>Why is $a_1 &lt; b$?</p><ol start="2"><li>One<ul><li>Two</ul></ol>
    <pre><code>if a &lt; b:
        stop()</code></pre><table><tr><td>a</td><td>b</td></tr></table><p>H<sub>2</sub>O, 10<sup>-3</sup></p>"""
    assert html_to_text(html) == (
        "Why is $a_1 < b$?\n\n2. One\n   - Two\n\n```\nif a < b:\n        stop()\n```\n\na | b\n\nH2O, 10^-3"
    )


@pytest.mark.parametrize(
    "formula",
    [
        r"$v = \frac{V_{max} [S]}{K_m + [S]}$",
        r"$$\begin{align} x &= y \\ a_1 * b_2 * c &\neq b_{1} \end{align}$$",
        r"\(x_1 \% 2\) and \[y^{*}\]",
        "5 * 3 costs $5 or $10, _not_ #1. and 1. no list",
    ],
)
def test_formulas_and_marks_of_the_author_stay_as_they_are(formula: str) -> None:
    escaped = formula.replace("&", "&amp;").replace("<", "&lt;")
    assert html_to_text(f"<p>{escaped}</p>") == formula
    assert html_to_text(f'<p><span class="math-container">{escaped}</span></p>') == formula


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<script type="math/tex">a_1 < b</script>', "$a_1 < b$"),
        ('<script type="math/tex; mode=display">a</script>', "$$a$$"),
        ("<script>alert(1)</script><style>p {}</style>seen", "seen"),
        ("x<sup>2</sup> e<sup>x + 1</sup> a<sub>i+1</sub> K<sub>m</sub>", "x^2 e^(x + 1) a_(i+1) K_m"),
        ("1<sup>st</sup> claim<sup>[1]</sup> CO<sub>2</sub><sup></sup>", "1st claim[1] CO2"),
        ("<b>bold</b> <em>it</em> <a href='http://a/b_c'>the link</a> <del>gone</del>", "bold it the link gone"),
        ("use <code>x_1 * y</code> or <code>a`b`</code><code> </code>", "use `x_1 * y` or `` a`b` ``"),
        ("<pre>a <b>b</b><br>\tc\n```</pre>", "````\na b\n\tc\n```\n````"),
        ("<pre> </pre>", ""),
        ("a\n b<br>c&nbsp;d<p>e</p>f", "a b\nc d\n\ne\n\nf"),
        ("<h2>Title</h2><p>a</p><hr><p>b</p>", "## Title\n\na\n\n---\n\nb"),
        ("<blockquote><p>a<br>b</p><ul><li>c</ul></blockquote>", "> a\n> b\n\n> - c"),
        ("<ol><li><p>a</p><p>b</p><li value=7>c<li>d</ol>", "1. a\n\n   b\n\n7. c\n8. d"),
        ("<ol><li>a<pre><code>x\n  y</code></pre></ol>", "1. a\n\n   ```\n   x\n     y\n   ```"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td></td><td>c</td></tr></table>", "a | b\n| c"),
        ('<img src="x.png" alt="enter image description here"><img alt="A cell">', "[image][image: A cell]"),
        ("p<0.05 and n>3, AT&T, &bogus; &eacute;&#8211;&lt;b&gt;", "p<0.05 and n>3, AT&T, &bogus; é–<b>"),
        ("<p>a <b>b</p></i> c</div> <!-- hidden --> d\0\ud800", "a b\n\nc d?"),
        ("", ""),
        ("<", "<"),
    ],
)
def test_each_element(html: str, text: str) -> None:
    assert html_to_text(html) == text


def test_nothing_of_one_text_leaks_into_the_next() -> None:
    html_to_text("<ol><li>a<blockquote><pre>b<script>c<sup>")
    assert html_to_text("<p>d</p>") == "d"


@pytest.mark.parametrize("tag", ["div", "li", "ul><li", "blockquote", "sup", "code", "pre", "b", "table><tr><td"])
def test_hostile_depth_costs_neither_words_nor_memory(tag: str) -> None:
    html = f"<{tag}>`x " * 20_000 + "deepest"
    text = html_to_text(html)
    assert "deepest" in text
    assert len(text) < 3 * len(html)


def test_a_huge_text_is_whole() -> None:
    assert len(html_to_text("<p>" + "word " * 3_000_000)) == 15_000_000 - 1


@given(st.text())
def test_no_text_raises(text: str) -> None:
    html_to_text(text)


_WRAPPERS = ["p", "b", "div", "li", "ul", "ol", "pre", "code", "sup", "sub", "td", "tr", "table", "blockquote", "h1"]
_TAGS = st.sampled_from([*_WRAPPERS, "br", "hr", "img", "script", "nonsense"])
_MESS = st.lists(
    st.one_of(
        _TAGS.map("<{}>".format),
        _TAGS.map("</{}>".format),
        st.sampled_from(
            ["<", ">", "&", "&amp", "&#xD800;", "<!--", "-->", "<![CDATA[", "<?x", '<a href="', "`", "\x01"]
        ),
        st.text(max_size=5),
    )
)


@given(_MESS)
def test_no_mess_of_tags_raises(pieces: list[str]) -> None:
    html_to_text("".join(pieces))


def _element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    tags, inner = st.sampled_from(_WRAPPERS), st.lists(children, max_size=4).map(" ".join)
    return st.builds("<{0}>{1}</{0}>".format, tags, inner)


@given(st.recursive(st.integers(0, 999).map("w{}w".format), _element, max_leaves=30))
def test_no_visible_word_is_lost_or_moved(html: str) -> None:
    assert re.findall(r"w\d+w", html_to_text(html)) == re.findall(r"w\d+w", html)


def test_code_keeps_its_indentation_and_blank_lines() -> None:
    code = dedent("""\
        def f(a):
            if a < 3:

                return "*_x_*"
        """)
    html = f"<pre><code>{code.replace('<', '&lt;')}</code></pre>"
    assert html_to_text(html) == f"```\n{code}```"
