"""Settings of the report."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from med42lib.core.config import StageConfig

Cosine = Annotated[float, Field(gt=-1.0, lt=1.0)]


class ReportConfig(StageConfig):
    """Settings of the report stage."""

    title: str = Field(min_length=1, max_length=200)
    """Heading of the report; say which model and data this is."""

    confidence: float = Field(default=0.95, ge=0.5, lt=1.0)
    """Probability that each interval aims to cover the true value with, and that no answer at the top claims a
    difference that there is not."""

    equivalence_points: float = Field(default=0.0, ge=0.0, lt=100.0)
    """Percentage points within which two models count as equally good. A difference whose whole interval lies inside is
    called equal; with 0, the default, nothing ever is. To be chosen before the results are seen."""

    num_pairs: int = Field(default=12, ge=0, le=500)
    """Contaminated pairs shown with both texts, spread evenly from the most to the least similar."""

    num_browsed_pairs: int = Field(default=10_000, ge=0, le=100_000)
    """Pairs in `pairs.html`, the page with filters beside the report; of more a random choice. About 2 kB each."""

    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of models whose difference is asked, first minus second, by their names in `train`, or `base`:
    `[[lora_r64, lora], [lora, base]]`. None named: each model with the base, and the first (by name) whose method is
    `full` with the first whose method is `lora`."""

    thresholds: tuple[Cosine, ...] = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
    """Cosine thresholds for the table that shows how the result depends on what counts as leaked; the one that
    decontamination used is always added."""
