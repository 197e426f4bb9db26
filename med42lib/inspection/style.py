"""How things are marked: by colour on a terminal, by characters elsewhere."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from med42lib.core.progress import TERMINAL_VARIABLE

_BOLD, _DIM, _UNDERLINED, _GREEN = "1", "2", "4", "32"


def use_colour() -> bool:
    """Say whether standard output is a terminal, and colour not switched off (https://no-color.org)."""
    on_terminal = sys.stdout.isatty() or os.environ.get(TERMINAL_VARIABLE) == "1"
    return on_terminal and not os.environ.get("NO_COLOR")


@dataclass(frozen=True, slots=True)
class Style:
    """Marks for headings, labels and tokens."""

    colour: bool

    @property
    def legend(self) -> str:
        """Explain the marks of tokens."""
        if self.colour:
            sample = self.token("loss", loss=True, odd=False)
            return f"{sample} {self.dim('no loss; every other token is underlined')}"
        return "[token] has loss, ·token has none"

    def heading(self, text: str) -> str:
        """Mark a heading."""
        return self._sent(text, _BOLD)

    def dim(self, text: str) -> str:
        """Mark what matters less."""
        return self._sent(text, _DIM)

    def token(self, text: str, *, loss: bool, odd: bool) -> str:
        """Mark a token by whether it has loss, and set it off from its neighbours."""
        if not self.colour:
            return f"[{text}]" if loss else f"·{text}"
        return self._sent(text, _GREEN if loss else _DIM, *([_UNDERLINED] if odd else []))

    def token_width(self, text: str, *, loss: bool) -> int:
        """Count the columns that `token` fills."""
        return len(text) + (0 if self.colour else 1 + loss)

    def _sent(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour and text else text
