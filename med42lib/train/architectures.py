"""What came of a tiny model of each architecture: the table in ARCHITECTURES.md, for a word of warning in good time.

`train` tries the base itself; this is asked where only a config.json is at hand, before a GPU is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("ARCHITECTURES.md")
REFUSED, ACROSS = "refused", "reads across samples"


@dataclass(frozen=True, slots=True)
class Architecture:
    """A row of the table, each cell as it stands there; empty cells were not tried."""

    model_type: str
    name: str
    full: str
    lora: str
    best_fit: str
    known: str

    @property
    def is_refused(self) -> bool:
        """Say whether no base of it can be trained."""
        return self.full.startswith(REFUSED)

    @property
    def reads_across(self) -> bool:
        """Say whether it reads one sample of a chunk into the next, with the settings that it has by default."""
        return self.best_fit == ACROSS


def architecture(model_type: object) -> Architecture | None:
    """Find an architecture by the `model_type` of a config.json; None if the table has none of that name."""
    return _table().get(str(model_type))


@cache
def _table() -> dict[str, Architecture]:
    rows = [line for line in _TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    found = (Architecture(*(cell.strip().strip("`") for cell in row.strip("| ").split(" | "))) for row in rows)
    return {row.model_type: row for row in found}
