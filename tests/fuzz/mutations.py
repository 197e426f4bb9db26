"""Mutations that know the format: a broken value in sound JSON, a cut gzip, a Parquet file of odd types."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]

VALUES: tuple[Any, ...] = (
    *(
        None,
        "",
        " ",
        "\u200b",
        "\x00",
        "\ud800",
        "\x85",
        "\ufeff",
        0,
        1,
        -1,
        2,
        4,
        5,
        9,
        2**63,
        10**30,
        True,
        False,
        1.5,
    ),
    *([], {}, [[]], [None], {"": None}, "9" * 5000, "\u0663", "1", "B", "b", "E", "A, B", "yes", float("nan"), DEEP),
    *("<|eos|>", "<|user|> x <|eos|>", "<p></p>", "&#0;", "ab" * 3000, "e\u0301", "\r", "Ans. is b i.e., ", "-1", "[]"),
    *("https://x.stackexchange.com/questions/", "\U0001f600", "t0.", "flan.", "task846_pubmedqa_classification"),
)
TOKENS = (
    *(b'"', b"'", b",", b"\n", b"\r", b"\r\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xff", b"<", b">", b"&", b"]]>"),
    *(b"\\ud800", b"null", b"{", b"}", b"[", b"]", b'""', b"\xe2\x80\xa8", b"<!DOCTYPE a>", b"&x;", b"<a>", b"</a>"),
    *(b"<pre>", b"<li>", b"<sup>", b"<script type=math/tex>", b"<td>", b"(a)", b"option ", b"answer is ", b"\x1f\x8b"),
)


def mutated(content: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    """Change a content, half of the time knowing its format."""
    if random.random() < 0.5:
        return mutate_bytes(content)
    if content.startswith(b"\x1f\x8b"):
        return _gzip(content, random, mutate_bytes)
    if random.random() < 0.04:
        return gzip.compress(content, mtime=0)
    if content.startswith(b"PAR1"):
        return _parquet(content, random)
    if random.random() < 0.3:
        return _tokens(content, random)
    return _json(content, random) or _lines(content, random)


def any_bytes(content: bytes, random: Random) -> bytes:
    """Change single bytes, where no fuzzer is at hand to do so."""
    data = bytearray(content or b"x")
    for _ in range(random.randint(1, 4)):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data[: random.randint(0, len(data))] if random.random() < 0.2 else data)


def _gzip(content: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    if random.random() < 0.3:
        return content[: random.randint(0, len(content))]
    try:
        return gzip.compress(mutated(gzip.decompress(content), random, mutate_bytes), mtime=0)
    except (OSError, EOFError, zlib.error):
        return mutate_bytes(content)


def _tokens(content: bytes, random: Random) -> bytes:
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(content))
        content = content[:at] + random.choice(TOKENS) + content[at + random.choice((0, 0, 1, 5)) :]
    return content


def _lines(content: bytes, random: Random) -> bytes:
    """Change, repeat or drop the cells of a line, or the texts and attributes of XML."""
    parts = re.split(rb'([,\n<>"])', content)
    at = random.randrange(len(parts))
    value = random.choice(VALUES)
    text = value if isinstance(value, str) else json.dumps(value)[:100]
    how = random.randrange(4)
    if how == 0:
        parts[at] = text.encode("utf-8", "surrogatepass")
    elif how == 1:
        parts[at : at + 1] = []
    elif how == 2:
        parts[at:at] = parts[at : at + random.randint(1, 12)]
    else:
        other = random.randrange(len(parts))
        parts[at], parts[other] = parts[other], parts[at]
    return b"".join(parts)


def _json(content: bytes, random: Random) -> bytes | None:
    """Change a value of a JSON document or of one line of JSON lines; None if it is neither."""
    try:
        return json.dumps(changed(json.loads(content), random)).encode()
    except (ValueError, RecursionError):
        pass
    lines = content.split(b"\n")
    at = random.randrange(len(lines))
    try:
        lines[at] = json.dumps(changed(json.loads(lines[at]), random)).encode()
    except (ValueError, RecursionError):
        return None
    return b"\n".join(lines)


def changed(value: Any, random: Random) -> Any:
    """Change something somewhere in a JSON value."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        return _changed_object(value, random)
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        changes = ([changed(value[at], random)], [], [value[at]] * 2)
        return [*value[:at], *random.choices(changes, (8, 1, 1))[0], *value[at + 1 :]]
    return random.choice(VALUES)


def _changed_object(value: dict[str, Any], random: Random) -> dict[str, Any]:
    key = random.choice(list(value))
    how = random.random()
    if how < 0.1:
        return {name: content for name, content in value.items() if name != key}
    if how < 0.15:
        return {**value, random.choice(list(value)): value[key]}
    if how < 0.2:
        return {(str(random.choice(VALUES))[:50] if name == key else name): c for name, c in value.items()}
    return {**value, key: changed(value[key], random)}


def _parquet(content: bytes, random: Random) -> bytes:
    if random.random() < 0.3:
        data = bytearray(content)
        for _ in range(random.randint(1, 3)):
            data[random.randrange(len(data))] = random.randrange(256)
        return bytes(data)
    try:
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
        return as_parquet([changed(row, random) for row in rows])
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, KeyError, RecursionError):
        return content[: random.randint(0, len(content))]


def as_parquet(rows: list[Any]) -> bytes:
    """Write rows as a Parquet file."""
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row for row in rows if isinstance(row, dict)]), stream)
    return stream.getvalue()
