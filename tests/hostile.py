"""Texts as a stranger might write them into a record, a licence or a file's name."""

UNSEEN = "\x1b[2J\x07\x7f\x9b31m\x85\r\u200b\u200e\u202e\u2066\u2028\u2029\u061c\ufeff\udc80\U000e0041"
"""Characters that are not seen but do something, one or more of each kind."""

UNSEEN_IN_UTF_8 = UNSEEN.replace("\udc80", "")
"""Those of them that a file in UTF-8 can hold."""

HTML = (
    "<script>window.__hacked = 1</script>",
    "<img src=x onerror='window.__hacked = 1'>",
    "</td></table><svg onload=window.__hacked=1>",
    "\"><a href='javascript:window.__hacked=1'>here</a>",
    "</style></title><iframe srcdoc='<script>parent.__hacked=1</script>'></iframe>",
    "{{ 7 * 7 }}{% raw %}",
)

MARKDOWN = (
    "a | b",
    "[here](javascript:alert)",
    "[there](https://link.example)",
    "![x](http://tracker.example/x.png)",
    "<b onclick=alert()>bold</b>",
    "`code` **strong** _em_ ~~no~~ \\| \\` $x$",
    "&lt;&#x202e;&amp;",
    "two\nlines\n\n# heading\n\n| a | b |\n| - | - |\n",
    "<https://link.example>",
)


def unseen_in(text: str) -> set[str]:
    """What is left of `UNSEEN` in a text."""
    return set(text) & (set(UNSEEN) - set("[2J31m"))
