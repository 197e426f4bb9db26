"""Changing JSON files that tests make."""

import json
from pathlib import Path


def edit(path: Path, **entries: object) -> None:
    """Set entries of the object that a file holds."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
