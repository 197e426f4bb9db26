"""OpenOrca's part with the prompts of chain of thought (Wei et al. 2022), see `_openorca`."""

from med42lib.assemble.sources._openorca import openorca

SOURCE = openorca(
    "cot.",
    name="openorca_cot",
    title="OpenOrca CoT",
    num_paper=73_890,
    num_paper_origin="a draw of 300,000 in the ratio 3 : 3 : 2, so 75,000 of this part, × 0.985: lost to a filter",
    tokens_per_row=300,  # guessed: a question and a reasoned answer
)
