"""How far a tokenizer.json's own rules can lengthen a text: two rules that replace a letter by 50,000 take all memory.

A bound is read off the rules, nothing is tokenised. Each rule multiplies the text's characters by at most a factor, and
rules follow one another, so factors multiply. What Unicode prescribes (NFKC, lower case) does not count: it
lengthens a text by a constant, whoever wrote the file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError

_MOST_GROWTH = 128
"""GPT-2's rules give 2, Llama-2's 2; T5's, whose table turns one character into up to 18, 72."""
_LONGEST_MARK = 256
_PARTS = ("normalizer", "pre_tokenizer", "post_processor")
_SEQUENCES = ("normalizers", "pretokenizers", "processors")


def check_growth(path: Path, tokenizer: dict[str, Any], advice: str) -> None:
    """Refuse a tokenizer whose rules could fill the memory.

    Args:
        path: Where it was read from.
        tokenizer: The content of a tokenizer.json; a rule of a kind unknown here counts as one that lengthens nothing.
        advice: What to do, as the end of a sentence.

    Raises:
        DataError: If they could make a text more than `_MOST_GROWTH` times as long, or if each unknown word or piece
            would carry a long mark.
    """
    growth = prod(_factor(rule) for part in _PARTS for rule in _rules(tokenizer.get(part)))
    if growth > _MOST_GROWTH:
        raise DataError(
            f"the rules in {path} can make a text {growth:,.0f} times as long, expected at most {_MOST_GROWTH}; "
            f"{advice}"
        )
    model = tokenizer.get("model")
    for name in ("unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        mark = model.get(name) if isinstance(model, dict) else None
        if isinstance(mark, str) and len(mark) > _LONGEST_MARK:
            raise DataError(
                f"the {name} in {path} has {len(mark):,} characters, expected at most {_LONGEST_MARK}; {advice}"
            )


def _rules(value: object) -> Iterator[dict[str, Any]]:
    """Go through the rules of one part, those of sequences in sequences too."""
    waiting = [value]
    while waiting:
        rule = waiting.pop()
        if isinstance(rule, dict):
            yield rule
            for name in _SEQUENCES:
                inner = rule.get(name)
                waiting.extend(inner if isinstance(inner, list) else [])


def _factor(rule: dict[str, Any]) -> float:
    """Bound how many times as many characters a text of at least one has after this rule."""
    match rule:
        case {"type": "Replace", "pattern": {"String": str(old)}, "content": str(new)} if old:
            return max(1, len(new) / len(old))
        case {"type": "Replace", "content": str(new)} | {"type": "Prepend", "prepend": str(new)}:
            return 1 + len(new)
        case {"type": "Precompiled", "precompiled_charsmap": str(table)}:
            return _longest_replacement(table)
        case {"type": "ByteLevel" | "Metaspace"}:
            return 2
        case {"type": "TemplateProcessing", "single": list(pieces)}:
            return max(1, sum(isinstance(piece, dict) and "Sequence" in piece for piece in pieces))
        case _:
            return 1


def _longest_replacement(table: str) -> int:
    """Count the characters of the longest text in a SentencePiece table.

    It is the length of a trie (4 bytes, little-endian), the trie, and the replacements, each ended by a zero byte.
    """
    try:
        content = base64.b64decode(table)
    except ValueError:
        return 1  # tokenizers refuses it
    replacements = content[4 + int.from_bytes(content[:4], "little") :]
    return max(1, *(len(text.decode(errors="replace")) for text in replacements.split(b"\0")))
