"""Where a stage runs: on a cluster in the image of that name, elsewhere with the extra of that name."""

from typing import Literal

Runtime = Literal["base", "embed", "train", "eval", "tracking"]
