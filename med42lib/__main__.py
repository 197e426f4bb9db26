"""`python -m med42lib` is the `med42` command."""

from med42lib.cli import main
from med42lib.core.process import leave

leave(main())
