"""Which references to images name one image for ever."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")


def unpinned(references: Iterable[str]) -> list[str]:
    """List the references that are no digest, so that what they name may change, in order and each once."""
    return sorted({reference for reference in references if not _PINNED.fullmatch(reference)})
