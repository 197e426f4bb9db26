"""Secrets that may stand in a text: tokens, keys, and passwords in addresses, settings, headers and queries.

They are known by how they look or by what they are called. The time taken grows with the text alone: whatever a
pattern may try again and again is bounded or possessive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_NAMES = (
    r"pass(?:word|wd|phrase)|api[_-]?key|(?:access|secret|private|account|signing)[_-]?(?:access[_-]?)?key(?:[_-]?id)?"
    r"|client[_-]?secret|(?:access|auth|refresh|session|security|tracking|api|hub|hf)[_-]?token|shared[_-]?access[_-]?"
    r"(?:key|signature)"
    r"|x-amz-(?:signature|credential|security-token)"
)
"""What these name is secret whether `=` or `:` follows."""

_WORDS = (
    r"(?<!pad_)(?<!eos_)(?<!bos_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)(?<!image_)(?<!new_)token|secret[\w-]{0,40}"
    r"|signature|sig|(?<=_)pass|(?<=_)pwd"
)
"""What these name is secret before `=` or if they are a quoted key: in a sentence they are words, and tokenizers
have tokens."""

_QUOTE = r"""\\{0,3}["']"""
_VALUE = rf"(?:(?P<quote>{_QUOTE})(?:(?!(?P=quote))(?:\\.|[^\\\n]))*+|[^\s&]+)"
_IS = rf"(?:=|[ ]{{1,8}}=[ ]{{1,8}}(?={_QUOTE})|{_QUOTE}[ ]{{0,8}}[:=][ ]{{0,8}})"
_NO_PORT = r"""(?!\d{1,5}(?:[/?#"'),\s<>\]}]|$))"""
_KEY_BEGINS, _KEY_ENDS = (
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----",
    r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----",
)

_SECRETS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"(?s){_KEY_BEGINS}.*?(?:{_KEY_ENDS}|\Z)", "***"),
        # user:password@host; the password may hold `/` and `@`, and is no port.
        (rf"(?<=://)[^\s/:]{{0,256}}:{_NO_PORT}(?:[^\s@]{{0,256}}@)++", "***@"),
        (r"(?<=://)[^\s/:@]+(?=@)", "***"),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{12,128}(?::[^\s@]{1,256}(?=@)|:[A-Za-z0-9/+=]{20,256})?", "***"),
        (r"\b(?:hf|api_org)_[A-Za-z0-9]{12,}|\b(?:gh[a-z]|github_pat|glpat)[_-]\w{16,}", "***"),
        # A JSON web token: what Kubernetes, Kubeflow and identity providers hand out.
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", "***"),
        (
            rf"(?i)(\bauthorization(?:{_QUOTE})?[ ]?[:=,][ ]?(?:{_QUOTE})?(?:(?:basic|bearer|token)[ ]+)?)"
            r"(?:(?:AWS|digest|apikey|negotiate)[ ][^\r\n]+|[^\s\"'\\]+)",
            r"\1***",
        ),
        (r"(\bBearer[ ])[\w.~+/=-]{8,}", r"\1***"),
        # Of the words behind "Basic", base64 has capitals or digits inside.
        (r"(\bBasic[ ])(?=[A-Za-z0-9+/]{0,64}[a-z0-9+/][A-Z0-9+/=])[A-Za-z0-9+/]{12,}={0,2}", r"\1***"),
        (rf"(?i)(\b(?:set-)?cookie(?:{_QUOTE})?[ ]?[:=,][ ]?(?:{_QUOTE})?)[\w.-]{{1,64}}=[^\r\n\"']+", r"\1***"),
        (rf"(?i)((?:{_NAMES})(?:(?:{_QUOTE})?[ ]{{0,8}}[:=][ ]{{0,8}}|{_QUOTE},[ ]?|>)){_VALUE}", r"\1\g<quote>***"),
        (rf"(?i)((?:\b|_|-)(?:{_WORDS}){_IS}){_VALUE}", r"\1\g<quote>***"),
    )
)
_UNFINISHED_KEY = re.compile(rf"(?s){_KEY_BEGINS}(?!.*{_KEY_ENDS})")
_LONGEST_HELD = 1 << 16


def redact(text: str) -> str:
    """Replace tokens, keys and passwords by `***`."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def redacted_lines(blocks: Iterable[str]) -> Iterator[str]:
    """Redact a text that comes in blocks, wherever these are cut; whole lines are given as soon as they are there.

    A line ends with a line break, or a carriage return, as progress bars do. One of more than 64 Ki characters is
    given in parts.
    """
    held = ""
    for block in blocks:
        held += block
        whole = _length_of_whole_lines(held)
        if whole:
            yield redact(held[:whole])
            held = held[whole:]
    if held:
        yield redact(held)


def _length_of_whole_lines(text: str) -> int:
    """Count the characters that can be given; a private key's lines belong together."""
    if len(text) > _LONGEST_HELD:
        return len(text)
    length = max(text.rfind("\n"), text.rfind("\r")) + 1
    unfinished = _UNFINISHED_KEY.search(text[:length])
    return unfinished.start() if unfinished else length
