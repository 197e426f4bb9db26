"""The models of most tests of the report."""

from med42lib.report.provenance.models import Model, pairs_to_compare

MODELS = (
    Model("base", "base", 0),
    Model("full", "full", 1, ("full",)),
    Model("lora", "lora", 2, ("lora",)),
)
"""The paper's two fine-tunes and their base."""
PAIRS = pairs_to_compare((), MODELS)
