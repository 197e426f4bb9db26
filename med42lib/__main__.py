"""`python -m med42lib` is the `med42` command."""

import sys

from med42lib.cli import main

sys.exit(main())
