"""A new Python process that trains: `python -m med42lib.train.process MODULE:FUNCTION ARGUMENT`."""

import pkgutil
import sys
from pathlib import Path

from med42lib.core.process import die_with_parent, leave

if __name__ == "__main__":
    die_with_parent()  # Before the function's own imports: torch takes seconds.
    pkgutil.resolve_name(sys.argv[1])(Path(sys.argv[2]))
    leave(0)
