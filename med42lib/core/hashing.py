"""Names made of content."""

from __future__ import annotations

import hashlib

CONTENT_HASH_DIGITS = 16


def content_hash(*texts: str, length: int = CONTENT_HASH_DIGITS) -> str:
    """Hash texts to `length` hexadecimal digits, keeping apart ("ab", "c") and ("a", "bc")."""
    parts: list[bytes] = []
    for text in texts:
        encoded = text.encode()
        parts += (len(encoded).to_bytes(8, "big"), encoded)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:length]
